"""What a model is asked, what is read from its answers, and what a failed test says."""

import pytest

from code_sample import folder
from tandem.programs import feedback, humaneval, mbpp
from tandem.programs.feedback import cut
from tandem.programs.prompts import Asking, not_taken
from tandem.sandbox.verdict import TestResult, Verdict
from tandem.types import Chat, Text


@pytest.fixture
def double(tmp_path):
    return humaneval.read(folder(tmp_path) / "any-name.jsonl.gz")[0]


@pytest.fixture
def added(tmp_path):
    return mbpp.read(folder(tmp_path) / "mbpp.jsonl")


def failed(**words):
    return Verdict("failed", (TestResult(0, "failed", "AssertionError", "f(1) == 2", **words),))


def test_humaneval_as_text_is_its_prompt_and_nothing_else(double):
    assert Asking("text").attempt(double) == Text(double.prompt)
    assert Asking("text").stops(double) == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


def test_mbpp_as_text_shows_three_worked_examples_and_the_tests(added):
    asking = Asking("text", added.shots(None))
    prompt = asking.attempt(added.of("test")[0]).text
    assert prompt.count("[BEGIN]") == 4
    assert prompt.count("[DONE]") == 3
    assert prompt.count("assert add_11(") == 3
    assert prompt.endswith("assert add_11(5) == 16\n[BEGIN]\n")
    assert asking.read(added.of("test")[0], "def add_11(x): return x\n[DONE]\nmore") == (
        "def add_11(x): return x\n",
        "whole",
    )


def test_a_hidden_test_of_mbpp_is_not_in_any_prompt(tmp_path):
    task = mbpp.read(folder(tmp_path) / "mbpp.jsonl", apart=True).of("test")[0]
    for form in ("text", "chat"):
        asking = Asking(form)
        for prompt in (asking.attempt(task), asking.refinement(task, "def add_11(x): return x", "AssertionError")):
            text = prompt.text if isinstance(prompt, Text) else prompt.messages[-1].content
            assert "add_11(0)" in text
            assert "add_11(1)" not in text
            assert "add_11(5)" not in text


def test_a_conversation_shows_the_task_in_a_fence_and_has_no_stop_texts(double):
    asking = Asking("chat")
    prompt = asking.attempt(double)
    assert isinstance(prompt, Chat)
    assert f"```python\n{double.prompt.rstrip()}\n```" in prompt.messages[-1].content
    assert asking.stops(double) == ()


def test_a_refinement_shows_attempt_and_feedback_and_ends_with_the_header(double):
    prompt = Asking("text").refinement(double, "    return x\r\n", "AssertionError\nINPUT: double(2)")
    assert "return x\n" in prompt.text
    assert "# INPUT: double(2)\n" in prompt.text
    assert prompt.text.endswith(double.opening)


@pytest.mark.parametrize(
    ("refined", "how", "why"),
    [
        ("    return x + x\n", "whole", ""),
        ("def double(x):\n    y = x\n    return y + x\n", "fence", ""),
        ("def double(x):\n    return x\n", "fence", "too short"),
        ("    return (\n", "whole", "does not parse"),
        ("  \n", "whole", "no code"),
        ("", "none", "no code"),
    ],
)
def test_a_refinement_that_is_no_program_is_not_taken(double, refined, how, why):
    assert not_taken(double, refined, how) == why


def test_a_refinement_that_defines_something_else_is_not_taken(added):
    task = added.of("test")[0]
    assert not_taken(task, "def other(x):\n    y = x\n    return y\n", "whole") == "defines something else"


# ── Feedback ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_feedback_names_class_test_input_output_and_expected():
    verdict = failed(input="f(1)", output="3", expected="2")
    assert feedback(verdict) == "AssertionError\nTEST: assert f(1) == 2\nINPUT: f(1)\nOUTPUT: 3\nEXPECTED: 2"


def test_every_part_of_feedback_has_at_most_fifty_words():
    long = " ".join(map(str, range(200)))
    lines = feedback(failed(input=long, output=long, expected=long)).split("\n")[2:]
    assert [len(line.split()) for line in lines] == [52, 52, 52]
    assert all(line.endswith("49 …") for line in lines)


def test_a_short_text_keeps_its_own_spacing():
    assert cut("a  b\n c") == "a  b\n c"


def test_an_exception_is_told_with_its_line():
    verdict = Verdict("error", (TestResult(0, "error", "NameError", "name 'y' is not defined", line=2, input="f(1)"),))
    assert feedback(verdict, ("assert f(1) == 2",)) == (
        "NameError: name 'y' is not defined (line 2)\nTEST: assert f(1) == 2\nINPUT: f(1)"
    )


def test_a_timeout_is_told():
    verdict = Verdict("timeout", (TestResult(0, "timeout", text="out of processor time"),))
    assert feedback(verdict) == "Timeout: out of processor time"


@pytest.mark.parametrize("outcome", ["passed", "broken", "infrastructure"])
def test_what_says_nothing_about_the_program_gives_no_feedback(outcome):
    assert feedback(Verdict(outcome, ())) == ""
