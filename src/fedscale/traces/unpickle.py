"""Reading plain data out of a pickle without running it.

FedScale published its traces as pickles, and wrote test results and client maps as such. A pickle is a program, and
Python's own interpreter for it can be made to call anything. The interpreter below knows only the opcodes that build
plain data (protocols 2 to 5): dictionaries, lists, tuples, strings, bytes and numbers. It never imports and never
calls: the globals that such files name are read as notation, numpy's ``scalar`` and ``dtype`` for one number,
``OrderedDict`` for a dictionary. Everything else is refused by name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from fedscale.errors import TraceError
from fedscale.traces.arrays import quote

_SCALAR: Final = "numpy scalar"
_DTYPE: Final = "numpy dtype"
_ORDERED: Final = "ordered dictionary"

GLOBALS: Final = {
    ("numpy.core.multiarray", "scalar"): _SCALAR,  # numpy 1
    ("numpy._core.multiarray", "scalar"): _SCALAR,  # numpy 2
    ("numpy", "dtype"): _DTYPE,
    ("collections", "OrderedDict"): _ORDERED,
}
"""The only globals that a pickle may name."""

_NUMBERS: Final = {
    "f2": "e",
    "f4": "f",
    "f8": "d",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
}
"""Numpy's codes of numbers and those of ``struct``."""


_KEYS: Final = {str, bytes, int, float, bool}
"""Types of dictionary keys."""


class _Global:
    """One of ``GLOBALS``, standing on the stack; it cannot be called."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Dtype:
    """The dtype of a number."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "<"


def load_plain(content: bytes, path: Path) -> Any:
    """Return the plain data that the pickle ``content`` describes; ``path`` is for messages.

    Raises:
        TraceError: the pickle is damaged, or holds anything but plain data; the message names the byte.
    """
    return _Machine(content, path).run()


class _Machine:
    """A pickle's stack, marks and memo. Opcode methods take their argument from ``content`` at ``at``."""

    def __init__(self, content: bytes, path: Path) -> None:
        self.content = content
        self.path = path
        self.at = 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # what lies under each mark
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Execute opcodes up to STOP."""
        opcodes = _OPCODES
        begin = 0
        try:
            while True:
                begin = self.at
                code = self.content[begin]
                self.at = begin + 1
                if code == _STOP:
                    return self._result()
                opcodes[code](self)
        except KeyError:
            self.refuse(begin, f"opcode {bytes([self.content[begin]])!r} is refused, or names what was never stored")
        except (IndexError, struct.error):
            self.refuse(begin, "the pickle is cut short or damaged")
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            self.refuse(begin, str(error))

    def refuse(self, at: int, why: str) -> NoReturn:
        """Raise the error for the opcode at byte ``at``."""
        raise TraceError(f"{self.path} byte {at}: {why}; only plain data is read from a pickle") from None

    def _result(self) -> Any:
        if self.below or len(self.stack) != 1 or isinstance(self.stack[0], _Global | _Dtype):
            raise ValueError("the pickle does not end in one value")
        return self.stack[0]

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        taken = self.content[self.at : self.at + count]
        if len(taken) != count:
            raise IndexError
        self.at += count
        return taken

    def number(self, size: int) -> int:
        """Return the next ``size`` bytes as an unsigned number; that they exist shows when the next opcode is read."""
        begin = self.at
        self.at = begin + size
        return int.from_bytes(self.content[begin : self.at], "little")

    def line(self) -> str:
        """Return the text up to the next newline."""
        end = self.content.find(b"\n", self.at)
        if end < 0:
            raise IndexError
        text = self.content[self.at : end].decode()
        self.at = end + 1
        return text

    def above_mark(self) -> list[Any]:
        """Return what lies above the last mark, and remove both."""
        items = self.stack
        self.stack = self.below.pop()
        return items

    def global_(self, module: object, name: object) -> None:
        """Push a global, if it is an allowed one."""
        kind = GLOBALS.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if kind is None:
            raise ValueError(f"global {quote(f'{module}.{name}')} is refused")
        self.stack.append(_Global(kind))

    def reduce(self) -> None:
        """Read ``scalar(dtype, bytes)`` as a number and ``dtype(code, align, copy)`` as a dtype; call nothing."""
        arguments = self.stack.pop()
        function = self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise TypeError(f"a call of {type(function).__name__} is refused")
        self.stack.append(_REDUCERS[function.kind](*arguments))

    def build(self) -> None:
        """Set the byte order of a dtype; nothing else has a state."""
        state = self.stack.pop()
        dtype = self.stack[-1]
        if not isinstance(dtype, _Dtype) or not isinstance(state, tuple) or state[1] not in ("<", ">", "|"):
            raise ValueError(f"setting the state of {type(dtype).__name__} is refused")
        dtype.order = "<" if state[1] == "|" else state[1]

    def append(self, items: list[Any]) -> None:
        """Add items to the list on top."""
        if not isinstance(self.stack[-1], list):
            raise TypeError(f"appending to {type(self.stack[-1]).__name__} is refused")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Add keys and values, alternating, to the dictionary on top."""
        if not isinstance(self.stack[-1], dict):
            raise TypeError(f"setting items of {type(self.stack[-1]).__name__} is refused")
        keys = items[::2]
        if not {*map(type, keys)} <= _KEYS:  # hashing a deeply nested tuple could exhaust the C stack
            raise ValueError("a key that is neither text nor a number is refused")
        self.stack[-1].update(zip(keys, items[1::2], strict=True))

    def mark(self) -> None:
        """Put a mark on the stack."""
        self.below.append(self.stack)
        self.stack = []

    def pop(self, count: int) -> list[Any]:
        """Remove the top ``count`` values and return them, lowest first."""
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[-count:]
        del self.stack[-count:]
        return items


