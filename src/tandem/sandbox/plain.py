"""Plain data over a pipe: the only thing that passes between a run and whoever judges it.

Numbers, texts, bytes, lists, tuples, sets, dictionaries and the standard library's own value types, as JSON with tags.
What is read becomes an object of exactly these types, so that comparing it calls no method that a run has written.
Anything else becomes a `Handle`: a name for an object that stays where it is. Neither pickle nor marshal: both run or
crash on what a stranger wrote.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import json
import math
import os
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

LARGEST = 32 << 20
"""Bytes of one message; a longer one is refused."""
DEEPEST = 200
"""Levels of nesting that are written or read."""
ROOM = 20
"""Levels beyond that for what is asked: a value that was read must be fit to be passed on inside another."""
_EXACT_INTEGER = 1 << 53
_NAMED: tuple[type, ...] = (
    int,
    float,
    str,
    bool,
    list,
    tuple,
    dict,
    set,
    frozenset,
    bytes,
    complex,
    object,
    type(None),
)
_TYPES = {t.__name__: t for t in _NAMED}


class TooLarge(ValueError):  # noqa: N818 — a named outcome
    """A value is larger or more deeply nested than a message may be."""


@dataclass(frozen=True, eq=False)
class Handle:
    """An object that is not plain data and stays in the run."""

    number: int
    """Which one."""
    kind: str
    """Name of its class."""
    callable: bool
    """Whether it can be called."""


def pack(value: Any, keep: Callable[[Any], Handle] | None = None, depth: int = 0) -> Any:
    """A value as JSON can write it; `keep` gives the handle of what is not plain (without it, a `TypeError`)."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_EXACT_INTEGER < value < _EXACT_INTEGER else {"t": "int", "v": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"t": "float", "v": repr(value)}
    if depth > DEEPEST:
        raise TooLarge(f"a value is nested more than {DEEPEST} deep")
    if kind is list:
        return [pack(v, keep, depth + 1) for v in value]
    if kind is Handle:
        return {"t": "handle", "v": [value.number, value.kind, value.callable]}
    for tag, (cls, write, _) in _KINDS.items():
        if kind is cls:
            return {"t": tag, "v": write(value, lambda v: pack(v, keep, depth + 1))}
    if kind is type and value in _NAMED:
        return {"t": "type", "v": value.__name__}
    if (numeric := _numeric(value)) is not None:
        return numeric
    simpler = _simpler(value)
    if simpler is not value:
        return pack(simpler, keep, depth + 1)
    if keep is None:
        raise TypeError(f"{kind.__name__} is not plain data")
    return pack(keep(value), keep, depth + 1)


def unpack(value: Any, meet: Callable[[Handle], Any] = lambda h: h, depth: int = 0) -> Any:
    """The inverse; `meet` turns a handle into what stands for it. Raises `ValueError` on anything malformed."""
    if not isinstance(value, list | dict):
        return value
    if depth > DEEPEST:
        raise TooLarge(f"a value is nested more than {DEEPEST} deep")
    if isinstance(value, list):
        return [unpack(v, meet, depth + 1) for v in value]
    tag, content = value.get("t"), value.get("v")
    try:
        if tag == "int":
            return int(content, 16)  # type: ignore[arg-type]
        if tag == "float":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]  # type: ignore[index]
        if tag == "type":
            return _TYPES[content]  # type: ignore[index]
        if tag == "handle":
            number, kind, can_be_called = content  # type: ignore[misc]
            return meet(Handle(int(number), str(kind), bool(can_be_called)))
        if tag in ("array", "scalar"):
            name, shape, numbers = content  # type: ignore[misc]
            return _array(name, shape, [unpack(v) for v in numbers])
        return _KINDS[tag][2](content, lambda v: unpack(v, meet, depth + 1))  # type: ignore[index]
    except TooLarge:
        raise
    except _MALFORMED as error:
        raise ValueError(f"malformed value of kind {str(tag)[:40]!r}") from error


_MALFORMED = KeyError, IndexError, TypeError, ValueError, ArithmeticError, RecursionError, ImportError
"""What constructors raise; the last where NumPy is not installed."""


def dumps(message: Any) -> bytes:
    """A message with its length in front. Raises `TooLarge`."""
    body = _encode(message).encode()
    if len(body) > LARGEST:
        raise TooLarge(f"a message of {len(body):,} bytes is over the limit of {LARGEST:,}")
    return struct.pack("!I", len(body)) + body


_encode = json.JSONEncoder(separators=(",", ":")).encode


def loads(body: bytes) -> Any:
    """A message's body. Raises `ValueError` when it is not JSON, or nested too deep."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError("a message is not JSON") from error


class Closed(Exception):  # noqa: N818 — a named outcome
    """The other end has gone, or sent more than a message may hold."""


class Channel:
    """Messages over an open descriptor, one at a time, by bare system calls: a run lasts hardly longer than they do."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._rest = b""

    def send(self, message: bytes) -> None:
        """One packed message. Raises `Closed`."""
        try:
            sent = os.write(self.handle, message)
            while sent < len(message):
                sent += os.write(self.handle, memoryview(message)[sent:])
        except OSError as error:
            raise Closed(str(error)) from None

    def receive(self) -> Any:
        """The next message. Raises `Closed` at the end, `ValueError` when it is not JSON."""
        size = int.from_bytes(self._exactly(4), "big")
        if size > LARGEST:
            raise Closed(f"a message of {size:,} bytes is over the limit")
        return loads(self._exactly(size))

    def _exactly(self, size: int) -> bytes:
        parts = [self._rest]
        have = len(self._rest)
        while have < size:
            try:
                part = os.read(self.handle, max(1 << 14, min(size - have, 1 << 20)))
            except OSError as error:
                raise Closed(str(error)) from None
            if not part:
                raise Closed("the other end has closed")
            parts.append(part)
            have += len(part)
        whole = b"".join(parts) if len(parts) > 1 else parts[0]
        self._rest = whole[size:]
        return whole[:size]


