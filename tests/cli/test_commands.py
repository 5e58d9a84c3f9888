"""The four commands, one after the other, as a user types them: real processes, real JPEGs, one folder.

What else is typed between them runs in this process.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import inprocess
import pytest
import torch
from drawn import smooth
from PIL import Image
from safetensors.torch import load_file
from seeded import write_inception

from fewgan.architectures.biggan import Options, plugin

FOREIGN = Path(__file__).parents[1] / "golden" / "biggan-32"
LITERAL = "train --transfer minegan --aug diffaugment --cr"


def fewgan(line: str, folder: Path, expected: int = 0, **environment: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "fewgan", *line.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == expected, done.stderr
    return done


@pytest.fixture
def here(folder, capsys):
    """fewgan(line), in this process; gives stdout and stderr."""

    def run(line: str, expected: int = 0):
        capsys.readouterr()
        code = inprocess.fewgan(line, folder)
        out, error = capsys.readouterr()
        assert code == expected, error
        return SimpleNamespace(stdout=out, stderr=error)

    return run


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with ./photos, one level too deep, and a pretrained ./biggan."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "photos" / "holiday").mkdir(parents=True)
    for index in range(24):
        smooth(200, 150, index).save(folder / "photos" / "holiday" / f"IMG_{index:04d}.JPG", "JPEG")
    (folder / "photos" / "notes.txt").write_text("not a photo")
    (folder / "photos" / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    (folder / "biggan").mkdir()
    for name in ("G_ema.pth", "D.pth"):
        shutil.copy(FOREIGN / name, folder / "biggan")
    return folder


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    return str(write_inception(tmp_path_factory.mktemp("weights") / "seeded.pth"))


def prepare(folder, here):
    done = fewgan("prepare ./photos", folder)
    assert "24 photos at 128 px" in done.stdout
    assert (folder / "dataset" / "preview.png").exists()
    (broken,) = [
        json.loads(line)
        for line in (folder / "dataset" / "rejected.jsonl").read_text().splitlines()
        if "JPG" not in line and "broken" in line
    ]
    assert broken["name"].endswith("broken.jpg")
    assert "--force" in here("prepare ./photos", expected=2).stderr
    dry = here(f"{LITERAL} --dry-run --json")  # from the source that comes with fewgan
    assert "Photos: downscaled from 128 to 64 px" in dry.stderr
    plan = json.loads(dry.stdout)
    assert (plan["method"]["source"], plan["networks"]["size"]) == ("embedded", 64)
    here("prepare ./photos --size 32 --holdout 6 --force")


def train(folder, here):
    done = here(LITERAL, expected=2)
    assert "64" in done.stderr.splitlines()[-1]
    assert "32" in done.stderr.splitlines()[-1]
    dry = here(f"{LITERAL} --source ./biggan --dry-run --json")
    assert json.loads(dry.stdout)["networks"]["size"] == 32
    assert not (folder / "runs").exists()
    done = fewgan(f"{LITERAL} --source ./biggan --steps 4 --batch-size 4 --save-every 2 --keep-generators", folder)
    run = folder / "runs" / "00001-dataset-biggan-minegan-diffaugment-cr"
    assert str(run.relative_to(folder)) in done.stdout
    assert "left" in done.stderr or "4/4" in done.stderr
    assert picture(run / "samples" / "000004.png").size[0] > 8 * 32
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert metrics[-1]["step"] == 4
    more = here("train --resume latest --steps 5 --json")
    assert json.loads(more.stdout)["step"] == 5
    refused = here("train --resume latest --batch-size 8", expected=2)
    assert "--batch-size" in refused.stderr


def sample(folder, here):
    done = fewgan("sample --truncation 0.5", folder)
    pictures = folder / "pictures" / "00001-dataset-biggan-minegan-diffaugment-cr-t0.5-seed0"
    assert str(pictures.relative_to(folder)) in done.stdout
    assert len(list(pictures.glob("*.png"))) == 64
    first = (pictures / "000000.png").read_bytes()
    here("sample --truncation 0.5 --count 3 --out again")
    again = picture(folder / "again" / "000000.png")
    assert again.tobytes() == picture(pictures / "000000.png").tobytes()
    assert (pictures / "000000.png").read_bytes() == first
    here("sample --grid --interpolate", expected=2)
    here("sample --interpolate --count 2 --out loop.webp")
    with Image.open(folder / "loop.webp") as loop:
        assert loop.n_frames > 24  # equal frames are merged


def score(folder, here, inception, monkeypatch):
    done = fewgan("fid --count 32 --json", folder, FEWGAN_INCEPTION_WEIGHTS=inception)
    report = json.loads(done.stdout)
    assert report["count"] == 32
    assert report["frechet_distance"] > 0
    assert {"kid", "precision", "recall", "features"} <= report.keys()
    run = folder / "runs" / "00001-dataset-biggan-minegan-diffaugment-cr"
    assert (run / "fid" / "nearest.png").exists()
    with monkeypatch.context() as patch:
        patch.setenv("FEWGAN_INCEPTION_WEIGHTS", inception)
        shown = here("fid --count 8 --truncation 0.5,1.0")
        assert len((run / "fid" / "sweep.csv").read_text().splitlines()) >= 3
        here("fid --count 8 --snapshots")
    assert "held-out" in shown.stdout
    assert "FID" not in shown.stdout  # not the standard weights
    assert (run / "fid" / "snapshots.png").exists()


def score_without_weights(folder, tmp_path):
    done = fewgan("fid", folder, expected=1, FEWGAN_CACHE=str(tmp_path), https_proxy="http://127.0.0.1:9", no_proxy="")
    assert done.stderr.strip().count("\n") == 0
    assert "--inception-weights" in done.stderr


def test_the_commands_one_after_the_other(folder, here, inception, monkeypatch, tmp_path):
    """In one test, since each needs what those before it left: workers that share the tests out may divide a module."""
    prepare(folder, here)
    train(folder, here)
    sample(folder, here)
    score(folder, here, inception, monkeypatch)
    score_without_weights(folder, tmp_path)


def test_the_network_may_be_of_any_class_count_and_photos_larger(folder, here):
    state = {name: torch.load(folder / "biggan" / name, weights_only=True) for name in ("G_ema.pth", "D.pth")}
    assert plugin.read(state).options == Options(width=8, attention="16", embedding_dim=32)
    here("prepare ./photos --size 64 --out larger")
    done = here("train larger --transfer finetune --source biggan --steps 1 --batch-size 4")
    assert "from 64 to 32 px" in done.stderr
    (run,) = (folder / "runs").glob("*-larger-biggan-finetune")
    weights = load_file(run / "generator.safetensors")
    assert weights["generator.shared.weight"].shape == (1, 32)
