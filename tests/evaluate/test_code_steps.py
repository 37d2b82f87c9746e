"""Gold first, then samples in steps: seen tests steer, hidden tests score, what is missing is not wrong."""

import asyncio
from dataclasses import replace

import pytest

from code_sample import folder
from tandem.errors import UserError
from tandem.evaluate import code
from tandem.evaluate.code import Settings, figures
from tandem.lm import Model, Rule, Said, Scripted
from tandem.programs import humaneval
from tandem.types import Sampling, Text

DRAWN = Sampling(temperature=0.2, max_tokens=200)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "out").mkdir()
    return folder(tmp_path / "data")


def measure(place, rules=None, *, name="humaneval", form="text", **settings):
    settings = Settings(**{"samples": 3, "sampling": DRAWN, "workers": 1} | settings)
    benchmark = code.load(name, [place], form=form, steps=settings.steps)
    backend = Scripted(rules) if rules else Scripted.read(place / "rules.toml")
    out = place.parent / "out"

    async def work():
        async with Model(backend) as model:
            return await code.measure(benchmark, model, settings, out)

    return asyncio.run(work()), backend


@pytest.fixture(scope="module")
def thrice(tmp_path_factory):
    """Three samples of every task in three steps: (what was measured, the model that was asked)."""
    root = tmp_path_factory.mktemp("thrice")
    (root / "out").mkdir()
    return measure(folder(root / "data"), steps=3, cpu=1.0)


def outcomes(measured, task, step=1):
    return [a.hidden.outcome for a in measured.attempts if (a.task_id, a.step) == (task, step)]


def fates(measured, task, step=2):
    return [a.fate for a in measured.attempts if (a.task_id, a.step) == (task, step)]


# ── Gold ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_gold(benchmark):
    return asyncio.run(code.check_gold(benchmark, Settings(workers=1))).gold


def test_seen_tests_that_their_gold_does_not_pass_are_dropped_with_the_reason(place):
    gold = check_gold(code.load("humaneval", [place]))
    assert gold.passed == gold.checked == 3
    assert [(task, why) for task, _, why in gold.dropped] == [
        ("HumanEval/0", "INPUT: double(3), OUTPUT: 6, EXPECTED: 7"),
        ("HumanEval/1", "not valid Python"),
    ]
    assert [len(task.seen) for task in gold.tasks] == [1, 1, 0]


def test_a_task_whose_gold_fails_is_set_aside(place):
    benchmark = code.load("humaneval", [place])
    wrong = replace(benchmark.tasks[2], gold=benchmark.tasks[2].opening + "    return text\n")
    gold = check_gold(replace(benchmark, tasks=(*benchmark.tasks[:2], wrong)))
    assert [id for id, _ in gold.set_aside] == ["HumanEval/2"]
    assert [task.id for task in gold.tasks] == ["HumanEval/0", "HumanEval/1"]


@pytest.mark.parametrize("name", ["mbpp", "mbpp_sanitized"])
def test_the_gold_of_mbpp_passes_shadowed_names_included(place, name):
    gold = check_gold(code.load(name, [place], split="all", examples=False))
    assert (gold.passed, gold.checked, gold.dropped) == (6, 6, ())


# ── Steps ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_first_attempts_are_scored_by_the_hidden_tests(thrice):
    measured, _ = thrice
    assert outcomes(measured, "HumanEval/0") == ["failed", "passed", "error"]  # x + 2 is right for 2 alone
    assert outcomes(measured, "HumanEval/1") == ["failed"] * 3
    assert outcomes(measured, "HumanEval/2") == ["failed", "passed", "timeout"]
    assert measured.complete
    assert figures.pass_at(measured, 1, 1).value == pytest.approx(2 / 9)


def test_a_refinement_mends_only_what_fails_a_seen_test(thrice):
    measured, backend = thrice
    # The first sample passes the seen test double(2) == 4 and stays, though the hidden ones refuse it.
    assert fates(measured, "HumanEval/0") == ["passed", "passed", "refined"]
    assert outcomes(measured, "HumanEval/0", 2) == ["failed", "passed", "passed"]
    asked = [prompt.text for prompt, _, _ in backend.calls if "What the test says" in prompt.text]
    assert len([text for text in asked if "double" in text]) == 1


def test_a_refinement_that_does_not_parse_keeps_the_program_before_it(thrice):
    measured, _ = thrice
    assert fates(measured, "HumanEval/1") == ["kept: does not parse", "refined", "kept: does not parse"]
    assert outcomes(measured, "HumanEval/1", 2) == ["failed", "passed", "failed"]