def _dtype(code: object, *flags: object) -> _Dtype:
    if code not in _NUMBERS:
        raise ValueError(f"numpy dtype {quote(code)} is refused")
    return _Dtype(str(code))


def _scalar(dtype: object, raw: object) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
        raise TypeError("a numpy scalar that is not a number is refused")
    return struct.unpack(dtype.order + _NUMBERS[dtype.code], raw)[0]


def _ordered(*arguments: object) -> dict[Any, Any]:
    if arguments:
        raise TypeError("an ordered dictionary that is not filled key by key is refused")
    return {}


_REDUCERS: Final[dict[str, Callable[..., Any]]] = {_SCALAR: _scalar, _DTYPE: _dtype, _ORDERED: _ordered}


def _push(value: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    def push(machine: _Machine) -> None:
        item = value(machine)  # first, since it may exchange the stack
        machine.stack.append(item)

    return push


def _unsigned(size: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: machine.number(size))


def _text(size: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: machine.take(machine.number(size)).decode("utf-8", "surrogatepass"))


def _raw(size: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: machine.take(machine.number(size)))


def _long(size: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: int.from_bytes(machine.take(machine.number(size)), "little", signed=True))


def _tuple(count: int) -> Callable[[_Machine], None]:
    return _push(lambda machine: tuple(machine.pop(count)))


def _store(size: int) -> Callable[[_Machine], None]:
    def store(machine: _Machine) -> None:
        machine.memo[machine.number(size)] = machine.stack[-1]

    return store


def _fetch(size: int) -> Callable[[_Machine], None]:
    def fetch(machine: _Machine) -> None:
        machine.stack.append(machine.memo[machine.number(size)])

    return fetch


_STOP: Final = ord(".")
_OPCODES: Final[dict[int, Callable[[_Machine], Any]]] = {
    0x80: lambda machine: machine.take(1),  # PROTO
    0x95: lambda machine: machine.take(8),  # FRAME
    ord("("): _Machine.mark,
    ord("0"): lambda machine: machine.stack.pop() if machine.stack else machine.above_mark(),
    ord("1"): _Machine.above_mark,
    ord("N"): _push(lambda machine: None),
    0x88: _push(lambda machine: True),
    0x89: _push(lambda machine: False),
    ord("K"): _unsigned(1),
    ord("M"): _unsigned(2),
    ord("J"): _push(lambda machine: int.from_bytes(machine.take(4), "little", signed=True)),
    0x8A: _long(1),
    0x8B: _long(4),
    ord("G"): _push(lambda machine: struct.unpack(">d", machine.take(8))[0]),
    0x8C: _text(1),
    ord("X"): _text(4),
    0x8D: _text(8),
    ord("C"): _raw(1),
    ord("B"): _raw(4),
    0x8E: _raw(8),
    ord("}"): _push(lambda machine: {}),
    ord("]"): _push(lambda machine: []),
    ord(")"): _push(lambda machine: ()),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("t"): _push(lambda machine: tuple(machine.above_mark())),
    ord("a"): lambda machine: machine.append(machine.pop(1)),
    ord("e"): lambda machine: machine.append(machine.above_mark()),
    ord("s"): lambda machine: machine.set_items(machine.pop(2)),
    ord("u"): lambda machine: machine.set_items(machine.above_mark()),
    ord("q"): _store(1),
    ord("r"): _store(4),
    0x94: lambda machine: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),  # MEMOIZE
    ord("h"): _fetch(1),
    ord("j"): _fetch(4),
    ord("c"): lambda machine: machine.global_(machine.line(), machine.line()),
    0x93: lambda machine: machine.global_(*machine.pop(2)),
    ord("R"): _Machine.reduce,
    ord("b"): _Machine.build,
}
"""Opcodes by code. Absent on purpose: persistent ids, extensions, INST, OBJ, NEWOBJ, sets, buffers, text numbers."""
