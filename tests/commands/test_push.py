"""`fewgan push` and `--source hf:owner/name`, against a Hub on loopback."""

import json
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import fakehub
import pytest
import torch
from drawn import smooth
from inprocess import fewgan as command
from PIL import Image
from safetensors import safe_open

import fewgan
from fewgan import storage
from fewgan.commands.push import card
from fewgan.errors import FewganError, UsageError
from fewgan.sources import hub as source
from fewgan.testing import CommandTests

# huggingface_hub's own upload warns of its use of httpx, which names the argument otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

PHOTOS = 12
FILES = {"README.md", "discriminator.safetensors", "generator.safetensors", "samples.png"}


class TestPush(CommandTests):
    plugin = "push"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a dataset and a run that was trained from the packaged source, with scores as fid writes them."""
    folder = tmp_path_factory.mktemp("home")
    for index in range(PHOTOS):
        (folder / "photos").mkdir(exist_ok=True)
        smooth(70, 70, index).save(folder / "photos" / f"{index}.jpg")
    assert command("prepare photos --size 64 --quiet", folder) == 0
    line = "train --transfer finetune --aug diffaugment --cr --steps 1 --batch-size 2 --device cpu --quiet"
    assert command(line, folder) == 0
    run = next((folder / "runs").glob("0*"))
    row = {"truncation": 0.5, "frechet_distance": 41.25, "kid": 0.0123, "precision": 0.5, "recall": float("nan")}
    (run / "fid").mkdir()
    (run / "fid" / "scores.json").write_text(
        json.dumps(
            {
                "score_name": "FID",
                "features": "inception",
                "rows": [{**row, "against": "a|b <script>", "count": 5000}],
            }
        )
    )
    Image.new("RGB", (8, 8)).save(run / "fid" / "nearest.png")
    return folder


@contextmanager
def storage_of(path):
    """The config in a generator's file, to be changed."""
    tensors, facts = storage.read_tensors(path)
    yield facts["config"]
    storage.write_tensors(path, tensors, facts)


@pytest.fixture
def run(home):
    return next((home / "runs").glob("0*"))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with fakehub.serving(monkeypatch, tmp_path / "cache") as served:
        yield served


def test_a_folder_holds_what_would_be_uploaded(home, run, tmp_path, capsys):
    assert command(["push", str(run), "--folder", str(tmp_path / "out"), "--json", "--quiet"], home) == 0
    made = json.loads(capsys.readouterr().out)
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert (
        files
        == {"README.md", "discriminator.safetensors", "generator.safetensors", "samples.png"}
        == set(made["files"])
    )
    assert made["licence"] == "MIT"
    text = (tmp_path / "out" / "README.md").read_text()
    head = text.split("---\n")[1]
    facts = {name: json.loads(value) for name, value in (line.split(": ", 1) for line in head.splitlines())}
    assert list(facts) == ["license", "library_name", "pipeline_tag", "tags"]
    assert (facts["license"], facts["library_name"]) == ("mit", "fewgan")
    assert {"gan", "biggan", "finetune", "diffaugment", "cr"} <= set(facts["tags"])
    assert f"on {PHOTOS} photos. The photos are not part of it." in text
    assert "| a\\|b &lt;script&gt; | 0.5 | 41.25 | 0.0123 | 0.5 |  | 5,000 |" in text
    assert "It descends from embedded: MIT." in text
    with Image.open(tmp_path / "out" / "samples.png") as samples:
        assert samples.size == (4 * 66 + 2, 4 * 66 + 2)


def test_nothing_of_this_machine_and_no_photo_goes_out(home, run, tmp_path):
    assert command(["push", str(run), "--folder", str(tmp_path / "out"), "--quiet"], home) == 0
    pictures = (*(home / "photos").iterdir(), run / "real.png", home / "dataset" / "preview.png")
    private = [path.read_bytes() for path in pictures]
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert str(home).encode() not in content
        assert str(tmp_path).encode() not in content
        assert all(one not in content for one in private)
    with safe_open(tmp_path / "out" / "generator.safetensors", "pt") as file:
        config = json.loads(file.metadata()["fewgan"])["config"]
    assert config["licences"][-1] == {"source": run.name, "licence": "MIT"}


