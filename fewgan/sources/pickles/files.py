"""Files that hold pickles: torch.save's zip archives and its old format, and bare pickles."""

from __future__ import annotations

import mmap
import os
import stat
import struct
import sys
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from fewgan import signatures
from fewgan.errors import UsageError
from fewgan.sources.pickles.opcodes import evaluate
from fewgan.sources.pickles.records import Unreadable, printable
from fewgan.sources.pickles.tensors import Budget, Tensors, wrap

_MAGIC = 0x1950A86A20F9469CFC6C
"""What the old format of torch.save starts with, as a pickle of its own."""

_CHUNK = 2**20


def read(path: str | os.PathLike[str]) -> Any:
    """The content of a pickle or torch.save file: dict, list, tuple, set, str, bytes, numbers, None, plain tensors on
    the CPU (a storage is a 1-D tensor, a NumPy array a tensor), and a `Record` for anything else.

    Ordered and other known kinds of dictionaries are dicts. Raises UsageError, one line with the path, for a file that
    is damaged, is something else, or asks for more memory than its size justifies.
    """
    try:
        return _read(Path(path))
    except Unreadable as error:
        reason = str(error)
    except OSError as error:
        reason = f"cannot be read ({error.strerror or error})"
    except zipfile.BadZipFile as error:
        why = str(error).replace("File is not a zip file", "its end is missing")
        reason = f"a zip archive, as torch.save writes it, damaged or not copied whole ({why})"
    except RecursionError:
        reason = "damaged, or made to harm: its content is nested too deep"
    except Exception as error:  # damaged data raises nearly everything, from EOFError to UnicodeDecodeError
        said = str(error).split("\n")[0][:120]
        reason = f"damaged ({type(error).__name__}: {said})" if said else f"damaged ({type(error).__name__})"
    raise UsageError(f"{path}: {printable(reason, 300)}")


def _read(path: Path) -> Any:
    """Raises Unreadable with the reason, or whatever damaged data leads to."""
    with open(path, "rb", opener=_open) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a file")
        head, budget = file.read(512), Budget(status.st_size)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return _read_zip(file, budget)
        if not head.startswith(b"\x80"):
            raise Unreadable(signatures.known(head) or "neither a pickle nor a file of torch.save, or damaged")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            with memoryview(mapped) as data:
                return _read_pickle(data, budget)
        finally:
            with suppress(BufferError):  # where an error's traceback still holds parts of it
                mapped.close()


def _open(path: str, flags: int) -> int:
    """Does not wait for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_zip(file: Any, budget: Budget) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        folder = next((name[:-8] for name in members if name.endswith("/data.pkl") and name.count("/") == 1), None)
        if folder is None:
            if members and all(name.endswith(".npy") for name in members):
                raise Unreadable("arrays of NumPy (.npz), not a checkpoint of PyTorch")
            if "model.weights.h5" in members:
                raise Unreadable("a Keras model, not a checkpoint of PyTorch")
            raise Unreadable("a zip archive, but not one of torch.save (there is no data.pkl in it); unpack it first")
        if f"{folder}constants.pkl" in members:
            raise Unreadable("a TorchScript archive; save the state dict of the module in it with torch.save instead")
        storages: dict[str, Tensor] = {}

        def content(name: str) -> bytearray:
            member = members.get(folder + name)
            if member is None:
                raise Unreadable(f"damaged ({name[:80]} is missing in it)")
            if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
                raise Unreadable("a compressed zip archive; torch.save does not compress. Load and save it again")
            buffer = budget.allocate(member.file_size)
            with archive.open(member) as stream:
                position = 0
                while part := stream.read(_CHUNK):  # in parts, so that a tensor is in memory once
                    memoryview(buffer)[position : position + len(part)] = part
                    position += len(part)
            if position != len(buffer):
                raise EOFError(f"{name} ends early")
            return buffer

        def find(key: str, length: int) -> Tensor:
            if key not in storages:
                storages[key] = wrap(content(f"data/{key}"))
            return _at_least(storages[key], key, length)

        if f"{folder}byteorder" in members:
            _check_order(content("byteorder") == b"little")
        data = memoryview(content("data.pkl"))
        return evaluate(data, 0, Tensors(budget, find, partial(_nested, budget)))[0]


def _read_pickle(data: memoryview, budget: Budget, *, within: bool = False) -> Any:
    """A bare pickle, or the old format of torch.save: pickles of a magic number, a version, facts about the system, the
    content and the keys of its storages, then each storage: elements (int64), data. within: in bytes of another."""
    nested = None if within else partial(_nested, budget)
    value, position = evaluate(data, 0, Tensors(budget, None, nested))
    if type(value) is not int or value != _MAGIC:
        return value
    plain = Tensors(budget)
    _, position = evaluate(data, position, plain)
    facts, position = evaluate(data, position, plain)
    _check_order(type(facts) is not dict or facts.get("little_endian", True) is True)
    buffers: dict[str, bytearray] = {}
    storages: dict[str, Tensor] = {}

    def find(key: str, length: int) -> Tensor:
        if key not in storages:
            buffers[key] = budget.allocate(length)
            storages[key] = wrap(buffers[key])
        return _at_least(storages[key], key, length)

    value, position = evaluate(data, position, Tensors(budget, find, nested))
    keys, position = evaluate(data, position, plain)
    if not all(type(key) in (str, int) for key in keys) or sorted(map(str, keys)) != sorted(buffers):
        raise Unreadable("damaged (its list of storages is not that of its tensors)")
    for key in keys:
        buffer = buffers[str(key)]
        count = struct.unpack_from("<q", data, position)[0]
        if count not in (len(buffer) / size for size in (1, 2, 4, 8, 16)):
            raise Unreadable(f"damaged (storage {key} has {count} elements)")
        part = data[position + 8 : position + 8 + len(buffer)]
        if len(part) != len(buffer):
            raise EOFError("the file ends inside a storage")
        memoryview(buffer)[:] = part
        position += 8 + len(buffer)
    return value


def _nested(budget: Budget, content: memoryview) -> Tensor:
    """The storage that these bytes, a torch.save of its own, hold; `torch.storage._load_from_bytes` would run them."""
    value = _read_pickle(content, budget, within=True)
    if not isinstance(value, Tensor):
        raise Unreadable("damaged, or made to harm: data that should be a storage is something else")
    return value


def _at_least(storage: Tensor, key: str, length: int) -> Tensor:
    if len(storage) < length:
        raise Unreadable(f"damaged (storage {key[:80]} has {len(storage)} bytes, its tensors need {length})")
    return storage


def _check_order(little: bool) -> None:
    if not little or sys.byteorder != "little":
        raise Unreadable("a file of another byte order than little endian, which is not read")
