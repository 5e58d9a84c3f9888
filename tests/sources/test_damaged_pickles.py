"""Files that are damaged, or are something else than a pickle: one line that says what; and fuzzing."""

import gzip
import io
import os
import pickle
import resource
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import KINDS, read, save
from torch import nn

from fewgan.errors import UsageError
from fewgan.sources.pickles import networks


class Evil:
    """An object whose pickle creates a file named `executed` where Python reads it."""

    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def unpacked(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_archives(tmp_path):
    path = save({"weight": torch.ones(1000)}, tmp_path / "model.pt", "zip")
    members = unpacked(path)
    assert read(archive(tmp_path / "again.pt", members))["weight"].sum() == 1000
    without = {name: data for name, data in members.items() if name != "model/data/0"} | {"pad": bytes(9999)}
    moved = members["model/data.pkl"].replace(b"X\x01\x00\x00\x000", b"X\x05\x00\x00\x00../.0")
    wrong = {
        "compressed": (members, zipfile.ZIP_DEFLATED, "compressed"),
        "missing": (without, 0, "data/0 is missing"),
        "short": (members | {"model/data/0": bytes(3999)}, 0, "has 3999 bytes"),
        "other": ({"a.txt": b"a"}, 0, "not one of torch.save"),
        "script": (members | {"model/constants.pkl": b""}, 0, "TorchScript"),
        "big endian": (members | {"model/byteorder": b"big"}, 0, "byte order"),
        "no pickle": (members | {"model/data.pkl": b"no pickle"}, 0, "opcode"),
        "outside": (members | {"model/data.pkl": moved}, 0, "is missing"),
    }  # fmt: skip
    for name, (content, compression, reason) in wrong.items():
        with pytest.raises(UsageError, match=reason):
            read(archive(tmp_path / f"{name}.pt", content, compression))


def test_a_flipped_bit_in_an_archive_is_found(tmp_path):
    path = save({"weight": torch.ones(1000)}, tmp_path / "model.pt", "zip")
    data = bytearray(path.read_bytes())
    data[data.index(torch.ones(500).numpy().tobytes()) + 100] ^= 4
    path.write_bytes(data)
    with pytest.raises(UsageError, match="CRC"):
        read(path)


def test_declared_sizes_allocate_nothing(tmp_path):
    """A zip whose directory claims 1 TB, and an old file whose storage does, in a few KB."""
    path = save({"weight": torch.ones(1000)}, tmp_path / "model.pt", "zip")
    data, size = bytearray(path.read_bytes()), struct.pack("<II", 4000, 4000)
    at = data.rindex(size)  # in the central directory
    data[at : at + 8] = struct.pack("<II", 2**32 - 2, 2**32 - 2)
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match="memory"):
        read(path)
    path = save({"weight": torch.ones(1000)}, tmp_path / "old.pt", "old")
    path.write_bytes(path.read_bytes().replace(b"M\xe8\x03", b"J\xff\xff\xff\x7f"))
    with pytest.raises(UsageError, match="more than the file"):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_one_member_for_many_storages(tmp_path):
    """Overlapping members: each may be as large as the file, their sum may not."""
    parts = [torch.full((10_000,), float(index)) for index in range(40)]
    path = save(parts, tmp_path / "model.pt", "zip")
    members = unpacked(path)
    packed = archive(tmp_path / "small.pt", {k: v for k, v in members.items() if "/data/" not in k or k.endswith("/0")})
    data = bytearray(packed.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HII", data, end + 10)
    directory = data[start : start + size]
    entry = directory[directory.index(b"model/data/0") - 46 :][: 46 + len(b"model/data/0")]
    for index in range(1, 40):
        name = f"model/data/{index}".encode()
        header = bytearray(entry[:46])
        header[28:30] = struct.pack("<H", len(name))
        directory += header + name
    struct.pack_into("<HHII", data, end + 8, count + 39, count + 39, len(directory), start)
    packed.write_bytes(data[:start] + directory + data[end:])
    with pytest.raises(UsageError, match="damaged"):
        read(packed)


def zipped(*names):
    with zipfile.ZipFile(made := io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return made.getvalue()


WHAT = {
    "empty": (b"", "an empty file"),
    "gzip": (gzip.compress(b"x"), "gzip"),
    "tar": (bytes(257) + b"ustar\x0000", "tar archive"),
    "safetensors": (struct.pack("<Q", 20) + b'{"a":{"dtype":"F32"', "safetensors"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "html": (b"\n<!DOCTYPE html><html>", "a web page"),
    "html too": (b"\xef\xbb\xbf<HTML lang=en>", "a web page"),
    "png": (b"\x89PNG\r\n\x1a\n", "a picture"),
    "jpeg": (b"\xff\xd8\xff\xe0", "a picture"),
    "hdf5": (b"\x89HDF\r\n", "Keras"),
    "json": (b'{"a": 1}', "JSON"),
    "npy": (np.zeros(3).tobytes() and b"\x93NUMPY\x01", "NumPy array"),
    "text": (b"just some words", "neither a pickle nor"),
    "protocol 0": (pickle.dumps([1], protocol=0), "neither a pickle nor"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(600), "a TensorFlow Lite model"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x05" + bytes(300), "an ONNX model"),
    "cut": (b"PK\x03\x04" + bytes(300), "as torch.save writes it, damaged or not copied whole"),
    "npz": (zipped("x.npy"), "arrays of NumPy"),
    "keras": (zipped("metadata.json", "model.weights.h5"), "a Keras model"),
    "word": (b"PK\x05\x06" + bytes(18), "not one of torch.save"),
}


@pytest.mark.parametrize("name", WHAT)
def test_what_a_file_is(tmp_path, name):
    path = tmp_path / "file.pkl"
    path.write_bytes(WHAT[name][0])
    with pytest.raises(UsageError, match=WHAT[name][1]) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a file"):
        read(tmp_path / "pipe")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(UsageError, match="No such file"):
        read(tmp_path / "absent")


def _valid(kind, folder):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    content = {"G": net, "weights": net.state_dict(), "number": np.float64(1), "array": np.ones(3), "evil": Evil(),
               "config": {"size": 3, "names": ["a", ("b", 1.5)], "set": {1}}}  # fmt: skip
    path = save(content, folder / kind, kind)
    return path.read_bytes()


@pytest.fixture(scope="module", params=KINDS)
def valid(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("valid")
    return _valid(request.param, folder), folder / "broken"


def _touch(value):
    """Walks through what was read as a user of it would: every tensor can be used, every state dict made."""
    for network in networks(value).values():
        try:
            state = network.state
        except UsageError:
            continue
        for tensor in state.values():
            tensor.clone().sum()


def _try(data, path):
    path.write_bytes(data)
    try:
        _touch(read(path))
    except UsageError as error:
        said = str(error)
    else:
        return
    assert said.startswith(f"{path}: ")
    assert "\n" not in said


def test_the_untouched_file_is_read(valid):
    data, path = valid
    path.write_bytes(data)
    value = read(path)
    assert list(networks(value)["G"].state) == list(value["weights"])


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bytes(valid, data):
    original, path = valid
    changed = bytearray(original)
    at = st.integers(0, len(changed) - 1)
    for index, byte in data.draw(st.lists(st.tuples(at, st.integers(0, 255)), min_size=1, max_size=8)):
        changed[index] = byte
    _try(changed, path)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_cut_and_spliced_files(valid, data):
    original, path = valid
    at = st.integers(0, len(original))
    (start, end), where = sorted((data.draw(at), data.draw(at))), data.draw(at)
    _try(original[:end], path)
    _try(original[start:], path)
    _try(original[:start] + original[end:], path)
    _try(original[:where] + original[start:end] + original[where:], path)


@given(code=st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_random_opcodes(tmp_path_factory, code):
    _try(b"\x80\x04" + code + b".", tmp_path_factory.getbasetemp() / "random.pkl")


NAMES = (
    "os\nsystem", "torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_parameter", "collections\nOrderedDict",
    "torch.storage\n_load_from_bytes", "torch._tensor\n_rebuild_from_type_v2", "builtins\nset", "numpy\ndtype",
    "numpy.core.multiarray\n_reconstruct", "numpy.core.multiarray\nscalar", "copyreg\n__newobj__",
    "torch_utils.persistence\n_reconstruct_persistent_obj",
)  # fmt: skip
WORDS = [
    *(bytes([code]) for code in b"(0122NKMJ])}\x8f\x85\x86\x87tlsuaeRbo\x81\x92\x91\x90\x94QP"),
    *(f"c{name}\n".encode() for name in NAMES),
    *(
        b"K\x01",
        b"h\x00",
        b"q\x00",
        b"h\x01",
        b"q\x01",
        b"X\x01\x00\x00\x00a",
        b"B\x03\x00\x00\x00abc",
        b"X\x04\x00\x00\x00exec",
    ),
]


@given(code=st.lists(st.sampled_from(WORDS), max_size=60))
@settings(max_examples=1000, deadline=None)
def test_random_words(tmp_path_factory, code):
    _try(b"\x80\x04" + b"".join(code) + b".", tmp_path_factory.getbasetemp() / "words.pkl")
