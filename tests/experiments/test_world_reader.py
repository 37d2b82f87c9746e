"""Who makes the small decoder of `knowing`: what it is taught, and that nothing it is asked is among it."""

import asyncio
from pathlib import Path

import pytest
import world_reader
from world_reader import Known, Reader, fact_number

from tandem.lm import connect
from tandem.types import Sampling, Text
from tandem.world import World, questions, stratified
from tandem.world.partition import units

WORLD = World.make(7, 1200)
PLAN = Reader(
    facts=1200, layers=1, width=32, heads=2, mlp_width=64, vocabulary=700, epochs=0.3, lessons=40, tuning_epochs=0.5
)


@pytest.fixture(scope="module")
def asked() -> list:
    return stratified(WORLD, 8) + questions(WORLD, hops=(2,), n=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def taught(asked: list) -> list:
    return world_reader.lessons(WORLD, asked, PLAN.lessons)


@pytest.fixture(scope="module")
def pairs(taught: list, folder: Path) -> dict[str, str]:
    source = world_reader.index(WORLD, folder / "passages")
    return asyncio.run(world_reader.pairs(Known(WORLD), source, taught))


def test_nothing_that_tells_of_what_is_asked_is_taught(asked: list, taught: list, pairs: dict[str, str]) -> None:
    unit = units(WORLD)
    held = {int(unit[fact_number(f)]) for q in asked for f in q.meta["facts"]}
    assert 20 < len(taught) <= PLAN.lessons
    assert not held & {int(unit[fact_number(f)]) for q in taught for f in q.meta["facts"]}
    assert not any(q.text in prompt for q in asked for prompt in pairs)


def test_every_prompt_of_the_methods_is_taught(pairs: dict[str, str]) -> None:
    ends = {prompt.splitlines()[-1] for prompt in pairs}
    assert {"Answer:", "1.", "2.", "Check:", "Finding:", "Corrected:"} == ends


def test_a_spoilt_chain_is_never_what_is_to_be_written(taught: list, pairs: dict[str, str]) -> None:
    begun = {p.splitlines()[-3].removeprefix("Question: "): w for p, w in pairs.items() if p.endswith("\n1.")}
    assert 0 < len(begun) < len(taught)
    for question in taught:
        if question.text in begun:
            steps = [line.split(". ", 1)[-1].strip() for line in begun[question.text].splitlines()]
            assert steps == [*question.meta["chain"][:-1], f"Answer: {question.answers[0]}"]


def test_what_no_shown_passage_states_is_unknown_and_everything_else_is_told(pairs: dict[str, str]) -> None:
    findings = {p: w.strip() for p, w in pairs.items() if p.endswith("\nFinding:")}
    assert 0 < sum(w == "unknown" for w in findings.values()) < len(findings)
    for prompt, written in findings.items():
        if written != "unknown":
            answer = written.removesuffix(".").split(" is ")[-1].split(" was ")[-1]
            assert answer.split()[-1] in prompt


def test_the_decoder_is_made_once_and_can_be_asked(folder: Path, pairs: dict[str, str]) -> None:
    first = world_reader.made(PLAN, folder, pairs)
    changed = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    assert world_reader.made(PLAN, folder, pairs) == first
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == changed
    assert first["reading"]["loss"][-1] < first["reading"]["loss"][0]

    async def ask() -> str:
        async with connect(f"local:{folder / 'model'}", precision="fp32") as model:
            return (await model.generate(Text(next(iter(pairs))), Sampling(max_tokens=4)))[0].text

    assert asyncio.run(ask()) is not None
