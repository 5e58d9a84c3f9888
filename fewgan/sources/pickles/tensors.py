"""What a pickle's calls stand for where they are known: tensors, numbers and containers. The rest stays a `Record`.

Nothing here calls what a pickle names, and a tensor is only made after its size, strides and offset were checked
against the bytes that the file holds for it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fewgan.sources.pickles.records import Record, Unreadable, key

_STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128, "UntypedStorage": torch.uint8,
}  # fmt: skip
"""Plain dtypes; a quantized tensor's storage is not among them, so that tensor stays a record."""

_DTYPES = ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
"""Dtypes that torch saves by name, over untyped storage."""

_ARRAYS = {
    "f8": ("d", torch.float64), "f4": ("f", torch.float32), "f2": ("e", torch.float16), "i8": ("q", torch.int64),
    "i4": ("i", torch.int32), "i2": ("h", torch.int16), "i1": ("b", torch.int8), "u8": ("Q", torch.uint64),
    "u4": ("I", torch.uint32), "u2": ("H", torch.uint16), "u1": ("B", torch.uint8), "b1": ("?", torch.bool),
}  # fmt: skip
"""NumPy's code of a dtype → (struct's code, torch's dtype)."""

_ALIASES = {"__builtin__": "builtins", "copy_reg": "copyreg", "torch.tensor": "torch._tensor"}
_LOAD = "torch.storage._load_from_bytes"
_REBUILD = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")


