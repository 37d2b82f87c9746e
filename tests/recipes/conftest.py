from __future__ import annotations

from collections.abc import Callable

import pytest

from tandem.recipes import schema
from tandem.recipes.recipe import Recipe

SMALL = """\
name = "small"

[world]
facts = 500

[sources.code]
path = "python:code"
limit = "6 MB"

[sources.passages]
path = "world:passages"

[tokenizer]
vocabulary = 4000

[model]
layers = 4
width = 192
heads = 6

[mixture.first]
code = { share = 0.6 }
passages = { share = 0.4 }

[mixture.second]
"mixture:first" = { share = 0.5 }
code = { share = 0.5 }

[[stage]]
name = "short"
mixture = "first"
context = 256
tokens = 600_000
batch = 8192

[[stage]]
name = "long"
mixture = "second"
context = 512
tokens = "300K"
batch = 8192

[schedule]
warmup = 20

[tuning]
data = "world"
"""


@pytest.fixture
def small() -> str:
    """A recipe without a problem."""
    return SMALL


@pytest.fixture
def changed() -> Callable[..., Recipe]:
    """The small recipe with keys changed as on the command line."""

    def load(*changes: str) -> Recipe:
        return schema.parse(SMALL, "small.toml", changes)

    return load
