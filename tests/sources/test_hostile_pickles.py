"""Pickles made to harm: inert, or refused in one line."""

import collections
import copyreg
import gc
import io
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from listening import KINDS, read, save

from fewgan.errors import UsageError
from fewgan.sources.pickles import Record, networks


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Calls:
    """An object whose pickle calls this function with these arguments."""

    def __init__(self, function, *args, state=None):
        self.reduced = (function, args, state) if state is not None else (function, args)

    def __reduce__(self):
        return self.reduced


TOUCH = "touch executed"
STACK = pickle.SHORT_BINUNICODE + b"\x05posix" + pickle.SHORT_BINUNICODE + b"\x06system" + pickle.STACK_GLOBAL
ARGUMENT = pickle.SHORT_BINUNICODE + bytes([len(TOUCH)]) + TOUCH.encode()
INERT = {
    "GLOBAL": b"cos\nsystem\n" + ARGUMENT + b"\x85R.",
    "STACK_GLOBAL": STACK + ARGUMENT + b"\x85R.",
    "INST": b"(" + ARGUMENT + b"ios\nsystem\n.",
    "OBJ": b"(" + STACK + ARGUMENT + b"o.",
    "NEWOBJ": STACK + ARGUMENT + b"\x85\x81.",
    "NEWOBJ_EX": STACK + ARGUMENT + b"\x85}\x92.",
    "called twice": b"cfunctools\npartial\n" + STACK + b"\x85R" + ARGUMENT + b"\x85R.",
    "getattr": b"cbuiltins\ngetattr\ncos\nsystem\nX\x08\x00\x00\x00__call__\x86R" + ARGUMENT + b"\x85R.",
    "dotted": b"cbuiltins\n__import__('os').system\n" + ARGUMENT + b"\x85R.",
    "exec": b"cbuiltins\nexec\nX\x1a\x00\x00\x00open('executed','w').close\x85R.",
    "BUILD of a name": b"ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__Nsb.",
    "BUILD with slots": b"ctorch\nload\nN}X\x0c\x00\x00\x00__defaults__K\x01s\x86b.",
    "BUILD of a call": b"cos\nsystem\n)R}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb" + ARGUMENT + b"b.",
    "items of a name": b"cos\nenviron\nX\x04\x00\x00\x00PATHX\x01\x00\x00\x00xs.",
    "elements of a name": b"csys\npath\nX\x01\x00\x00\x00xa.",
    "persistent id": ARGUMENT + STACK + b"\x86Q.",
    "text persistent id": b"Pos.system\n.",
    "new objects of new objects": b"ccopyreg\n__newobj__\nq\x00(" + b"h\x00" * 10**5 + b"tR.",
    "a record in itself": b"capp\nThing\n)\x81q\x00}X\x04\x00\x00\x00selfh\x00sb.",
}


@pytest.mark.parametrize("name", INERT)
def test_calls_stay_records(tmp_path, name):
    path = tmp_path / "file.pkl"
    path.write_bytes(b"\x80\x04" + INERT[name])
    before = dict(os.environ), list(sys.path), torch._utils._rebuild_tensor_v2.__code__, torch.load.__defaults__
    value = read(path)
    assert type(value) is Record
    assert networks(value) == {}
    assert repr(value).startswith("Record(")
    assert before == (
        dict(os.environ),
        list(sys.path),
        torch._utils._rebuild_tensor_v2.__code__,
        torch.load.__defaults__,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_what_runs_when_python_reads_it_does_not_here(tmp_path, kind):
    """The control: `pickle` itself does execute this file."""
    content = {"weights": torch.ones(2), "evil": Calls(os.system, TOUCH)}
    path = save(content, tmp_path / "file", kind)
    value = read(path)
    assert type(value["evil"]) is Record
    assert value["weights"].tolist() == [1, 1]
    assert not Path("executed").exists()
    torch.load(path, weights_only=False) if kind in ("zip", "old") else pickle.loads(path.read_bytes())
    assert Path("executed").exists()
    Path("executed").unlink()


def hidden(content, **keywords):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False, **keywords)
    return buffer.getvalue()


