"""Readers of datasets, configs and safetensors files against inputs that nobody wrote: a result or a FewganError.

FEWGAN_FUZZ=100000 python -m pytest tests/test_fuzz.py    many more examples
"""

import json
import os
import shutil
import struct
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from drawn import draw, smooth, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fewgan
from fewgan import run, storage
from fewgan.architectures.biggan import Options
from fewgan.photos import dataset
from fewgan.photos.found import Refusal
from fewgan.photos.gather import gather
from fewgan.photos.kinds import Refused
from fewgan.photos.prepare import prepare
from fewgan.photos.squares import Square, square
from fewgan.plugin import FewganError
from fewgan.registry import choose
from fewgan.screen import Screen
from fewgan.training import loop as train
from fewgan.training.config import Config

QUIET = Screen(quiet=True)
EXAMPLES = int(os.environ.get("FEWGAN_FUZZ", "40"))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
seen: Counter[str] = Counter()

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1e999", "\n"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("fuzz")
    prepare(draw(place / "photos", 8), place / "dataset", size=32, workers=1, screen=QUIET)
    config = Config(
        data=str(place / "dataset"), out=str(place / "runs"), steps=1, batch_size=4, device="cpu",
        architecture=choose("architectures", "biggan", Options(width=1)), transfer=choose("transfers", "none"),
    )  # fmt: skip
    train.train(config, QUIET).folder.rename(place / "run")
    yield place
    print(f"inputs: {dict(seen)}")


@st.composite
def changed(draw, content):
    """JSON with one value, somewhere, replaced, taken out or given another name."""
    content = json.loads(json.dumps(content))
    inside = content
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return content
        key = draw(st.sampled_from(keys))
        if isinstance(inside[key], (dict, list)) and inside[key] and draw(st.booleans()):
            inside = inside[key]
            continue
        action = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
        if action == "replace" or isinstance(inside, list):
            inside[key] = draw(values)
        else:
            old = inside.pop(key)
            if action == "rename":
                inside[draw(st.text(max_size=6))] = old
        return content


@st.composite
def damaged(draw, content):
    """Bytes, some of them overwritten, cut off or added."""
    spoilt = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        # Most files are tensors, which any bytes are: the description in front is what breaks readers.
        at = draw(st.integers(0, min(len(spoilt) - 1, 3000)))
        spoilt[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(spoilt[: draw(st.none() | st.integers(0, len(spoilt)))])


def test_the_untouched_dataset_loads(place):
    """So that a reader that refuses everything does not pass."""
    found = dataset.load(place / "dataset")
    assert (len(found.images), found.size) == (8, 32)
    assert sum(len(dataset.photos(found, held_out=held_out)[0]) for held_out in (True, False)) == 8


def tried(name, read) -> None:
    seen[name] += 1
    with suppress(FewganError):
        read()


@fuzz
@given(data=st.data())
def test_the_facts_of_a_dataset(place, data):
    facts = json.loads((place / "dataset" / "dataset.json").read_text())
    copy = place / "copy"
    copy.mkdir(exist_ok=True)
    shutil.copy(place / "dataset" / "images.safetensors", copy)
    (copy / "dataset.json").write_text(json.dumps(data.draw(changed(facts))))

    def read():
        found = dataset.load(copy)
        for held_out in (True, False):
            dataset.photos(found, held_out=held_out)

    tried("dataset.json", read)


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("name", ["dataset.json", "images.safetensors"])
def test_the_bytes_of_a_dataset(place, data, name):
    copy = place / "bytes"
    shutil.copytree(place / "dataset", copy, dirs_exist_ok=True)
    (copy / name).write_bytes(data.draw(damaged((place / "dataset" / name).read_bytes())))
    tried(f"bytes of {name}", lambda: dataset.load(copy))
    shutil.copy(place / "dataset" / name, copy / name)
    assert len(dataset.load(copy).images) == 8


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"])
def test_the_bytes_of_a_photo(data, form):
    """A damaged photo becomes a square or a reason, by any name; the same photo untouched becomes a square."""
    whole = written(smooth(40, 40), form).getvalue()
    name = data.draw(st.sampled_from(["a.jpg", "a.heic", "a", "a.zip"]))
    assert isinstance(square(name, whole, 32, "center"), Square)
    result = square(name, data.draw(damaged(whole)), 32, "center")
    assert isinstance(result, (Square, Refusal))
    if isinstance(result, Refusal):
        assert result.reason.startswith(result.kind)
        assert "\n" not in result.reason


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_the_bytes_of_an_archive(place, data, form):
    path = place / f"photos.{form}"
    original = place / f"original.{form}"
    if not original.exists():
        shutil.make_archive(str(place / "original"), {"tar.gz": "gztar"}.get(form, form), place / "photos")

    def read() -> int:
        with gather(path, spool=place) as found:
            for photo in found.photos:
                with suppress(Refused):
                    found.read(photo)
            return len(found.photos)

    path.write_bytes(original.read_bytes())
    assert read() == 8
    path.write_bytes(data.draw(damaged(original.read_bytes())))
    tried(f"bytes of a {form}", read)


@fuzz
@given(data=st.data())
def test_a_config(place, data):
    path = place / "config" / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data.draw(changed(run.read_config(place / "run")))))

    def read():
        for choice in Config.from_dict(run.read_config(path.parent), path).choices:
            choice.plugin()

    tried("config.json", read)


@fuzz
@given(data=st.data())
def test_the_description_of_a_generator(place, data):
    tensors, facts = storage.read_tensors(place / "run" / run.GENERATOR)
    path = place / "described.safetensors"
    storage.write_tensors(path, tensors, data.draw(changed(facts)))
    tried("generator's description", lambda: fewgan.load(path))


@fuzz
@given(data=st.data())
@pytest.mark.parametrize("name", [run.GENERATOR, "checkpoints/000001.safetensors"])
def test_the_bytes_of_tensors(place, data, name):
    path = place / "bytes.safetensors"
    path.write_bytes(data.draw(damaged((place / "run" / name).read_bytes())))
    tried(f"bytes of {Path(name).name}", lambda: storage.read_tensors(path))


@fuzz
@given(header=values, length=st.none() | st.integers(0, 2**64 - 1), tail=st.binary(max_size=20))
def test_headers_that_nobody_wrote(place, header, length, tail):
    text = json.dumps(header).encode()
    path = place / "header.safetensors"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + tail)
    tried("headers", lambda: storage.read_tensors(path))


@fuzz
@given(data=st.data())
def test_the_bytes_of_foreign_weights(place, data):
    folder = place / "foreign"
    if not folder.exists():
        fewgan.load(place / "run").export(folder)
        (folder / "G_ema.pth").rename(place / "G_ema.pth")
    (folder / "G_ema.pth").write_bytes(data.draw(damaged((place / "G_ema.pth").read_bytes())))
    tried("bytes of G_ema.pth", lambda: fewgan.load(folder))
    assert torch.is_grad_enabled()
