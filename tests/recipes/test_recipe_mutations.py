from __future__ import annotations

import copy
import random
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tandem.errors import UserError
from tandem.recipes import schema, toml
from tandem.recipes.plan import plan

JUNK = (
    0,
    -1,
    3.5,
    "x",
    "",
    True,
    [],
    {},
    [1],
    {"a": 1},
    10**30,
    "9B",
    float("inf"),
    [{}],
    ["a"],
    8192,
    "mixture:first",
)


def _places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*path, key)
        yield from _places(value, (*path, key))


def _mutate(data: Any, draw: random.Random) -> None:
    path = draw.choice(list(_places(data)))
    for key in path[:-1]:
        data = data[key]
    kind = draw.random()
    if kind < 0.25:
        data.pop(path[-1])
    elif kind < 0.85 or isinstance(data, list):
        data[path[-1]] = copy.deepcopy(draw.choice(JUNK))
    else:
        data[f"{path[-1]}x"] = data.pop(path[-1])


@pytest.mark.parametrize("name", ["xgen-7b", "quickstart", "gpu-1h"])
def test_a_recipe_spoilt_anywhere_is_planned_or_refused_with_a_message_and_never_crashes(name: str) -> None:
    recipe = tomllib.loads(schema.shipped(name).read_text(encoding="utf-8"))
    draw, refused = random.Random(name), 0
    for _ in range(120):
        spoilt = copy.deepcopy(recipe)
        for _ in range(draw.choice([1, 1, 2, 4])):
            _mutate(spoilt, draw)
        try:
            plan(schema.parse(toml.write(spoilt)))
        except UserError as e:
            refused += 1
            assert e.problem and e.exit_status == 2
    assert refused > 60, "most of the mistakes are noticed"
