"""Plain data over a pipe: what is written is read as it was, and nothing that is read becomes anything else."""

import collections
import datetime
import decimal
import fractions
import json
import os
import sys

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.sandbox import plain

KINDS = {
    type(None), bool, int, float, str, bytes, bytearray, complex, list, tuple, dict, set, frozenset, range, type,
    collections.Counter, collections.OrderedDict, collections.deque, decimal.Decimal, fractions.Fraction,
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, plain.Handle,
    type({}.keys()), type({}.values()), type({}.items()), numpy.ndarray,
}  # fmt: skip

anything_json_holds = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(1 << 80), max_value=1 << 80),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
)
hashable = st.recursive(
    st.one_of(
        anything_json_holds,
        st.integers(min_value=-(10**400), max_value=10**400),
        st.binary(),
        st.complex_numbers(),
        st.fractions(),
        st.decimals().filter(lambda d: not d.is_snan()),  # which cannot be hashed
        st.dates(),
        st.datetimes(),
        st.times(),
        st.timedeltas(),
        st.builds(range, st.integers(), st.integers(), st.integers(1, 1 << 70)),
        st.sampled_from([int, float, str, list, object]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(tuple), st.frozensets(inner, max_size=4)),
    max_leaves=6,
)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.dictionaries(hashable, inner, max_size=4).map(collections.OrderedDict),
        st.lists(inner, max_size=4).map(collections.deque),
        st.sets(hashable, max_size=4),
        st.binary().map(bytearray),
        st.dictionaries(hashable, st.integers(), max_size=4).map(collections.Counter),
    ),
    max_leaves=12,
)


def through(value):
    return plain.unpack(plain.loads(plain.dumps(plain.pack(value))[4:]))


def exact(value):
    """A value as text that tells kinds, signs of zero and folds of time apart, and sets by their members alone."""
    kind = type(value).__name__
    if isinstance(value, dict):
        return f"{kind}({', '.join(f'{exact(k)}: {exact(v)}' for k, v in value.items())})"
    if isinstance(value, list | tuple | collections.deque):
        return f"{kind}({', '.join(exact(v) for v in value)})"
    if isinstance(value, set | frozenset):
        return f"{kind}({', '.join(sorted(exact(v) for v in value))})"
    return f"{kind} {value!r}"


@given(values)
@settings(max_examples=70, deadline=None)
def test_every_plain_value_comes_through_as_it_was(value):
    assert exact(through(value)) == exact(value)


tagged = st.builds(
    lambda tag, content: {"t": tag, "v": content},
    st.one_of(
        st.sampled_from([*plain._KINDS, "int", "float", "type", "handle", "array", "scalar", "no kind"]),
        anything_json_holds,
    ),
    st.one_of(anything_json_holds, st.lists(anything_json_holds, max_size=4)),
)
messages = st.recursive(
    st.one_of(anything_json_holds, tagged),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["t", "v", "x"]), inner, max_size=3),
        st.builds(lambda t, v: {"t": t, "v": v}, st.sampled_from([*plain._KINDS]), st.lists(inner, max_size=4)),
        st.builds(
            lambda t, *v: {"t": t, "v": list(v)},
            st.sampled_from(["array", "scalar"]),
            st.sampled_from(["int8", "float64", "str", "object", "bool", "void", "datetime64"]),
            st.lists(st.integers(-1, 3), max_size=3),
            st.lists(anything_json_holds, max_size=4),
        ),
        st.builds(
            lambda t, v: {"t": t, "v": v},
            st.sampled_from(["dict", "counter", "ordered"]),
            st.lists(st.lists(inner, min_size=2, max_size=2), max_size=3),
        ),
    ),
    max_leaves=10,
)


def parts(value):
    yield value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from parts(key)
            yield from parts(inner)
    elif isinstance(value, list | tuple | set | frozenset | collections.deque):
        for inner in value:
            yield from parts(inner)


@given(messages)
@settings(max_examples=250, deadline=None)
def test_any_message_is_plain_data_or_a_value_error_and_nothing_else(message):
    try:
        value = plain.unpack(plain.loads(json.dumps(message).encode()))
    except ValueError:
        return
    assert all(type(part) in KINDS or type(part).__module__ == "numpy" for part in parts(value))


@given(st.binary(max_size=64))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_json_or_a_value_error(body):
    try:
        plain.loads(body)
    except ValueError:
        return


@pytest.mark.parametrize("levels", [202, 1000, 100_000])
@pytest.mark.parametrize("around", [("[", "]"), ('{"t": "tuple", "v": [', "]}"), ('{"t": "dict", "v": [[1, ', "]]}")])
def test_a_message_that_is_too_deep_is_a_value_error(levels, around):
    before, after = around
    with pytest.raises(ValueError):
        plain.unpack(plain.loads((before * levels + "1" + after * levels).encode()))


def test_what_was_read_at_the_deepest_can_be_passed_on_inside_an_argument():
    value = plain.unpack(json.loads("[" * plain.DEEPEST + "]" * plain.DEEPEST))
    plain.unpack(plain.pack(["f", [value, [value]], {}], None, -plain.ROOM), depth=-plain.ROOM)


@pytest.mark.parametrize(
    "message",
    [
        {"t": "fraction", "v": ["1e99999999", None]},
        {"t": "fraction", "v": [1.5, 2]},
        {"t": "complex", "v": ["1", "2"]},
        {"t": "range", "v": [1.0, 2.0]},
        {"t": "duration", "v": ["1", "2", "3"]},
        {"t": "decimal", "v": [0, [1, 2], 3]},
        {"t": "float", "v": "1e5"},
        {"t": "type", "v": "eval"},
        {"t": "int", "v": 7},
    ],
    ids=lambda m: f"{m['t']} of {m['v']}",
)
def test_a_constructor_gets_only_what_it_is_meant_for(message):
    with pytest.raises(ValueError):
        plain.unpack(message)


def test_an_array_where_numpy_is_missing_is_a_value_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ValueError):
        plain.unpack({"t": "array", "v": ["int64", [1], [7]]})


class Number(int):
    def __int__(self):
        return 7

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


def test_an_object_of_a_subclass_arrives_as_the_plain_value_it_says():
    assert type(through([Number(3)])[0]) is int


def test_an_object_that_is_not_plain_is_a_handle_or_a_type_error():
    with pytest.raises(TypeError):
        plain.pack(object())
    handle = plain.unpack(plain.pack(object(), lambda value: plain.Handle(4, type(value).__name__, False)))
    assert (handle.number, handle.kind, handle.callable) == (4, "object", False)
    assert handle != plain.Handle(4, "object", False), "a handle equals only itself"


def test_a_message_over_the_limit_is_refused_by_both_ends():
    with pytest.raises(plain.TooLarge):
        plain.dumps("x" * plain.LARGEST)
    read, write = os.pipe()
    try:
        os.write(write, (plain.LARGEST + 1).to_bytes(4, "big") + b"x")
        with pytest.raises(plain.Closed, match="over the limit"):
            plain.Channel(read).receive()
    finally:
        os.close(read)
        os.close(write)


def test_messages_that_arrive_in_pieces_or_together_are_told_apart():
    read, write = os.pipe()
    bodies = [plain.dumps({"n": n, "x": "y" * n}) for n in (0, 1, 500)]
    whole = b"".join(bodies)
    channel = plain.Channel(read)
    os.write(write, whole[:-1])
    assert [channel.receive()["n"] for _ in range(2)] == [0, 1]
    os.write(write, whole[-1:])
    assert channel.receive()["n"] == 500
    os.close(write)
    with pytest.raises(plain.Closed):
        channel.receive()
    os.close(read)
