"""Pickles are read without being run: plain data comes through, everything else is refused and does nothing."""

from __future__ import annotations

import builtins
import copyreg
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscale.errors import TraceError
from fedscale.traces.readers import load_client_availability, load_client_devices
from fedscale.traces.unpickle import load_plain

NOWHERE = Path("x.pkl")

keys = st.text(max_size=8) | st.integers() | st.floats(allow_nan=False)
leaves = st.none() | st.booleans() | keys | st.binary(max_size=300)
plain = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4) | st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=20,
)


@given(plain, st.integers(3, 5))
def test_plain_data_comes_through_as_python_reads_it(value: Any, protocol: int) -> None:
    content = pickle.dumps([value, value], protocol)
    assert load_plain(content, NOWHERE) == pickle.loads(content)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.int32, np.int64, np.uint8, np.uint64])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_numpy_numbers_become_python_numbers(kind: Any, protocol: int) -> None:
    values = {"a": kind(3), "b": [kind(5)]}
    assert load_plain(pickle.dumps(values, protocol), NOWHERE) == {"a": 3, "b": [5]}


def test_both_byte_orders_and_both_module_names_are_read() -> None:
    for module in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        for order, raw in ((b"<", struct.pack("<d", 2.5)), (b">", struct.pack(">d", 2.5))):
            assert load_plain(scalar(module=module, order=order, raw=raw), NOWHERE) == 2.5


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_trace_error(content: bytes) -> None:
    try:
        load_plain(content, NOWHERE)
    except TraceError as error:
        assert str(error).startswith("x.pkl byte ")


@given(plain, st.data())
def test_a_flipped_byte_raises_nothing_but_a_trace_error(value: Any, data: st.DataObject) -> None:
    content = bytearray(pickle.dumps(value, 4))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        load_plain(bytes(content), NOWHERE)
    except TraceError as error:
        assert str(error).startswith("x.pkl byte ")


def scalar(
    module: bytes = b"numpy.core.multiarray", code: bytes = b"f8", order: bytes = b"<", raw: bytes = bytes(8)
) -> bytes:
    """Write the pickle of a numpy scalar as numpy writes it, part by part."""
    dtype = b"cnumpy\ndtype\n" + text(code) + b"K\x00K\x01\x87R(K\x03" + text(order) + b"NNNJ\xff\xff\xff\xff"
    dtype += b"J\xff\xff\xff\xffK\x00tb"
    return b"\x80\x03c" + module + b"\nscalar\n" + dtype + b"C" + bytes([len(raw)]) + raw + b"\x86R."


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


class Calls:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def exploits(canary: Path) -> dict[str, bytes]:
    """Return pickles that would create ``canary``, or try to get at what could; see the test of their being real."""
    touch = f"touch {canary}"
    write = f"open({str(canary)!r}, 'w').close()"
    line = touch.encode()
    shell = b"cos\nsystem\n"
    dangerous = {
        "os.system": pickle.dumps(Calls(os.system, touch)),
        "builtins.eval": pickle.dumps(Calls(eval, write)),
        "builtins.exec": pickle.dumps(Calls(builtins.exec, write)),
        "nested in an entry": pickle.dumps({1: {"computation": Calls(os.system, touch), "communication": 1.0}}),
        "a call as the argument of a call": pickle.dumps(Calls(eval, Calls(str, write))),
        "getattr chain": b"cbuiltins\ngetattr\n(c__main__\n__builtins__\nX\x04\x00\x00\x00evaltR"
        + text(write.encode())
        + b"\x85R.",
        "INST opcode": b"(" + text(line) + b"ios\nsystem\n.",
        "OBJ opcode": b"(" + shell + text(line) + b"o.",
    }
    return {
        **dangerous,
        "NEWOBJ opcode": b"\x80\x04" + b"csubprocess\nPopen\n(" + text(line) + b"t\x81.",
        "numpy scalar of objects": scalar(code=b"O8", raw=bytes(8)),
        "numpy scalar whose dtype is a call": b"\x80\x03cnumpy.core.multiarray\nscalar\n"
        + shell + text(line) + b"\x85RC\x01a\x86R.",
        "state set on an allowed global": b"cnumpy.core.multiarray\nscalar\n}X\x0c\x00\x00\x00__defaults__)sb.",
        "persistent id": b"P" + line + b"\n.",
        "extension registry": b"\x80\x02\x82\xf0" + text(line) + b"\x85R.",
        "numpy.load of a path": b"cnumpy\nload\n" + text(line) + b"\x85R.",
        "dotted name": b"\x80\x04" + text(b"numpy") + text(b"core.os.system") + b"\x93" + text(line) + b"\x85R.",
        "numpy array of objects": pickle.dumps(np.array([Calls(os.system, touch)], dtype=object)),
        "vast dtype": b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + text(b"V9999999999") + b"\x85R\x85R.",
    }  # fmt: skip


NAMES = sorted(exploits(Path("canary")))


@pytest.mark.parametrize("read", [load_client_devices, load_client_availability])
@pytest.mark.parametrize("name", NAMES)
def test_an_exploit_creates_nothing_and_is_refused(name: str, read: Any, tmp_path: Path) -> None:
    canary, file = tmp_path / "canary", tmp_path / "trace.pkl"
    copyreg.add_extension("os", "system", 0xF0)
    try:
        file.write_bytes(exploits(canary)[name])
        with pytest.raises(TraceError, match=r"trace\.pkl byte \d+: .*only plain data is read"):
            read(file)
    finally:
        copyreg.remove_extension("os", "system", 0xF0)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "nested in an entry", "INST opcode", "OBJ opcode"])
def test_the_exploits_are_real(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(exploits(canary)[name])
    assert canary.exists()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "byte 0: the pickle is cut short"),
        (pickle.dumps({1: 2})[:-1], "cut short"),
        (b"X\xff\xff\xff\xffab.", "cut short"),
        (b"r\xff\xff\xff\xff.", "byte 0: the pickle is cut short"),
        (b"h\x07.", "byte 0: .*never stored"),
        (b"K\x01\x87.", "byte 2: the pickle is cut short or damaged"),
        (b"}((K\x01tK\x02u.", "byte 8: a key that is neither text nor a number"),
        (b"K\x01K\x02.", "byte 4: the pickle does not end in one value"),
        (b"cnumpy\ndtype\n.", "does not end in one value"),
        (b"cos\nsystem\n.", "byte 0: global 'os.system' is refused"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(content: bytes, why: str) -> None:
    with pytest.raises(TraceError, match=why):
        load_plain(content, NOWHERE)


def test_a_deep_pickle_is_no_danger() -> None:
    content = b"(" * 100_000 + b"t" * 100_000 + b"."
    value = load_plain(content, NOWHERE)
    assert value == ((),) or isinstance(value, tuple)
