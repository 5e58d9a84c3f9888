"""Every file that fewgan reads, broken in every way we know: one line that names it, and nothing else changes."""

import json
import os
import shutil
import signal
import struct
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from drawn import draw

import fewgan
from fewgan import registry, run, storage
from fewgan.architectures.biggan import Options
from fewgan.photos import dataset
from fewgan.photos.prepare import prepare
from fewgan.plugin import FewganError
from fewgan.registry import choose
from fewgan.screen import Screen
from fewgan.sources import weights
from fewgan.training import loop as train
from fewgan.training.config import Config

QUIET = Screen(quiet=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder with a dataset, a run of two steps on it, and the same networks as another code would have them."""
    place = tmp_path_factory.mktemp("original")
    prepare(draw(place / "photos", 8), place / "dataset", size=32, workers=1, screen=QUIET)
    architecture = choose("architectures", "biggan", Options(width=2))
    settings = {"steps": 2, "save_every": 2, "batch_size": 4, "device": "cpu", "transfer": choose("transfers", "none")}
    config = Config(data=str(place / "dataset"), out=str(place / "runs"), architecture=architecture, **settings)
    train.train(config, QUIET).folder.rename(place / "run")
    fewgan.load(place / "run").export(place / "foreign")
    torch.save({"Mixed_7c.branch1x1.conv.weight": torch.zeros(2)}, place / "inception.pth")
    return place


@pytest.fixture
def place(original, tmp_path):
    shutil.copytree(original, tmp_path / "place")
    record = json.loads((tmp_path / "place" / "run" / "config.json").read_text())
    record["data_path"] = str(tmp_path / "place" / "dataset")
    (tmp_path / "place" / "run" / "config.json").write_text(json.dumps(record))
    return tmp_path / "place"


@pytest.fixture(autouse=True)
def in_time():
    """Nothing may hang, on a pipe without a writer least of all."""

    def late(*_: object) -> None:
        raise AssertionError("still reading after 20 seconds")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


def header(content: object, tail: bytes = b"") -> bytes:
    """A safetensors file with this JSON."""
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + tail


def resume(place: Path) -> None:
    train.resume(str(place / "run"), QUIET, steps=3)


READERS = {
    "run/config.json": resume,
    "run/checkpoints/000002.safetensors": resume,
    "run/generator.safetensors": lambda place: fewgan.load(place / "run"),
    "foreign/G_ema.pth": lambda place: fewgan.load(place / "foreign"),
    "foreign/D.pth": lambda place: fewgan.load(place / "foreign"),
    "inception.pth": lambda place: weights.read_weights(place / "inception.pth"),
    "dataset/dataset.json": lambda place: dataset.load(place / "dataset"),
    "dataset/images.safetensors": lambda place: dataset.load(place / "dataset"),
}
HUGE = {"w": {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 4]}}
CONTENTS = {
    "empty": b"",
    "random": bytes(torch.randint(0, 256, (4000,), generator=torch.Generator().manual_seed(0)).tolist()),
    "text": b"this is not it\n" * 50,
    "null bytes": bytes(5000),
    "a list": b"[1, 2, 3]",
    "deep": b"[" * 100_000,
    "huge number": b'{"format": 1e999, "steps": 1e999}',
    "not utf-8": b'{"format": 1, "name": "\xff\xfe"}',
    "huge header": struct.pack("<Q", 1 << 62) + b"{}",
    "huge shape": header(HUGE, bytes(4)),
    "deep header": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "no facts": header({}),
    "facts of a wrong type": header({"__metadata__": {"fewgan": "[]"}}),
    "deep facts": header({"__metadata__": {"fewgan": "[" * 100_000}}),
    "facts without anything": header({"__metadata__": {"fewgan": '{"format": 1}'}}),
}


def refused(read, place: Path, name: str) -> str:
    """The message, which is one line and names the file."""
    with pytest.raises(FewganError) as caught:
        read(place)
    message = str(caught.value)
    assert "\n" not in message, message
    assert any(part in message for part in Path(name).parts), message
    return message


def left(place: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", CONTENTS)
def test_broken_contents(place, name, kind):
    (place / name).write_bytes(CONTENTS[kind])
    before = left(place)
    refused(READERS[name], place, name)
    assert left(place) == before


@pytest.mark.parametrize("name", READERS)
def test_truncated_anywhere(place, name):
    content = (place / name).read_bytes()
    for length in {0, 1, 7, 8, 9, 100, len(content) // 3, len(content) // 2, len(content) - 9, len(content) - 3}:
        if 0 <= length < len(content):
            (place / name).write_bytes(content[:length])
            refused(READERS[name], place, name)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["folder", "loop", "pipe", "device", "dangling", "gone"])
def test_no_file_at_all(place, name, kind):
    path = place / name
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling":
        path.symlink_to(place / "nowhere")
    if name == "foreign/D.pth":
        model = fewgan.load(place / "foreign")  # no file, so no discriminator: the generator is good alone
        assert model.discriminator is None
        return
    refused(READERS[name], place, name)


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return (os.system, (self.command,))


@pytest.mark.parametrize("name", ["foreign/G_ema.pth", "foreign/D.pth", "inception.pth"])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_code_in_a_pickle_is_not_run(place, name, new):
    torch.save({"weight": Trap(f"touch {place}/ran")}, place / name, _use_new_zipfile_serialization=new)
    refused(READERS[name], place, name)
    assert not (place / "ran").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["foreign/G_ema.pth", "foreign/D.pth", "run/generator.safetensors"])
def test_weights_that_are_not_finite(place, name, value):
    if name.endswith(".pth"):
        state = torch.load(place / name, weights_only=True)
        state["linear.weight"][0, 0] = value
        torch.save(state, place / name)
    else:
        tensors, facts = storage.read_tensors(place / name)
        tensors["generator.linear.weight"][0, 0] = value
        storage.write_tensors(place / name, tensors, facts)
    assert "linear.weight" in refused(READERS[name], place, name)


@pytest.mark.parametrize("change", ["shape", "dtype", "missing", "extra"])
@pytest.mark.parametrize("name", ["run/generator.safetensors", "run/checkpoints/000002.safetensors"])
def test_tensors_that_do_not_fit(place, name, change):
    tensors, facts = storage.read_tensors(place / name)
    key = "generator.linear.weight"
    if change == "shape":
        tensors[key] = tensors[key][:-1]
    elif change == "dtype":
        tensors[key] = tensors[key].to(torch.int64)
    elif change == "missing":
        del tensors[key]
    else:
        tensors["generator.extra"] = torch.zeros(1)
    storage.write_tensors(place / name, tensors, facts)
    assert "extra" in (message := refused(READERS[name], place, name)) or "linear.weight" in message


WRONG = [None, -1, 0, 1.5, 1e400, "x", "\n", [], {}, True, 10**30]


@pytest.mark.parametrize("where", ["run/config.json", "run/generator.safetensors"])
def test_every_field_of_a_config_with_wrong_values(place, where):
    path = place / where
    tensors, facts = ({}, {}) if path.suffix == ".json" else storage.read_tensors(path)
    record = json.loads(path.read_text()) if path.suffix == ".json" else facts["config"]
    for key in [*record, "architecture.name", "architecture.options", "architecture.options.width", "transfer.name"]:
        for value in WRONG:
            changed = json.loads(json.dumps(record))
            inside = changed
            *parents, last = key.split(".")
            for parent in parents:
                inside = inside[parent]
            if inside[last] == value and type(inside[last]) is type(value):
                continue
            inside[last] = value
            if path.suffix == ".json":
                path.write_text(json.dumps(changed))
            else:
                storage.write_tensors(path, tensors, {**facts, "config": changed})
            signal.alarm(20)  # for each of hundreds of reads, not for all the writes between them on a busy disk
            try:
                with suppress(FewganError):  # or it is taken: a run may have any seed
                    run_config(place) if path.suffix == ".json" else fewgan.load(path)
            except Exception as error:
                raise AssertionError(f"{key}={value!r}: {type(error).__name__}: {error}") from error


def run_config(place: Path) -> None:
    """What a resume reads of config.json, without a training."""
    record = run.read_config(place / "run")
    config = Config.from_dict(record, Path("config.json"))
    for choice in config.choices:
        choice.plugin()


def test_a_newer_format_names_who_wrote_it(place):
    newer = {"format": 2, "fewgan": "9.1"}
    (place / "run" / "config.json").write_text(json.dumps(newer))
    (place / "dataset" / "dataset.json").write_text(json.dumps(newer))
    storage.write_tensors(place / "run" / "generator.safetensors", {}, newer)
    for name in ("run/config.json", "run/generator.safetensors", "dataset/dataset.json"):
        if name.endswith("tors"):
            shutil.rmtree(place / "run" / "checkpoints")
            (place / "run" / "config.json").write_text("{}")
        assert "fewgan 9.1" in refused(READERS[name], place, name)


@pytest.mark.parametrize("name", ["line\nbreak", "ünïcödé 🪐", "x" * 250, "--steps", " ", "a'b\"c"])
def test_names_of_folders(place, name):
    target = place / name
    (place / "foreign").rename(target)
    assert fewgan.load(target).sample(1).shape == (1, 3, 32, 32)
    (target / "G_ema.pth").write_bytes(b"")
    with pytest.raises(FewganError) as caught:
        fewgan.load(target)
    assert "G_ema.pth" in str(caught.value)


METADATA = {
    "entry points of random bytes": {"METADATA": b"Name: x\n", "entry_points.txt": CONTENTS["random"]},
    "entry points without sense": {"METADATA": b"Name: x\n", "entry_points.txt": b"x = y\n[fewgan.transfers\nz\n"},
    "entry points without names": {"METADATA": b"Name: x\n", "entry_points.txt": b"[fewgan.transfers]\n = \n= a b\n"},
    "random metadata": {"METADATA": CONTENTS["random"], "entry_points.txt": b"[fewgan.transfers]\nz = z:z\n"},
    "no metadata": {"entry_points.txt": b"[fewgan.transfers]\nz = z:z\n"},
    "nothing": {},
}


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_of_plugins(tmp_path, monkeypatch, kind):
    folder = tmp_path / "broken-1.0.dist-info"
    folder.mkdir()
    for name, content in METADATA[kind].items():
        (folder / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert {"biggan", "minegan", "inception"} <= {entry.name for entry in registry.describe()}
    for entry in registry.describe():
        if entry.name not in ("", "z") and entry.package == "fewgan":
            registry.load(entry.kind, entry.name)
    with pytest.raises(FewganError) as caught:
        registry.choose("transfers", "z")
    assert "\n" not in str(caught.value)
