"""Who makes the small decoder of `knowing`: what it is taught, and that nothing it is asked is among it."""

import asyncio
from pathlib import Path

import pytest
import world_reader
from world_reader import Reader
from world_teacher import Assisted, Known, Teacher, fact_number, lessons, looks_up

from tandem.lm import Scripted, connect
from tandem.types import Sampling, Text
from tandem.world import World, questions, stratified
from tandem.world.partition import units

WORLD = World.make(7, 1200)
PLAN = Reader(
    facts=1200,
    layers=1,
    width=32,
    heads=2,
    mlp_width=64,
    vocabulary=700,
    epochs=0.3,
    lessons=40,
    elsewhere=1000,
    elsewhere_lessons=40,
    tuning_epochs=0.2,
    replay=1,
)


@pytest.fixture(scope="module")
def asked() -> list:
    return stratified(WORLD, 8) + questions(WORLD, hops=(2,), n=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def taught(asked: list, folder: Path) -> dict[str, str]:
    return asyncio.run(world_reader.taught_pairs(PLAN, asked, folder))


@pytest.fixture(scope="module")
def spoilt(folder: Path) -> tuple[list, dict[str, str]]:
    """Lessons of which every second is spoilt, and what is taught by them."""
    some = lessons(WORLD, (), 40)
    source = world_reader.index(WORLD, folder / "spoilt")
    return some, asyncio.run(world_reader.pairs(WORLD, source, some, spoils=True))


def test_nothing_that_tells_of_what_is_asked_is_taught(asked: list, taught: dict[str, str]) -> None:
    unit = units(WORLD)
    held = {int(unit[fact_number(f)]) for q in asked for f in q.meta["facts"]}
    some = lessons(WORLD, asked, PLAN.lessons)
    assert len(some) == PLAN.lessons == len({q.text for q in some})
    assert not held & {int(unit[fact_number(f)]) for q in some for f in q.meta["facts"]}
    assert not any(q.text in prompt for q in asked for prompt in taught)


def test_looking_up_is_taught_on_another_world_and_answering_from_memory_on_the_one_that_is_read(
    asked: list, taught: dict[str, str]
) -> None:
    home = {q.text for q in lessons(WORLD, asked, PLAN.lessons)}
    for prompt in taught:
        names = [line.removeprefix("Question: ") for line in prompt.splitlines() if line.startswith("Question: ")]
        if names:
            assert (names[0] in home) is not (looks_up(prompt) or world_reader.given_steps(prompt))


def test_every_prompt_of_the_methods_is_taught(taught: dict[str, str]) -> None:
    assert {p.splitlines()[-1] for p in taught} == {"Answer:", "1.", "Check:", "Finding:", "Corrected:"}


def test_a_spoilt_chain_is_never_what_is_to_be_written(spoilt: tuple[list, dict[str, str]]) -> None:
    some, pairs = spoilt
    begun = {p.splitlines()[-3].removeprefix("Question: "): w for p, w in pairs.items() if p.endswith("\n1.")}
    assert len(begun) == len(some) // 2
    for question in some:
        if question.text in begun:
            steps = [line.split(". ", 1)[-1].strip() for line in begun[question.text].splitlines()]
            assert steps == [*question.meta["chain"][:-1], f"Answer: {question.answers[0]}"]


def test_what_no_shown_passage_states_is_unknown_and_everything_else_is_told(
    spoilt: tuple[list, dict[str, str]],
) -> None:
    findings = {p: w.strip() for p, w in spoilt[1].items() if p.endswith("\nFinding:")}
    assert 0 < sum(w == "unknown" for w in findings.values()) < len(findings)
    for prompt, written in findings.items():
        if written != "unknown":
            answer = written.removesuffix(".").split(" is ")[-1].split(" was ")[-1]
            assert answer.split()[-1] in prompt


def test_an_assisted_model_thinks_itself_and_is_read_to() -> None:
    (question,) = questions(WORLD, hops=(1,), n=1)
    teacher = Teacher(Known(WORLD), {question.text: question})
    model = Assisted(Scripted({"": "my own"}), teacher)

    async def write(prompt: str) -> str:
        return (await model.generate(Text(prompt), Sampling()))[0].text

    case = f"Question: {question.text}\nStep: It rains."
    assert asyncio.run(write(f"{case}\nCheck:")) == f" {question.text}"
    assert asyncio.run(write(f"Passage 1: a: b.\nCheck: {question.text}\nFinding:")) == " unknown"
    assert asyncio.run(write(f"{case}\nSteps:\n1.")) == "my own"


def test_the_decoder_is_made_once_and_can_be_asked(folder: Path, taught: dict[str, str]) -> None:
    first = world_reader.made(PLAN, folder, taught)
    changed = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    assert world_reader.made(PLAN, folder, taught) == first
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == changed
    assert first["reading"]["loss"][-1] < first["reading"]["loss"][0]

    async def ask() -> str:
        async with connect(f"local:{folder / 'model'}", precision="fp32") as model:
            return (await model.generate(Text(next(iter(taught))), Sampling(max_tokens=4)))[0].text

    assert asyncio.run(ask()) is not None