EVIL = Calls(os.system, TOUCH)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(EVIL),
        hidden(EVIL),
        hidden([torch.ones(2), EVIL]),
        hidden(Calls(torch.storage._load_from_bytes, hidden(EVIL))),
        hidden(Calls(torch.storage._load_from_bytes, hidden(torch.ones(2).untyped_storage()))),
        b"",
        b"\x80\x02.",
        b"PK\x03\x04",
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_in_the_bytes_of_a_storage(tmp_path, data, protocol):
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps({"G": Calls(torch.storage._load_from_bytes, data)}, protocol=protocol))
    with pytest.raises(UsageError, match=r"file\.pkl: damaged"):
        read(path)


@pytest.mark.parametrize(
    "function",
    [torch.load, torch.jit.load, torch.hub.load, torch.serialization.load, np.load, pickle.loads, pickle.load, eval],
)
def test_loaders_are_not_called(tmp_path, function):
    torch.save(EVIL, tmp_path / "inner")
    path = save({"G": Calls(function, str(tmp_path / "inner"))}, tmp_path / "file", "4")
    assert type(read(path)["G"]) is Record


def rebuilt(offset, size, stride, storage=None):
    storage = torch.ones(4).untyped_storage() if storage is None else storage
    typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
    return Calls(torch._utils._rebuild_tensor_v2, typed, offset, size, stride, False, collections.OrderedDict())


@pytest.mark.parametrize("kind", ["zip", "old", "4"])
@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (5,), (1,)), (1, (4,), (1,)), (4, (), ()), (-1, (2,), (1,)), (0, (-1,), (1,)), (0, (2,), (-1,)),
        (0, (2, 2), (1, 3)), (0, (2**62, 2), (0, 1)), (0, (2**40,), (0,)), (0, (2**63,), (0,)), (2**70, (1,), (1,)),
        (0, (2**32, 2**32), (1, 1)), (0, (3,), (2,)), (0, (2,), ()), (0, [4], [1]), (0.0, (4,), (1,)),
        (0, (2**63, 0), (1, 1)), (0, ((4,),), (1,)), (0, 4, 1), (0, (True, 4), (4, 1)), (0, (2**20, 2**20), (0, 0)),
    ],
)  # fmt: skip
def test_no_tensor_leaves_its_storage(tmp_path, kind, offset, size, stride):
    path = save([rebuilt(offset, size, stride)], tmp_path / "file", kind)
    with pytest.raises(UsageError, match=r"file: damaged \(a tensor"):
        read(path)


@pytest.mark.parametrize("kind", ["zip", "old", "4"])
def test_the_whole_storage_may_be_used(tmp_path, kind):
    content = [rebuilt(0, (4,), (1,)), rebuilt(3, (), ()), rebuilt(0, (2, 2), (1, 2)), rebuilt(9, (0, 7), (3, 1))]
    found = read(save(content, tmp_path / "file", kind))
    assert [tuple(tensor.shape) for tensor in found] == [(4,), (), (2, 2), (0, 7)]


