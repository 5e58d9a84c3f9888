"""The opcodes of pickle, read as data: containers are built, and nothing that a pickle names is looked up or called.

`pickle.Unpickler` calls whatever is on its stack. Here no operation calls a value: a name becomes a `Record`, a call of
it another one, and the few that hold tensors are taken apart by the `Builder` (tensors.py). Protocols 2 to 5.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any, Protocol

from fewgan.sources.pickles.records import Record, Unreadable, check_depth, contents, key

OPCODES = 10_000_000
"""The most opcodes of one pickle; each builds at most one small object, so this bounds memory and time."""


class Builder(Protocol):
    """What gives values to the calls of a pickle. None of its methods may run anything that the pickle names."""

    def call(self, function: Any, args: Any, kwargs: Any = None) -> Any: ...

    def set_up(self, value: Any, state: Any) -> Any:
        """The object after BUILD: the same one, or what stands in for it from now on."""

    def persistent(self, identity: Any) -> Any: ...

    def data(self, content: memoryview, before: Any) -> Any:
        """The value of a bytes object; before: what lies below it on the stack."""


def evaluate(data: memoryview, start: int, builder: Builder) -> tuple[Any, int]:
    """What the pickle at this position holds, and the position after it. Raises Unreadable, or any of Python's errors
    for data that is damaged: EOFError, IndexError, KeyError, TypeError, ValueError, struct.error."""
    machine = _Machine(data, start, builder)
    for _ in range(OPCODES):
        opcode = machine.take(1)[0]
        if opcode == pickle.STOP[0]:
            value = machine.stack.pop()
            check_depth(value)
            return value, machine.position
        if opcode not in _OPERATIONS:
            raise Unreadable(f"the pickle has an opcode that is not read (0x{opcode:02x} at {machine.position - 1})")
        _OPERATIONS[opcode](machine)
    raise Unreadable(f"the pickle has more than {OPCODES:,} opcodes")


class _Machine:
    def __init__(self, data: memoryview, start: int, builder: Builder) -> None:
        self.data, self.position, self.builder = data, start, builder
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.places: dict[int, list[int]] = {}  # where the memo holds each record that set_up may replace

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.position:
            raise EOFError("the file ends inside its pickle")
        self.position += count
        return self.data[self.position - count : self.position]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        text, newline, _ = bytes(self.data[self.position : self.position + 4096]).partition(b"\n")
        if not newline:
            raise Unreadable("damaged (a line of its pickle does not end)")
        self.position += len(text) + 1
        return text.decode()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def pop_many(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("the stack is empty")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def remember(self, index: int) -> None:
        value = self.memo[index] = self.stack[-1]
        if type(value) is Record:
            self.places.setdefault(id(value), []).append(index)

    def call(self, count: int) -> None:
        self.push(self.builder.call(*self.pop_many(count)))

    def call_marked(self, *, named: bool) -> None:
        """OBJ, whose class is the first item, and INST, which names it itself."""
        items = self.pop_mark()
        function = Record(self.line(), self.line()) if named else items.pop(0)
        self.push(self.builder.call(function, tuple(items)))

    def build(self) -> None:
        value, state = self.pop_many(2)
        self.push(self.builder.set_up(value, state))
        if self.stack[-1] is not value:
            for index in self.places.get(id(value), ()):
                if self.memo[index] is value:
                    self.memo[index] = self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is Record:
            target = contents(target, dict)
        if type(target) is not dict or len(items) % 2:
            raise Unreadable("damaged (its pickle sets items of what is no dictionary)")
        for index in range(0, len(items), 2):
            target[key(items[index])] = items[index + 1]

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is Record:
            target = contents(target, list)
        if type(target) is not list:
            raise Unreadable("damaged (its pickle appends to what is no list)")
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is Record:
            contents(target, list).extend(items)
        elif type(target) is set:
            target.update(map(key, items))
        else:
            raise Unreadable("damaged (its pickle adds to what is no set)")

    def text(self, form: str) -> None:
        self.push(str(self.take(self.number(form)), "utf-8", "surrogatepass"))

    def old_text(self, form: str) -> None:
        """A `str` of Python 2, which is text or data."""
        content = bytes(self.take(self.number(form)))
        self.push(content.decode() if content.isascii() else content)

    def binary(self, form: str) -> None:
        content = self.take(self.number(form))
        self.push(self.builder.data(content, self.stack[-1] if self.stack else None))

    def long(self, form: str) -> None:
        count = self.number(form)
        if count < 0:
            raise Unreadable("damaged (a negative length)")
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def protocol(self) -> None:
        version = self.number("<B")
        if version > 5:
            raise Unreadable(f"a pickle of protocol {version}; 5 is the newest one known")

    def frame(self) -> None:
        if self.number("<Q") > len(self.data) - self.position:
            raise EOFError("the file ends inside its pickle")


def _constant(value: Any) -> Callable[[_Machine], None]:
    return lambda machine: machine.push(value)


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return {key(name): value for name, value in zip(items[::2], items[1::2], strict=True)}


_M = _Machine
_OPERATIONS: dict[int, Callable[[_Machine], Any]] = {
    code[0]: operation
    for code, operation in (
        (pickle.PROTO, _M.protocol),
        (pickle.FRAME, _M.frame),
        (pickle.MARK, _M.mark),
        (pickle.POP, _M.pop),
        (pickle.POP_MARK, _M.pop_mark),
        (pickle.DUP, lambda m: m.push(m.stack[-1])),
        (pickle.NONE, _constant(None)),
        (pickle.NEWTRUE, _constant(True)),
        (pickle.NEWFALSE, _constant(False)),
        (pickle.BININT, lambda m: m.push(m.number("<i"))),
        (pickle.BININT1, lambda m: m.push(m.number("<B"))),
        (pickle.BININT2, lambda m: m.push(m.number("<H"))),
        (pickle.INT, lambda m: m.push(_integer(m.line()))),
        (pickle.LONG, lambda m: m.push(int(m.line().removesuffix("L")))),
        (pickle.LONG1, lambda m: m.long("<B")),
        (pickle.LONG4, lambda m: m.long("<i")),
        (pickle.FLOAT, lambda m: m.push(float(m.line()))),
        (pickle.BINFLOAT, lambda m: m.push(m.number(">d"))),
        (pickle.UNICODE, lambda m: m.push(m.line().encode().decode("raw-unicode-escape"))),
        (pickle.BINUNICODE, lambda m: m.text("<I")),
        (pickle.SHORT_BINUNICODE, lambda m: m.text("<B")),
        (pickle.BINUNICODE8, lambda m: m.text("<Q")),
        (pickle.BINSTRING, lambda m: m.old_text("<I")),
        (pickle.SHORT_BINSTRING, lambda m: m.old_text("<B")),
        (pickle.BINBYTES, lambda m: m.binary("<I")),
        (pickle.SHORT_BINBYTES, lambda m: m.binary("<B")),
        (pickle.BINBYTES8, lambda m: m.binary("<Q")),
        (pickle.BYTEARRAY8, lambda m: m.binary("<Q")),
        (pickle.EMPTY_DICT, lambda m: m.push({})),
        (pickle.EMPTY_LIST, lambda m: m.push([])),
        (pickle.EMPTY_SET, lambda m: m.push(set())),
        (pickle.EMPTY_TUPLE, _constant(())),
        (pickle.TUPLE, lambda m: m.push(tuple(m.pop_mark()))),
        (pickle.TUPLE1, lambda m: m.push(tuple(m.pop_many(1)))),
        (pickle.TUPLE2, lambda m: m.push(tuple(m.pop_many(2)))),
        (pickle.TUPLE3, lambda m: m.push(tuple(m.pop_many(3)))),
        (pickle.LIST, lambda m: m.push(m.pop_mark())),
        (pickle.DICT, lambda m: m.push(_pairs(m.pop_mark()))),
        (pickle.FROZENSET, lambda m: m.push(frozenset(map(key, m.pop_mark())))),
        (pickle.SETITEM, lambda m: m.set_items(m.pop_many(2))),
        (pickle.SETITEMS, lambda m: m.set_items(m.pop_mark())),
        (pickle.APPEND, lambda m: m.extend(m.pop_many(1))),
        (pickle.APPENDS, lambda m: m.extend(m.pop_mark())),
        (pickle.ADDITEMS, lambda m: m.add(m.pop_mark())),
        (pickle.PUT, lambda m: m.remember(int(m.line()))),
        (pickle.BINPUT, lambda m: m.remember(m.number("<B"))),
        (pickle.LONG_BINPUT, lambda m: m.remember(m.number("<I"))),
        (pickle.MEMOIZE, lambda m: m.remember(len(m.memo))),
        (pickle.GET, lambda m: m.push(m.memo[int(m.line())])),
        (pickle.BINGET, lambda m: m.push(m.memo[m.number("<B")])),
        (pickle.LONG_BINGET, lambda m: m.push(m.memo[m.number("<I")])),
        (pickle.GLOBAL, lambda m: m.push(Record(m.line(), m.line()))),
        (pickle.STACK_GLOBAL, lambda m: m.push(_named(*m.pop_many(2)))),
        (pickle.INST, lambda m: m.call_marked(named=True)),
        (pickle.OBJ, lambda m: m.call_marked(named=False)),
        (pickle.NEWOBJ, lambda m: m.call(2)),
        (pickle.NEWOBJ_EX, lambda m: m.call(3)),
        (pickle.REDUCE, lambda m: m.call(2)),
        (pickle.BUILD, _M.build),
        (pickle.PERSID, lambda m: m.push(m.builder.persistent(m.line()))),
        (pickle.BINPERSID, lambda m: m.push(m.builder.persistent(m.stack.pop()))),
    )
}
"""Not among them: EXT1, EXT2, EXT4 (a registry of the process), buffers out of band, STRING (protocol 0)."""


def _integer(line: str) -> int:
    return {"00": False, "01": True}[line] if line in ("00", "01") else int(line)


def _named(module: Any, name: Any) -> Record:
    if type(module) is not str or type(name) is not str:
        raise Unreadable("damaged (a name in its pickle is no text)")
    return Record(module, name)