def test_options_that_may_be_paths_stay_here_and_steps_are_those_made(home, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    with storage_of(tmp_path / "run" / "generator.safetensors") as config:
        config |= {"steps": 3000, "score_every": 5}
        for name in ("features", "trackers"):
            choice = {"kind": name, "name": "x", "package": "x", "version": "1", "options": {"folder": "/secret/place"}}
            config[name] = [choice] if name == "trackers" else choice
    made = fewgan.load(tmp_path / "run" / "generator.safetensors")
    made.save(tmp_path / "saved")
    assert b"secret" not in (tmp_path / "saved" / "generator.safetensors").read_bytes()
    assert "- steps: 1 of 2 photos" in card.text(made, "MIT", title="t", where="hf:a/b", truncation=None)
    again = fewgan.load(tmp_path / "saved")
    assert "- steps: 1 of 2 photos" in card.text(again, "MIT", title="t", where="hf:a/b", truncation=None)


def test_one_word_is_the_repository_and_the_run_the_latest(home, hub, capsys):
    assert command("push me/latest --licence MIT --samples 1 --quiet", home) == 0
    assert fewgan.load("hf:me/latest").generator.size == 64


def test_push_and_load_again(home, run, hub, tmp_path, capsys):
    assert command(["push", str(run), "someone/planets", "--private", "--quiet"], home) == 0
    assert capsys.readouterr().out.startswith(f"{hub.address}/someone/planets: README.md, ")
    (files,) = hub.repositories["someone/planets"]
    assert set(files) == FILES
    assert hub.private["someone/planets"]
    assert b"\n# planets\n" in files["README.md"]
    assert b"fewgan sample hf:someone/planets\n" in files["README.md"]
    assert sum(method == "PUT" for method, _ in hub.requests) == 3  # by LFS
    model = fewgan.load("hf:someone/planets")
    assert model.name == "someone-planets"
    assert model.has_discriminator
    assert torch.equal(model.sample(2), fewgan.load(run).sample(2))
    assert {"source": "someone/planets", "licence": "MIT"} in model.config["licences"]
    assert ("GET", "/someone/planets/resolve/main/README.md") not in hub.requests


def test_a_source_wherever_one_may_stand(home, run, hub, capsys, tmp_path):
    assert command(["push", str(run), "someone/planets", "--quiet"], home) == 0
    assert command(f"sample hf:someone/planets --count 1 --out {tmp_path / 'one.png'} --quiet", home) == 0
    with Image.open(tmp_path / "one.png") as made:
        assert made.size == (64, 64)
    line = "train --transfer finetune --source hf:someone/planets --steps 1 --batch-size 2 --device cpu --quiet --out"
    assert command([*line.split(), str(tmp_path / "runs")], home) == 0
    config = json.loads(next((tmp_path / "runs").glob("0*")).joinpath("config.json").read_text())
    assert config["source"] == "hf:someone/planets"
    assert {"source": "someone/planets", "licence": "MIT"} in config["licences"]


def test_revisions_and_times_without_a_network(home, run, hub, monkeypatch):
    assert command(["push", str(run), "someone/planets", "--quiet"], home) == 0
    first = fakehub.sha("someone/planets", 0)
    model = fewgan.load("hf:someone/planets")
    embedded = Path(source.__file__).parent / "embedded"
    hub.commit("someone/planets", {"generator.safetensors": (embedded / "generator.safetensors").read_bytes()})
    newer, older = fewgan.load("hf:someone/planets"), fewgan.load(f"hf:someone/planets@{first}")
    assert torch.equal(newer.sample(1), fewgan.load("embedded").sample(1))
    assert torch.equal(older.sample(1), model.sample(1))
    with pytest.raises(UsageError, match="hf:someone/planets@none: no such revision"):
        fewgan.load("hf:someone/planets@none")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert torch.equal(fewgan.load("hf:someone/planets").sample(1), newer.sample(1))
    with pytest.raises(FewganError, match="cannot be reached, and was not downloaded before"):
        fewgan.load("hf:someone/else")


def test_a_foreign_repository(hub, tmp_path):
    """Weight files outside folders alone are fetched, and its licence is the model card's."""
    fewgan.load("embedded").export(tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    other = {"run.py": b"boom", "old/G_ema.pth": b"no", "config.json": b"{}"}
    hub.commit("a/b", {**files, **other, "README.md": b"---\nlicense: cc-by-4.0\n---\n"})
    model = fewgan.load("hf:a/b")
    assert torch.equal(model.sample(1), fewgan.load("embedded").sample(1))
    assert model.config["licences"] == [{"source": "hf:a/b", "licence": "cc-by-4.0"}]
    fetched = {path.rpartition("/")[2] for method, path in hub.requests if method == "GET" and "/resolve/" in path}
    assert fetched == set(files)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("hf:nobody/nothing", "hf:nobody/nothing: no such repository, or a private or gated one"),
        ("hf:a/code", "hf:a/code: this repository has no weight files"),
        ("hf:nobody", "hf:nobody: write hf:owner/name, or hf:owner/name@revision"),
        ("hf:../etc/passwd", "hf:../etc/passwd: write hf:owner/name"),
    ],
)
def test_what_is_not_there_is_one_line(hub, place, message):
    hub.commit("a/code", {"main.py": b""})
    with pytest.raises(UsageError) as caught:
        fewgan.load(place)
    assert message in str(caught.value)


