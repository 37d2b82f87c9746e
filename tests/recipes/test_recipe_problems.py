from __future__ import annotations

import random
import re

import pytest

from tandem.errors import UserError
from tandem.recipes import schema

# What is changed in the small recipe (a line replaced), what the message must name, what it must say.
PROBLEMS = {
    "misspelt key": ("width = 192", "wdith = 192", "model.wdith", "did you mean 'width'?"),
    "key of another section": ("heads = 6", "heads = 6\npeak = 3e-4", "model.peak", "it is a key of"),
    "wrong type": ("layers = 4", 'layers = "4"', "model.layers", "the text '4' where a whole number belongs"),
    "out of range": ("layers = 4", "layers = 0", "model.layers", "at least 1"),
    "unknown choice": ("heads = 6", 'heads = 6\nprecision = "bf61"', "model.precision", "did you mean 'bf16'?"),
    "missing key": ("layers = 4", "", "model.layers", "is missing"),
    "bad unit": ('limit = "6 MB"', 'limit = "6 MX"', "sources.code.limit", "number of bytes"),
    "one bracket": ('[[stage]]\nname = "short"', '[stage]\nname = "short"', "not TOML|stage", ""),
    "shares": ("code = { share = 0.6 }", "code = { share = 0.7 }", "mixture.first", "sum to 1.1, not 1"),
    "share and tokens": ("code = { share = 0.6 }", "code = { share = 0.6, tokens = 5 }", "mixture.first.code", "both"),
    "neither share nor tokens": ("code = { share = 0.6 }", "code = {}", "mixture.first.code", "neither"),
    "shares mixed with tokens": (
        "code = { share = 0.6 }",
        "code = { tokens = 6 }",
        "mixture.first",
        "shares for others",
    ),
    "unknown mixture": ('mixture = "second"', 'mixture = "secnd"', "stage.long.mixture", "did you mean 'second'?"),
    "unknown source": (
        "passages = { share = 0.4 }",
        "pasages = { share = 0.4 }",
        "mixture.first.pasages",
        "did you mean 'passages'?",
    ),
    "mixture as a source": ('"mixture:first" = {', '"first" = {', "mixture.second.first", 'write "mixture:first"'),
    "mixture in itself": ('"mixture:first" = {', '"mixture:second" = {', "mixture.second", "contains itself"),
    "context past the positions": (
        "heads = 6",
        "heads = 6\ncontext = 400",
        "stage.long.context",
        "positions reach 400",
    ),
    "rope reach": (
        "heads = 6",
        'heads = 6\nrope_scaling = { kind = "linear", factor = 2.0, original_context = 128 }',
        "model.context",
        "reach 256",
    ),
    "batch": ("context = 256", "context = 250", "stage.short.batch", "multiple of the context, such as 8_250"),
    "less than a batch": ('tokens = "300K"', 'tokens = "3K"', "stage.long.tokens", "less than one batch"),
    "long warm-up": ("warmup = 20", "warmup = 300", "schedule.warmup", "the schedule has 110"),
    "default warm-up": ("warmup = 20", "", "schedule.warmup", r"2,000 steps \(the default\)"),
    "twice a stage": ('name = "long"', 'name = "short"', "stage.short.name", "as another stage's"),
    "no tokenizer": ("vocabulary = 4000", "", "tokenizer", "exactly one"),
    "two tokenizers": ("vocabulary = 4000", 'vocabulary = 4000\nload = "d"', "tokenizer", "exactly one"),
    "few rows": ("heads = 6", "heads = 6\nvocabulary = 3000", "model.vocabulary", "fewer than the tokenizer's 4,000"),
    "heads": ("heads = 6", "heads = 7", "model.width", "7 heads cannot share"),
    "kv heads": ("heads = 6", "heads = 6\nkv_heads = 4", "model.kv_heads", "divisor of heads"),
    "no world": ("[world]\nfacts = 500", "", "sources.passages.path", r"no \[world\]"),
    "unknown text": ('path = "python:code"', 'path = "python:cod"', "sources.code.path", "did you mean 'python:code'?"),
    "tuning too long": ('data = "world"', 'data = "world"\ncontext = 1024', "tuning.context", "positions reach 512"),
    "tuning batch": ('data = "world"', 'data = "world"\nbatch = 1000', "tuning.batch", "whole number of rows of 512"),
    "held out": (
        'data = "world"',
        'data = "world"\nheld_out = { tasks = "x" }',
        "tuning.held_out.tasks",
        "list of names",
    ),
    "unknown device": (
        'data = "world"',
        'data = "world"\n[plan]\ndevice = "H20O"',
        "plan.device",
        "did you mean 'H200'?",
    ),
    "tensor": (
        'data = "world"',
        'data = "world"\n[plan]\ndevices = 6\ntensor = 4',
        "plan.tensor",
        "divide the 6 devices",
    ),
    "provenance": (
        'data = "world"',
        'data = "world"\n[[provenance]]\nkeys = ["model.layer"]\nstatus = "published"',
        "provenance",
        "did you mean 'model.layers'?",
    ),
    "name": ('name = "small"', 'name = "a/b"', "name", "cannot be a name"),
    "infinite": ("heads = 6", "heads = 6\nrope_base = inf", "model.rope_base", "finite"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_each_mistake_is_named_with_its_key_and_a_remedy(small: str, case: str) -> None:
    before, after, key, words = PROBLEMS[case]
    assert before in small, "the mistake is made in the recipe"
    with pytest.raises(UserError) as caught:
        schema.parse(small.replace(before, after, 1), "small.toml")
    message = str(caught.value)
    assert re.search(key, message), message
    assert re.search(words, message), message
    assert "→" in message, message
    assert caught.value.exit_status == 2


def test_a_problem_carries_the_line_of_its_key(small: str) -> None:
    broken = small.replace("layers = 4", 'layers = "4"')
    line = broken.splitlines().index('layers = "4"') + 1
    with pytest.raises(schema.RecipeError, match=rf"small\.toml:{line}: model\.layers"):
        schema.parse(broken, "small.toml")


def test_a_problem_set_on_the_command_line_says_so(small: str) -> None:
    with pytest.raises(schema.RecipeError, match=r"^--set: model\.layers"):
        schema.parse(small, "small.toml", ["model.layers=-1"])


# Mistakes in different places: each must be told whatever the others are.
APART = [
    "misspelt key",
    "bad unit",
    "shares",
    "unknown mixture",
    "less than a batch",
    "two tokenizers",
    "tuning batch",
    "unknown text",
    "name",
]


@pytest.mark.parametrize("seed", range(8))
def test_all_mistakes_are_told_at_once(small: str, seed: int) -> None:
    chosen = random.Random(seed).sample(APART, 5)
    text = small
    for case in chosen:
        text = text.replace(*PROBLEMS[case][:2], 1)
    with pytest.raises(schema.RecipeError) as caught:
        schema.parse(text, "small.toml")
    message = str(caught.value)
    for case in chosen:
        assert re.search(PROBLEMS[case][2], message), f"{case} is not told:\n{message}"
    assert len(caught.value.problems) == len(chosen), message


def test_one_mistake_is_not_told_twice_as_a_consequence(small: str) -> None:
    for case in ("misspelt key", "wrong type", "missing key", "shares", "unknown mixture", "unknown source", "batch"):
        with pytest.raises(schema.RecipeError) as caught:
            schema.parse(small.replace(*PROBLEMS[case][:2], 1))
        assert len(caught.value.problems) == 1, str(caught.value)


def test_a_table_mixture_must_sum_to_its_stages() -> None:
    assert schema.load("xgen-7b", ["stage.8k.tokens=174.6B"]), "0.1 % is allowed, for rounding"
    with pytest.raises(schema.RecipeError, match=r"table of 1,374,520,000,000 tokens, but its stages .* see 1,400,000"):
        schema.load("xgen-7b", ["stage.8k.tokens=200B"])


@pytest.mark.parametrize(
    "junk", ["", "name = 3", "stage = 5", "[mixture]\na = 1", "sources = []", "[model]\n[stage]\n"]
)
def test_junk_is_refused_without_a_crash(junk: str) -> None:
    with pytest.raises(schema.RecipeError):
        schema.parse(junk)