BIG = (2**31 - 1).to_bytes(4, "little")
HUGE = (2**63 - 1).to_bytes(8, "little")
STORAGE = hidden(torch.ones(4).untyped_storage())
REFUSED = {
    "EXT1": b"\x82\x01.",
    "EXT2": b"\x83\x01\x01.",
    "EXT4": b"\x84\x01\x01\x00\x00.",
    "out of band": b"\x97.",
    "huge bytes": b"B" + BIG + b"x.",
    "huge text": b"X" + BIG + b"x.",
    "huge bytes, 8": b"\x8e" + HUGE + b"x.",
    "huge text, 8": b"\x8d" + HUGE + b"x.",
    "huge bytearray": b"\x96" + HUGE + b"x.",
    "huge number": b"\x8b" + BIG + b"x.",
    "negative number": b"\x8b\xff\xff\xff\xffx.",
    "huge frame": b"\x95" + HUGE + b".",
    "unknown memo": b"j" + BIG + b".",
    "no value": b".",
    "no mark": b"t.",
    "no stop": b"N",
    "no arguments": b"cos\nsystem\nN R.",
    "arguments that are no tuple": b"cos\nsystem\n]R.",
    "items of a number": b"K\x01K\x02K\x03s.",
    "elements of a tuple": b")K\x01a.",
    "an odd number of items": b"}(K\x01u.",
    "a list as a key": b"}]K\x01s.",
    "a name that is a number": b"K\x01K\x02\x93.",
    "a long line": b"c" + b"x" * 5000 + b"\n.",
    "digits without end": b"L" + b"9" * 4400 + b"\n.",
    "protocol 9": b"\x80\x09N.",
    "storages of nowhere": b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x01tQ.",
    "data used too often":
        b"X\x00\x00\x04\x00" + b"x" * 2**18 + b"q\x00"
        + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 9 + b".",
    "a tensor of many dimensions": b"ctorch._utils\n_rebuild_tensor\n"
        b"ctorch.storage\n_load_from_bytes\nB%b%b\x85RK\x00(" % (
        len(STORAGE).to_bytes(4, "little"), STORAGE) + b"K\x01" * 100 + b"t(" + b"K\x01" * 100 + b"ttR.",
    "TensorFlow": b"cdnnlib.tflib.network\nNetwork\n)\x81.",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    copyreg.add_extension("os", "system", 1)
    path = tmp_path / "file.pkl"
    path.write_bytes(b"\x80\x04" + REFUSED[name])
    try:
        with pytest.raises(UsageError, match=r"file\.pkl: ") as caught:
            read(path)
    finally:
        copyreg.remove_extension("os", "system", 1)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


DEEP = {
    "lists": (b"]" * 10**6 + b"a" * (10**6 - 1), "nested"),
    "tuples": (b")" + b"\x85" * 10**6, "nested"),
    "calls": (b"ca\nb\n" + b")R" * 10**5, "nested"),
    "a key": (b"})" + b"\x85" * 10**6 + b"Ns", "key"),
    "a key of everything": (b"}K\x01" + b"\x85q\x00h\x00h\x00\x86" * 60 + b"Ns", "key"),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_depth(tmp_path, name):
    path = tmp_path / "file.pkl"
    path.write_bytes(b"\x80\x04" + DEEP[name][0] + b".")
    with pytest.raises(UsageError, match=DEEP[name][1]):
        read(path)
    gc.collect()


def test_names_and_shapes_that_are_lists_of_lists(tmp_path):
    """Nothing prints them, compares them, or multiplies them."""
    laughs = b"]" + b"q\x00]h\x00ah\x00a" * 60
    kind = b"cnumpy\ndtype\n" + laughs + b"\x85R"
    for code in (
        b"cnumpy.core.multiarray\nscalar\n" + kind + b"B\x01\x00\x00\x00a\x86R",
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01J\x00\x00\x00\x70" + laughs + b"\x86cnumpy\ndtype\n"
        b"X\x02\x00\x00\x00f4\x85RNB\x04\x00\x00\x00abcdtb",
        b"cos\nsystem\n" + laughs + b"\x85R",
        laughs + b"K\x01\x86Q",
    ):
        path = tmp_path / "file.pkl"
        path.write_bytes(b"\x80\x04" + code + b".")
        assert type(read(path)) is Record


def test_a_name_is_one_printable_line(tmp_path):
    state = b"}(X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_buffersh\x00X\x08\x00\x00\x00_modulesh\x00u"
    state = state.replace(b"h\x00", b"}").replace(b"_parameters}", b"_parameters}X\x03\x00\x00\x00a\n\x1bK\x01s")
    path = tmp_path / "file.pkl"
    path.write_bytes(b"\x80\x04X\x01\x00\x00\x00mX\x03\x00\x00\x00\n\x1b[\x93)\x81" + state + b"b.")
    with pytest.raises(UsageError, match=r"^\?\?\[: a\?\? is not a plain tensor") as caught:
        _ = networks(read(path))[""].state
    assert str(caught.value).isprintable()


def test_sharing_costs_nothing(tmp_path):
    """2**60 paths to one value."""
    for build in (b"q\x00h\x00\x86", b"q\x00]h\x00ah\x00a", b"q\x00}K\x01h\x00sK\x02h\x00s"):
        path = tmp_path / "file.pkl"
        path.write_bytes(b"\x80\x04]" + build * 60 + b".")
        assert networks(read(path)) == {}
        assert networks(read(save([read(path)], path, "4"))) == {}
