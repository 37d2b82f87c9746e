from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.recipes import toml

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
values = st.recursive(
    st.one_of(scalars, st.lists(scalars, max_size=3)),
    lambda inner: st.one_of(
        st.dictionaries(keys, inner, max_size=3), st.lists(st.dictionaries(keys, inner, max_size=2), max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=150)
@given(st.dictionaries(keys, values, max_size=4))
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    assert tomllib.loads(toml.write(data)) == data


@given(st.lists(keys, min_size=1, max_size=4))
def test_a_dotted_key_splits_into_the_parts_it_was_made_of(parts: list[str]) -> None:
    assert toml.split_key(toml.key_text(tuple(parts))) == tuple(parts)


TEXT = '''\
name = "x"   # [not.a.header]
notes = [
    "model = 1",
    "a ] in quotes",
]
long = """
[model]
layers = 1
"""

[model]
layers = 2
sizes.width = 3

[[stage]]
name = "a"
[stage.schedule]
peak = 1.0
[[stage]]
name = "b"
[stage.schedule]
peak = 2.0

[mixture."odd name"]
"mixture:first" = { share = 1.0 }
'''


def test_every_key_is_found_on_its_line() -> None:
    lines = toml.lines_of(TEXT)
    rows = TEXT.splitlines()
    wanted = {
        ("name",): 'name = "x"',
        ("notes",): "notes = [",
        ("model",): "[model]",
        ("model", "layers"): "layers = 2",
        ("model", "sizes", "width"): "sizes.width = 3",
        ("stage", 0, "schedule", "peak"): "peak = 1.0",
        ("stage", 1, "name"): 'name = "b"',
        ("stage", 1, "schedule", "peak"): "peak = 2.0",
        ("mixture", "odd name", "mixture:first"): '"mixture:first"',
    }
    for key, text in wanted.items():
        assert rows[lines[key] - 1].startswith(text), key
    assert rows[lines[("model",)] - 1 + 1] == "layers = 2", "the header inside the multi-line text is not the section"


def test_a_key_that_is_not_written_has_the_line_of_the_table_around_it() -> None:
    lines = toml.lines_of(TEXT)
    assert toml.line_of(lines, ("stage", 1, "tokens")) == lines[("stage", 1)]
    assert toml.line_of(lines, ("tokenizer", "load")) is None
