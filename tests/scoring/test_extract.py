"""What is extracted from what: shards of several processes, keys of the cache, grids beside samples."""

import importlib
import json
import textwrap
from pathlib import Path

import pytest
import torch
from scored import QUIET, Tiny, scored
from torchrun import ranks

from fewgan.errors import FewganError
from fewgan.sampling.sample import sample
from fewgan.scoring.extract import extract, mirrored, of_tensor
from fewgan.scoring.scorer import Scorer, cache_key
from fewgan.screen import Screen

TESTS = Path(__file__).parents[1]

PROCESSES = """
    import sys
    from pathlib import Path
    sys.path[:0] = [TESTS, TESTS + "/scoring"]
    from scored import scored
    from fewgan.cli import launch

    def score(arguments, speaks):
        print(len(scored(count=8, out=Path(arguments[1]), standing_stats=1).rows))
        return 0

    sys.exit(launch.launch(score, ["fid", *sys.argv[1:]]))
"""


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, r"the feature network tiny: its forward returned NoneType and not \[2, 12\]; report it to its author"),
        (torch.zeros(2, 5), r"its forward returned a tensor of shape \[2, 5\] and not \[2, 12\]"),
        (torch.full((2, 12), torch.nan), "features tiny: some are NaN or infinite; check the weights"),
    ],
)
def test_features_that_are_none_are_told(made, message, monkeypatch):
    scorer = Scorer.of(Tiny(), torch.device("cpu"))
    monkeypatch.setattr(scorer.module, "forward", lambda images: made)
    with pytest.raises(FewganError, match=message):
        scorer(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


def test_features_without_a_dim_are_told():
    with pytest.raises(FewganError, match="the feature network linear: it has no attribute 'dim'; report it"):
        Scorer.of(torch.nn.Linear(2, 2), torch.device("cpu"))


def test_fewer_batches_than_processes(here):
    """8 pictures are one batch, so one of two processes has an empty shard."""
    (here / "score.py").write_text(f"TESTS = {str(TESTS)!r}\n" + textwrap.dedent(PROCESSES))
    done = ranks(2, ["score.py", "two"], here)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2\n"
    two = json.loads((here / "two" / "scores.json").read_text())
    one = json.loads(json.dumps(scored(count=8, standing_stats=1).as_dict()))
    for name in ("frechet_distance", "kid", "precision", "recall", "density", "coverage", "vendi_ratio"):
        # Running variances divide by n - 1, with n over all processes.
        assert two[name] == pytest.approx(one[name], rel=2e-3), name
    assert two["count"] == one["count"] == 8


def test_an_empty_shard_extracts_nothing(monkeypatch):
    monkeypatch.setattr("fewgan.distributed.shard_range", lambda count, unit: (0, 0))
    images = of_tensor(torch.zeros(8, 3, 8, 8, dtype=torch.uint8), "x")
    made = extract(Tiny(), images.groups, 8, device=torch.device("cpu"), label="", screen=QUIET)
    assert torch.equal(made, torch.zeros(8, 12))


def test_shards_begin_with_a_group_of_the_generator(monkeypatch):
    units = []
    monkeypatch.setattr("fewgan.distributed.shard_range", lambda count, unit: units.append(unit) or (0, count))
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    pictures, features = of_tensor(images, "x"), Tiny()
    made = extract(features, pictures.groups, 50, device=torch.device("cpu"), label="", screen=QUIET)
    assert units == [16]
    assert features.largest == 16
    assert torch.allclose(made, Tiny()(images), atol=1e-5)


SOURCE = """
import torch

class Scaled(torch.nn.Module):
    dim, score_name = 3, "means"
    def forward(self, images):
        return images.float().mean((2, 3)) * 1.0
"""


def test_an_edit_of_forward_changes_the_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "scaled_features.py"
    path.write_text(SOURCE)
    module = importlib.import_module("scaled_features")
    before = cache_key(module.Scaled())
    assert cache_key(module.Scaled()) == before
    path.write_text(SOURCE.replace("* 1.0", "* 100"))
    assert cache_key(module.Scaled()) != before
    path.write_text(SOURCE)
    assert cache_key(module.Scaled()) == before
    inside = torch.nn.Sequential(module.Scaled())
    held = cache_key(inside)
    path.write_text(SOURCE + "\n# an edit of a part is one, too\n")
    assert cache_key(inside) != held


def test_an_edit_of_a_module_beside_it_changes_the_key(tmp_path, monkeypatch):
    """Its functions are called; they need no class that is a part of the features."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "scaled_package"
    package.mkdir()
    for name, text in (("__init__", SOURCE), ("factors", "FACTOR = 1")):
        (package / f"{name}.py").write_text(text)
    features = importlib.import_module("scaled_package").Scaled()
    before = cache_key(features)
    (package / "factors.py").write_text("FACTOR = 2")
    assert cache_key(features) != before


def test_the_key_has_package_and_identity():
    features = Tiny()
    keys = {cache_key(features), cache_key(features, "a 1.0"), cache_key(features, "a 1.1")}
    features.identity = "tiny:0"
    assert len(keys | {cache_key(features)}) == 4


def test_mirrored_pictures_are_read_mirrored():
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    pictures = mirrored(of_tensor(images, "train", fingerprint="f"))
    assert torch.equal(torch.stack(pictures.read([2, 0])), images[[2, 0]].flip(3))
    assert pictures.name == "train, mirrored"  # so that the cache tells them apart


@pytest.mark.parametrize("packed", [False, True])
def test_a_grid_beside_samples_is_no_sample(here, packed, capsys):
    run = here / "runs" / "00001-dataset-biggan"
    sample(run, count=6, out=here / "made", screen=QUIET)
    sample(run, count=6, grid=True, out=here / "made", screen=QUIET)
    target = here / "made"
    if packed:
        import shutil

        target = Path(shutil.make_archive(str(here / "packed"), "zip", here / "made"))
    assert (here / "made" / "grid.png").exists()
    assert scored(target, against=here / "dataset", screen=Screen()).main.count == 6
    assert "grid.png is left out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "stats.pt", "model.safetensors", "checkpoints", "dataset.json"])
def test_anything_may_lie_beside_pictures(here, name):
    if name == "checkpoints":
        (here / "photos" / name).mkdir()
    else:
        (here / "photos" / name).write_text("{}")
    assert scored(here / "photos", against=here / "dataset").main.count == 30
    if name == "dataset.json":  # other programs have one, too
        (here / "photos" / name).write_text('{"labels": [["000.jpg", 6]]}')
        assert scored(here / "dataset", against=here / "photos").main.real_count == 30


def test_a_run_without_a_generator_is_no_folder_of_pictures(here):
    from fewgan.plugin import UsageError

    run = here / "runs" / "00001-dataset-biggan"
    (run / "generator.safetensors").unlink()
    (run / "checkpoints").mkdir()
    (run / "real.png").write_bytes((here / "dataset" / "preview.png").read_bytes())
    with pytest.raises(UsageError, match=r"no generator\.safetensors yet"):
        scored(run)


def test_a_project_that_was_moved_finds_its_dataset(here):
    """The dataset is looked for beside the run first, then where it was."""
    from fewgan import storage

    for path in (here / "runs").rglob("*.safetensors"):
        tensors, facts = storage.read_tensors(path)
        facts["config"] |= {"data_relative": "../../dataset", "data_path": "/nowhere/dataset"}
        storage.write_tensors(path, tensors, {"config": facts["config"]})
    assert scored().main.against == "train"
    kept = here / "runs" / "00001-dataset-biggan" / "generators" / "000100.safetensors"
    assert scored(kept).main.against == "train"