class Budget:
    """Bounds the memory that a file may ask for: a pickle can use one piece of data again, but not a thousand times.

    size: bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = 4 * size + 2**16  # a storage can be counted as text, as bytes and as itself

    def spend(self, count: int) -> None:
        if not 0 <= count <= self.left:
            raise Unreadable(f"damaged, or made to harm: its {self.size:,} bytes ask for far more memory than that")
        self.left -= count

    def allocate(self, count: int) -> bytearray:
        self.spend(count)
        return bytearray(count)


class Tensors:
    """The `Builder` of one pickle.

    find: (key of a storage outside the pickle, bytes needed) → its bytes, uint8 [at least as many]; None where there
    are none. nested: the same for a storage that the pickle holds as bytes.
    """

    def __init__(
        self,
        budget: Budget,
        find: Callable[[str, int], Tensor] | None = None,
        nested: Callable[[memoryview], Tensor] | None = None,
    ) -> None:
        self.budget, self.find, self.nested = budget, find, nested

    def call(self, function: Any, args: Any, kwargs: Any = None) -> Any:
        if type(args) is not tuple:
            raise Unreadable("damaged (arguments in its pickle are no tuple)")
        if type(function) is not Record or function.args is not None:  # a method, or what a call gave
            return Record("", "call", (function, args), kwargs)
        if function.module.startswith("dnnlib.tflib") or function.module == "tfutil":
            raise Unreadable(
                "a TensorFlow network; convert it with legacy.py of stylegan2-ada-pytorch or stylegan3, then use that"
            )
        value = self._known(full_name(function), args, kwargs) if len(args) <= 20 else NotImplemented
        return Record(function.module, function.name, args, kwargs) if value is NotImplemented else value

    def _known(self, name: str, args: tuple[Any, ...], kwargs: Any = None) -> Any:  # noqa: PLR0911, PLR0912
        match name, args:
            case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state", (Tensor(), *_):
                return args[0]
            case "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2", (Tensor(), _, _, _, *rest):
                return NotImplemented if any(rest[2:]) else self.tensor(*args[:4])  # conjugate and negative views
            case "torch._utils._rebuild_tensor_v3", (Tensor(), _, _, _, _, _, Record() as kind, *rest):
                if kind.module == "torch" and kind.name in _DTYPES and not any(rest):
                    return self.tensor(typed(args[0], getattr(torch, kind.name)), *args[1:4])
            case (
                "torch._tensor._rebuild_from_type" | "torch._tensor._rebuild_from_type_v2",
                (Record(args=None) as function, _, tuple() as arguments, _),
            ) if full_name(function) in _REBUILD:  # of a subclass, or with attributes
                return self._known(full_name(function), arguments)
            case "torch.storage._load_from_bytes", (Tensor(),):  # read where its bytes stood
                return args[0]
            case "torch.storage._load_from_bytes", (bytes() as content,):
                return self._read_nested(memoryview(content))
            case "torch_utils.persistence._reconstruct_persistent_obj", ({"class_name": str() as title} as facts,):
                return Record("torch_utils.persistence", title, args, state=facts.get("state"))
            case "numpy.core.multiarray.scalar", (Record() as kind, bytes() | str() as content):
                return _scalar(kind, _raw(content))
            case (
                "numpy.core.numeric._frombuffer",
                (bytes() as content, Record() as kind, tuple() as shape, "C" | "F" as order),
            ):
                return self._array(kind, content, shape, fortran=order == "F")
            case "copyreg._reconstructor", (Record(args=None) as function, Record(args=None), _):
                return self.call(function, ())
            case "copyreg.__newobj__", (Record(args=None) as function, *rest):
                return self.call(function, tuple(rest))
            case "copyreg.__newobj_ex__", (Record(args=None) as function, tuple() as rest, more):
                return self.call(function, rest, more)
            case _ if not kwargs:
                return self._container(name, args)
        return NotImplemented

    def _container(self, name: str, args: tuple[Any, ...]) -> Any:  # noqa: PLR0911
        match name, args:
            case (
                "collections.OrderedDict" | "collections.defaultdict" | "builtins.dict" | "easydict.EasyDict"
                | "dnnlib.util.EasyDict" | "dnnlib.EasyDict",
                (),
            ):  # fmt: skip
                return {}
            case "collections.defaultdict", (_,):
                return {}
            case "collections.OrderedDict", (list() as items,):
                self.budget.spend(64 * len(items))
                return {key(entry): value for entry, value in items}
            case "builtins.set", (list() as items,):
                self.budget.spend(64 * len(items))
                return set(map(key, items))
            case "builtins.frozenset", (list() as items,):
                self.budget.spend(64 * len(items))
                return frozenset(map(key, items))
            case "torch.Size", (tuple() as size,):
                return size
            case "builtins.bytes", ():
                return b""
            case "builtins.bytearray", (bytes() as content,):
                return content
            case "_codecs.encode" | "builtins.bytearray", (str() as text, "latin1" | "latin-1"):  # bytes in protocol 2
                self.budget.spend(len(text))
                return text.encode("latin-1")
        return NotImplemented

    def set_up(self, value: Any, state: Any) -> Any:
        if type(value) is not Record or value.args is None:  # attributes of a dict, or of what has none here
            return value
        if full_name(value) == "numpy.core.multiarray._reconstruct":
            match state:
                case (_, tuple() as shape, Record() as kind, fortran, bytes() | str() as content):
                    array = self._array(kind, _raw(content), shape, fortran=bool(fortran))
                    return value if array is NotImplemented else array
        match state:
            case (None | dict() as attributes, dict() as slots):
                state = {**(attributes or {}), **slots}
                self.budget.spend(64 * len(state))
        object.__setattr__(value, "state", state)
        return value

    def persistent(self, identity: Any) -> Any:
        match identity:
            case tuple() if len(identity) > 10:
                pass
            case ("module" | b"module", Record() as kind, _, _):
                return kind
            case ("storage" | b"storage", Record() as kind, str() | int() as name, _, int() as count, *view):
                if kind.name in _STORAGES and kind.module.split(".")[0] == "torch":
                    return self._storage(_STORAGES[kind.name], str(name), count, view[0] if view else None)
        return Record("", "persistent_id", (identity,))

    def _storage(self, dtype: torch.dtype, name: str, count: int, view: Any) -> Tensor:
        """A storage outside the pickle, 1-D. view: (key, offset, size) of a part of it, as torch before 1.0 has."""
        if not 0 <= count <= self.budget.size:
            raise Unreadable(f"damaged (it has a storage of {_short(count)} elements, more than the file)")
        if self.find is None:
            raise Unreadable("damaged (a pickle alone, without the storages that it refers to)")
        length = count * dtype.itemsize
        storage = typed(self.find(name, length)[:length], dtype)
        if view is None:
            return storage
        _, offset, size = view
        if type(offset) is not int or type(size) is not int or not 0 <= offset <= offset + size <= count:
            raise Unreadable("damaged (a part of a storage lies outside it)")
        return storage[offset : offset + size]

    def data(self, content: memoryview, before: Any) -> Any:
        """Bytes that are about to become a storage are read where they stand, and so are in memory once."""
        if type(before) is Record and before.args is None and full_name(before) == _LOAD:
            return self._read_nested(content)
        return bytes(content)

    def _read_nested(self, content: memoryview) -> Tensor:
        self.budget.spend(len(content))
        if self.nested is None:
            raise Unreadable("damaged, or made to harm: a storage holds another file")
        return self.nested(content)

    def tensor(self, storage: Tensor, offset: Any, size: Any, stride: Any) -> Tensor:
        """A view of the storage, a 1-D tensor. Raises Unreadable where it would leave it."""
        if storage.dim() != 1 or type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
            raise Unreadable("damaged (a tensor has no storage or shape)")
        if len(size) > 64 or any(
            type(number) is not int or not 0 <= number < 2**62 for number in (offset, *size, *stride)
        ):
            raise Unreadable(f"damaged (a tensor of size {_short(size)}, strides {_short(stride)})")
        last = sum((length - 1) * step for length, step in zip(size, stride, strict=True))
        if 0 not in size and offset + last >= len(storage):
            raise Unreadable(f"damaged (a tensor of size {_short(size)} in a storage of {len(storage)} elements)")
        if math.prod(max(length, 1) for length in size) * storage.itemsize > max(self.budget.size, 2**20):
            raise Unreadable(f"damaged (a tensor of size {_short(size)} is larger than the file)")  # strides of 0
        return storage.as_strided(size, stride, storage.storage_offset() + (0 if 0 in size else offset))

    def _array(self, kind: Record, content: bytes, shape: tuple[Any, ...], *, fortran: bool) -> Any:
        code, order = _code(kind)
        if code not in _ARRAYS or order == ">" or len(shape) > 64 or any(type(length) is not int for length in shape):
            return NotImplemented
        buffer = self.budget.allocate(len(content))
        buffer[:] = content
        strides, step = [0] * len(shape), 1
        for axis in range(len(shape)) if fortran else reversed(range(len(shape))):
            strides[axis] = step
            step = min(step * shape[axis], 2**61)
        return self.tensor(typed(wrap(buffer), _ARRAYS[code][1]), 0, shape, tuple(strides))


def wrap(buffer: bytearray) -> Tensor:
    """The bytes as a uint8 tensor over the same memory, which torch cannot make larger."""
    return torch.frombuffer(buffer, dtype=torch.uint8) if buffer else torch.empty(0, dtype=torch.uint8)


def typed(data: Tensor, dtype: torch.dtype) -> Tensor:
    """The same memory [bytes] as another dtype; a rest that fills no element is left out."""
    if data.dim() != 1 or data.dtype != torch.uint8:
        raise Unreadable("damaged (a storage is none of bytes)")
    return data[: len(data) // dtype.itemsize * dtype.itemsize].view(dtype)


def full_name(record: Record) -> str:
    """The name as it is today: Python, NumPy and torch have renamed some of their modules."""
    module = _ALIASES.get(record.module, record.module).replace("numpy._core", "numpy.core", 1)
    return f"{module}.{record.name}"


def _code(kind: Record) -> tuple[str, str]:
    """NumPy's dtype as its code, f8 for instance, and its byte order."""
    if full_name(kind) != "numpy.dtype" or not kind.args or type(kind.args[0]) is not str:
        return "", ""
    order = kind.state[1] if type(kind.state) is tuple and len(kind.state) > 1 else "="
    return kind.args[0], order if type(order) is str else ""


def _scalar(kind: Record, content: bytes) -> Any:
    """A number of NumPy as Python's."""
    code, order = _code(kind)
    if code not in _ARRAYS:
        return NotImplemented
    return struct.unpack((">" if order == ">" else "<") + _ARRAYS[code][0], content)[0]


def _raw(content: bytes | str) -> bytes:
    return content.encode("latin-1") if isinstance(content, str) else content


def _short(value: Any) -> str:
    """For a message: a size can be a number of a million digits, or a list of lists."""
    if type(value) is tuple:
        return "[" + ", ".join(_short(item) for item in value[:8]) + (", …]" if len(value) > 8 else "]")
    return str(value) if type(value) is int and abs(value) < 2**64 else "?"
