"""A dataset, a foreign BigGAN and a run to score."""

import shutil
from pathlib import Path

import pytest
from drawn import draw
from scored import QUIET

from fewgan import registry, run, storage
from fewgan.files import write_json
from fewgan.photos import dataset
from fewgan.photos.prepare import prepare
from fewgan.sources import load as source
from fewgan.training.config import Config

BIGGAN = Path(__file__).parents[1] / "golden" / "biggan-32"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A dataset of 24 photos and 6 held out, 40 px; a foreign BigGAN of 32 px; a run with two kept generators."""
    root = tmp_path_factory.mktemp("fid")
    draw(root / "photos", 30)
    prepare(root / "photos", root / "dataset", size=40, holdout=6, screen=QUIET)
    (root / "foreign").mkdir()
    for name in ("G_ema.pth", "D.pth"):
        shutil.copy(BIGGAN / name, root / "foreign")
    model = source.load(root / "foreign")
    data = dataset.load(root / "dataset")
    config = Config(architecture=model.architecture, transfer=registry.choose("transfers", "none"), size=32)
    facts = {"data_path": str(data.folder), "fingerprint": data.fingerprint, "classes": [], "network_classes": 10}
    facts |= {"crop": data.crop, "aspect": data.aspect}
    record = {"format": run.FORMAT, **config.as_dict(), **facts}
    folder = root / "runs" / "00001-dataset-biggan"
    write_json(folder / "config.json", record)
    state = {f"generator.{name}": tensor for name, tensor in model.generator.state_dict().items()}
    worse = {name: tensor * 1.5 if name.endswith("linear.bias") else tensor for name, tensor in state.items()}
    storage.write_tensors(folder / run.GENERATOR, state, {"config": record})
    storage.write_tensors(folder / "generators" / "000100.safetensors", state, {"config": record})
    storage.write_tensors(folder / "generators" / "000200.safetensors", worse, {"config": record})
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    """The same, to be changed at will; also the current folder. The user's cache is empty."""
    shutil.copytree(made, tmp_path / "work")
    for path in (tmp_path / "work").rglob("*"):
        if path.suffix in (".json", ".safetensors"):
            _point(path, made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "work"


def _point(path: Path, old: Path, new: Path) -> None:
    """Runs know their dataset by its full path."""
    if path.name == "config.json":
        path.write_text(path.read_text().replace(str(old), str(new)))
    elif path.suffix == ".safetensors" and "runs" in path.parts:
        tensors, facts = storage.read_tensors(path)
        facts["config"]["data_path"] = facts["config"]["data_path"].replace(str(old), str(new))
        storage.write_tensors(path, tensors, {"config": facts["config"]})