def _simpler(value: Any) -> Any:
    """An odd NumPy value as Python's own; an object of a class made from a plain one as that; else the value itself."""
    kind = type(value)
    module = getattr(kind, "__module__", "")
    if module == "numpy" and hasattr(kind, "tolist"):
        return value.tolist()
    for plain in (int, float, str, bytes, tuple, list, set, frozenset, dict):
        if issubclass(kind, plain) and kind is not plain:
            return plain(value)
    return value


_NUMBERS = {"str", "bool", "float16", "float32", "float64", "complex64", "complex128"}
_NUMBERS |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
"""Types of NumPy values that are sent as they are: an array is compared element by element, as a test expects."""


def _numeric(value: Any) -> Any:
    """A NumPy array, number or text as JSON can write it; None for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic):
        return None
    name = "str" if value.dtype.kind == "U" else value.dtype.name
    if name not in _NUMBERS:
        return None
    tag = "array" if isinstance(value, numpy.ndarray) else "scalar"
    numbers = numpy.asarray(value).ravel().tolist()
    return {"t": tag, "v": [name, list(value.shape), [pack(v) for v in numbers]]}


def _array(name: Any, shape: Any, numbers: list[Any]) -> Any:
    """A NumPy array, or a number where there is no shape, out of plain numbers."""
    import numpy

    kinds = (str,) if name == "str" else (bool, int, float, complex)
    if name not in _NUMBERS or not all(type(n) in kinds for n in numbers):
        raise TypeError("not an array of numbers or texts")
    if not all(type(size) is int and size >= 0 for size in shape) or math.prod(shape) != len(numbers):
        raise ValueError("an array of another shape")
    array = numpy.array(numbers, dtype=name).reshape(shape)
    return array if shape else array[()]


_Walk = Callable[[Any], Any]


def _sequence(value: Any, walk: _Walk) -> list[Any]:
    return [walk(v) for v in value]


def _pairs(value: Any, walk: _Walk) -> list[Any]:
    return [[walk(k), walk(v)] for k, v in value.items()]


def _text(content: Any) -> str:
    if type(content) is not str:
        raise TypeError("not a text")
    return content


def _exactly(kind: type, content: Any, walk: _Walk) -> list[Any]:
    """Parts of one kind: a constructor given others may do anything with them, or take for ever."""
    parts = [walk(v) for v in content]
    if not all(type(p) is kind for p in parts):
        raise TypeError(f"not all of kind {kind.__name__}")
    return parts


def _items(content: Any, walk: _Walk) -> Iterator[tuple[Any, Any]]:
    return ((walk(k), walk(v)) for k, v in content)


_KINDS: dict[str, tuple[type, Callable[[Any, _Walk], Any], Callable[[Any, _Walk], Any]]] = {
    "tuple": (tuple, _sequence, lambda c, w: tuple([w(v) for v in c])),
    "dict": (dict, _pairs, lambda c, w: dict(_items(c, w))),
    "set": (set, _sequence, lambda c, w: {w(v) for v in c}),
    "frozenset": (frozenset, _sequence, lambda c, w: frozenset([w(v) for v in c])),
    "bytes": (bytes, lambda v, w: v.hex(), lambda c, w: bytes.fromhex(c)),
    "bytearray": (bytearray, lambda v, w: v.hex(), lambda c, w: bytearray.fromhex(c)),
    "complex": (complex, lambda v, w: [w(v.real), w(v.imag)], lambda c, w: complex(*_exactly(float, c, w))),
    "range": (range, lambda v, w: [w(v.start), w(v.stop), w(v.step)], lambda c, w: range(*_exactly(int, c, w))),
    "counter": (collections.Counter, _pairs, lambda c, w: collections.Counter(dict(_items(c, w)))),
    "ordered": (collections.OrderedDict, _pairs, lambda c, w: collections.OrderedDict(_items(c, w))),
    "deque": (collections.deque, _sequence, lambda c, w: collections.deque([w(v) for v in c])),
    "decimal": (decimal.Decimal, lambda v, w: str(v), lambda c, w: decimal.Decimal(_text(c))),
    "fraction": (
        fractions.Fraction,
        lambda v, w: [w(v.numerator), w(v.denominator)],
        lambda c, w: fractions.Fraction(*_exactly(int, c, w)),
    ),
    "keys": (type({}.keys()), _sequence, lambda c, w: dict.fromkeys([w(v) for v in c]).keys()),
    "values": (type({}.values()), _sequence, lambda c, w: dict(enumerate([w(v) for v in c])).values()),
    "items": (type({}.items()), _sequence, lambda c, w: dict([w(v) for v in c]).items()),
    "date": (datetime.date, lambda v, w: v.isoformat(), lambda c, w: datetime.date.fromisoformat(c)),
    "datetime": (
        datetime.datetime,
        lambda v, w: [v.isoformat(), v.fold],
        lambda c, w: datetime.datetime.fromisoformat(c[0]).replace(fold=c[1]),
    ),
    "time": (
        datetime.time,
        lambda v, w: [v.isoformat(), v.fold],
        lambda c, w: datetime.time.fromisoformat(c[0]).replace(fold=c[1]),
    ),
    "duration": (
        datetime.timedelta,
        lambda v, w: [v.days, v.seconds, v.microseconds],
        lambda c, w: datetime.timedelta(*_exactly(int, c, w)),
    ),
}