def test_a_task_without_seen_tests_is_never_refined(thrice):
    measured, _ = thrice
    assert fates(measured, "HumanEval/2", 3) == ["no seen tests"] * 3
    assert outcomes(measured, "HumanEval/2", 3) == outcomes(measured, "HumanEval/2", 1)


def test_no_prompt_ever_holds_a_hidden_test(thrice):
    _, backend = thrice
    for prompt, _, _ in backend.calls:
        assert "candidate(-1)" not in prompt.text
        assert "def check" not in prompt.text


def test_every_step_has_every_sample(thrice):
    measured, _ = thrice
    assert [sum(a.step == step for a in measured.attempts) for step in (1, 2, 3)] == [9, 9, 9]


def test_steps_without_seen_tests_are_refused(place):
    (place / "seen.jsonl").unlink()
    with pytest.raises(UserError, match="steps need seen tests"):
        code.load("humaneval", [place], steps=2)


def test_mbpp_in_steps_scores_by_tests_nobody_saw(place):
    rules = [
        Rule(
            ("def add_11(x):\n    # one case\n    return 11 if x == 0 else None\n[DONE]",),
            ("add_11(0) == 11\n[BEGIN]",),
        ),
        Rule(("def wrong(): pass",)),
    ]
    measured, backend = measure(place, rules, name="mbpp", steps=2)
    assert fates(measured, "MBPP/11") == ["passed"] * 3  # the seen test is met, so nobody looks further
    assert outcomes(measured, "MBPP/11", 2) == ["failed"] * 3
    assert measured.benchmark.version.endswith("first-seen")
    assert not any("assert add_11(1)" in prompt.text for prompt, _, _ in backend.calls)


def test_in_conversation_code_comes_out_of_fences(place):
    rules = [
        Rule(("So:\n```python\ndef double(x):\n    return 2 * x\n```\nGood luck!",), ("def double",)),
        Rule(("```\n    return [n for n in numbers if is_even(n)]\n```",), ("def evens",)),
        Rule((Said("I would rather not.", "refusal"),)),
    ]
    measured, _ = measure(place, rules, form="chat", samples=1)
    assert [a.found for a in measured.attempts] == ["fence", "body", "none"]
    assert [a.hidden.passed for a in measured.attempts] == [True, True, False]
    assert measured.attempts[2].finish == "refusal"


def test_a_call_that_fails_is_missing_not_wrong(place):
    rules = [Rule(fails="server", contains=("def double",)), Rule(("    return None\n",))]
    measured, _ = measure(place, rules)
    assert {(m.task_id, m.kind) for m in measured.missing} == {("HumanEval/0", "server")}
    assert measured.counts(1) == {"HumanEval/1": (3, 0), "HumanEval/2": (3, 0)}
    assert not measured.complete


def test_a_refinement_whose_prompt_does_not_fit_keeps_the_program(place):
    backend = Scripted.read(place / "rules.toml")
    small = replace(backend.abilities, context=40)
    rules = [replace(rule) for rule in backend.rules]
    benchmark = code.load("humaneval", [place], steps=2, limit=1)

    async def work():
        async with Model(Scripted(rules, abilities=small)) as model:
            settings = Settings(samples=3, steps=2, sampling=replace(DRAWN, max_tokens=15), workers=1)
            return await code.measure(benchmark, model, settings, place.parent / "out")

    measured = asyncio.run(work())
    assert fates(measured, "HumanEval/0")[2] == "kept: the prompt does not fit"


def test_a_prompt_that_does_not_fit_is_named_before_anything_is_sent(place):
    backend = Scripted({"": "x"}, abilities=replace(Scripted({"": "x"}).abilities, context=10))

    async def work():
        async with Model(backend) as model:
            await code.measure(code.load("humaneval", [place]), model, Settings(workers=1), place.parent / "out")

    with pytest.raises(UserError, match="leaves no room") as told:
        asyncio.run(work())
    assert told.value.where.startswith("HumanEval/0")
    assert not backend.calls


def test_more_samples_than_k_are_needed():
    with pytest.raises(UserError, match="pass@10 cannot be had from 3 samples"):
        Settings(samples=3, ks=(10,))


def test_a_name_that_is_no_benchmark_lists_those_that_are(place):
    with pytest.raises(UserError, match="no code benchmark is called 'apps'") as told:
        code.load("apps", [place])
    assert "mbpp_sanitized" in told.value.remedy


def test_a_plain_prompt_is_asked_without_a_single_change(place, thrice):
    _, backend = thrice
    first = {prompt for prompt, _, _ in backend.calls if "What the test says" not in prompt.text}
    assert first == {Text(task.prompt) for task in humaneval.read(place / "any-name.jsonl.gz")}
    assert {how.stop for _, how, _ in backend.calls} == {humaneval.STOPS}