def test_without_the_package(home, run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for line in (["push", str(run), "a/b"], ["sample", "hf:a/b"]):
        assert command(line, home) == 2
        error = capsys.readouterr().err
        assert "needs the package huggingface_hub; run pip install huggingface_hub" in error
        assert error.count("\n") == 1


def test_an_upload_that_breaks_off(home, run, hub, monkeypatch, capsys):
    monkeypatch.setattr(fakehub.Handler, "do_PUT", lambda self: self.refuse(400, "BadRequest"))
    assert command(["push", str(run), "someone/planets", "--quiet"], home) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: someone/planets: could not be uploaded (")
    assert error.count("\n") == 1
    assert hub.repositories == {"someone/planets": []}


def test_a_token_that_may_not_write(home, run, hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "another")
    assert command(["push", str(run), "someone/planets", "--quiet"], home) == 1
    error = capsys.readouterr().err
    assert "someone/planets: could not be uploaded (no valid token, or none that may write" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "give the repository as owner/name, or --folder"),
        (["a/b", "--folder", "x"], "give the repository as owner/name, or --folder"),
        (["planets"], "planets: write the repository as owner/name"),
        (["--folder", "photos"], "--folder photos: exists and is not an empty folder"),
    ],
)
def test_wrong_use(home, run, capsys, line, message):
    assert command(["push", str(run), *line], home) == 2
    assert message in capsys.readouterr().err


def config(*licences):
    return {"licences": [{"source": f"s{index}", "licence": text} for index, text in enumerate(licences)]}


def test_licences():
    assert card.licence(config("MIT", "MIT"), None) == "MIT"
    assert card.licence(config("MIT", "CC-BY-4.0"), " Apache-2.0 ") == "Apache-2.0"
    with pytest.raises(UsageError, match=r"several \(CC-BY-4.0; MIT\); give it with --licence"):
        card.licence(config("MIT", "CC-BY-4.0"), None)
    with pytest.raises(UsageError, match="no source states one; give it with --licence, such as --licence MIT"):
        card.licence(config(), None)
    assert card.known("MIT (code and weights)") == "mit"
    assert card.known("Nvidia Source Code License") is None
    settled = {"architecture": {"name": "x"}, "transfer": {"name": "none"}}
    head = card.front_matter(settled, "Nvidia Source\nCode: License")
    assert 'license: "other"\nlicense_name: "nvidia-source-code-license"\n' in head
    assert '"none"' not in head


def test_the_run_may_be_left_out_and_a_mistyped_one_is_no_repository(home, run, tmp_path, capsys):
    assert command(["push", "--folder", str(tmp_path / "out"), "--quiet"], home) == 0
    assert (tmp_path / "out" / "generator.safetensors").is_file()
    capsys.readouterr()
    assert command(["push", "runs/00009-typo"], home) == 2
    assert "runs/00009-typo: no such run; for a repository of this name" in capsys.readouterr().err
    assert command(["push", "./typo"], home) == 2
    assert "give the repository as owner/name, or --folder" in capsys.readouterr().err
