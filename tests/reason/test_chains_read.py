import asyncio

import pytest
from reasoning_sample import CHOICE, CLAIM, LAMP, answered, chain, ends, model, named, prompts, sampled

from tandem.errors import CallFailed, UserError
from tandem.lm.scripted import ABLE, Said, Scripted
from tandem.reason.asking import draw
from tandem.reason.chains import Asking, read, split_steps
from tandem.reason.demonstrations import shipped
from tandem.reason.plain import cot, cot_sc, standard, verbal
from tandem.types import Completion, Question, Text, Token, Usage

STEPS = ("One fact.", "Another fact.")


def came(text, finish="stop", logprobs=None):
    tokens, at = [], 0
    for word, p in zip(text.split(" "), logprobs or (), strict=False):
        word = word if not tokens else f" {word}"
        tokens.append(Token(word, p, at, at + len(word.encode())))
        at += len(word.encode())
    return Completion(text, finish, tuple(tokens) if logprobs else None, Usage(1, 1), "m")


@pytest.mark.parametrize(
    "written",
    [
        " One fact.\n2. Another fact.",
        "One fact.\n2) Another fact.",
        "\n1. One fact.\n2. Another fact.",
        " One fact.\n\n2. Another\nfact.",
        " One fact. Another fact.",
        " One fact.\n- Another fact.",
    ],
)
def test_steps_are_read_from_numbered_lines_or_sentences(written):
    found = [part for text in split_steps(f"1. {written}") for part in text.replace(". A", ".|A").split("|")]
    assert tuple(found) == STEPS


def test_a_step_that_is_written_again_counts_once_and_a_bracket_needs_no_space():
    assert split_steps("1. One fact.\n2. One fact.\n3)Another fact.") == STEPS


@pytest.mark.parametrize(
    "written",
    [
        "Sure! Here are the steps:\n\n1. One fact.\n2. Another fact.",
        "**Steps:**\n1. One fact.\n2. Another fact.",
        "### Steps:\n1. One fact. 2. Another fact.",
        "1. One fact. 2. Another fact.",
    ],
)
def test_what_announces_the_steps_is_none_and_numbers_may_go_on_in_a_line(written):
    assert split_steps(written) == STEPS


@pytest.mark.parametrize(
    "written", [" One fact.\n2. Another fact.", "One fact.\n2) Another fact.", "One fact.\n- Another fact."]
)
def test_a_first_step_whose_number_was_given_is_a_step(written):
    assert split_steps(written) == STEPS


def test_a_decimal_number_at_a_lines_beginning_is_no_number_of_a_step():
    assert split_steps("1. It weighs\n3.5 kilograms.") == ("It weighs 3.5 kilograms.",)


@pytest.mark.parametrize(
    "cue",
    [
        "\nAnswer: Karo",
        "\nThe answer is: Karo",
        "\n**Final answer:** Karo",
        "\nanswer:\nKaro",
        "\nAnswer: Tolk\nAnswer: Karo",
    ],
)
def test_the_answer_stands_after_the_last_cue(cue):
    found = read(LAMP, came(f" One fact.\n2. Another fact.{cue}"), "1.")
    assert (found.answer, found.outcome) == ("Karo", "answered")
    assert found.steps[:2] == STEPS


def test_the_answers_log_probability_is_the_sum_over_its_own_tokens():
    written = "A fact. \nAnswer: Karo on Zell. \nSo there."  # tokens: A, fact., Answer:, Karo, on, Zell., So, there.
    found = read(LAMP, came(written, logprobs=[-1, -2, -4, -8, -16, -32, -64, -128]), "1.")
    assert found.answer == "Karo on Zell"
    assert found.answer_logprob == -8 - 16 - 32
    assert found.logprob == -255 / 8


def test_a_chain_without_a_cue_is_asked_once_for_its_answer_alone():
    lm = model(
        sampled(chain(*STEPS), logprob=-2.0), ends(f"1. {STEPS[0]}\n2. {STEPS[1]}\nAnswer:", " Karo", logprob=-0.5)
    )
    record = answered(cot, LAMP, lm)
    assert (record.answer.text, record.answer.rationale) == ("Karo", " ".join(STEPS))
    assert record.answer.facts["answer_logprob"] == -0.5  # of the answer, not of the whole chain
    assert len(lm.calls) == 2
    assert named(record, "repair") == [{"was": "unparsed"}]


def test_a_direct_answer_that_holds_none_is_asked_once_for_the_answer_alone():
    said = "It was in the hills above the river, as everybody knows."
    lm = model(ends(f"Steps:\n1. {said}\nAnswer:", " SUPPORTS"), ends("\nAnswer:", f" {said}"))
    record = answered(standard, CLAIM, lm)
    assert (record.answer.text, record.answer.rationale, len(lm.calls)) == ("SUPPORTS", "", 2)
    lm = model(ends("\nAnswer:", f" {said}"))
    assert (answered(standard, CLAIM, lm).answer.outcome, len(lm.calls)) == ("unparsed", 2)


def test_a_chain_that_stays_without_an_answer_is_unparsed_and_asked_no_third_time():
    lm = model(sampled(chain(*STEPS)), ends("\nAnswer:", ""))
    record = answered(cot, LAMP, lm)
    assert (record.answer.text, record.answer.outcome, record.right) == ("", "unparsed", 0.0)
    assert len(lm.calls) == 2


def test_a_cut_chain_loses_the_sentence_that_was_cut_and_is_repaired():
    lm = model(sampled(chain("One fact.", "Another fact that goes")), ends(f"1. {STEPS[0]}\nAnswer:", " Karo"))
    record = answered(cot, LAMP, lm, asking=Asking(max_tokens=5))
    assert (record.answer.text, record.answer.rationale) == ("Karo", STEPS[0])


def test_a_cut_answer_is_no_answer():
    lm = model(ends("\nAnswer:", " Karo on the river Zell"))
    record = answered(standard, LAMP, lm, asking=Asking(answer_tokens=3))
    assert (record.answer.text, record.answer.outcome) == ("", "truncated")


def test_a_label_that_is_whole_counts_although_the_model_would_go_on():
    lm = model(ends("\nAnswer:", " REFUTES and so on and on"))
    assert answered(standard, CLAIM, lm, asking=Asking(answer_tokens=2)).answer.text == "REFUTES"


def test_a_refusal_is_neither_an_answer_nor_a_chain():
    refusal = Said("I cannot help. Answer: Karo", finish="refusal")
    for method, rule in ((cot, sampled(refusal)), (standard, ends("\nAnswer:", refusal))):
        record = answered(method, LAMP, model(rule))
        assert (record.answer.text, record.answer.rationale, record.answer.outcome) == ("", "", "refused")


def test_a_model_that_goes_on_with_a_question_of_its_own_is_stopped_before_it():
    lm = model(sampled(chain(*STEPS, answer="Karo") + "\nQuestion: Who?\nSteps:\n1. x\nAnswer: Tolk"))
    assert answered(cot, LAMP, lm).answer.text == "Karo"


def test_a_vote_counts_every_sample_and_its_share_is_the_confidence():
    lm = model(
        sampled(*(chain(*STEPS, answer=a) for a in ("Karo", "the Karo.", "Tolk")), chain(*STEPS)), ends("\nAnswer:", "")
    )
    record = answered(cot_sc, LAMP, lm, samples=4)
    assert (record.answer.text, record.answer.confidence) == ("Karo", 0.5)
    assert (record.answer.facts["count"], record.answer.facts["n"]) == (2, 4)
    assert [c["outcome"] for c in named(record, "sample chains")[0]["chains"]] == ["answered"] * 3 + ["unparsed"]


def test_a_rationale_and_its_answer_come_from_the_same_sample():
    said = (
        chain("No answer here."),
        chain("Brell is right.", answer="Brell"),
        *[chain("Karo is right.", answer="Karo")] * 2,
    )
    record = answered(cot_sc, LAMP, model(sampled(*said), ends("\nAnswer:", "")), samples=4)
    assert (record.answer.text, record.answer.rationale) == ("Karo", "Karo is right.")


def test_samples_that_could_not_differ_are_refused_before_anything_is_asked():
    lm = model(sampled(chain(*STEPS, answer="Karo")))
    with pytest.raises(UserError, match="agree always"):
        answered(cot_sc, LAMP, lm, samples=5, temperature=0.0)
    assert not lm.calls


def test_fewer_samples_than_asked_for_are_a_failure():
    class Deaf(Scripted):
        async def generate(self, prompt, sampling, samples=range(1)):
            return (await super().generate(prompt, sampling, samples))[:1]

    with pytest.raises(CallFailed, match="5 samples were asked for and 1 came"):
        asyncio.run(draw(Deaf({"": "x"}, abilities=ABLE), Text("?"), max_tokens=5, samples=5, temperature=0.7))


@pytest.mark.parametrize(
    ("written", "sure"),
    [
        (" 85", 0.85),
        (" 0", 0.0),
        (" 100 %.", 1.0),
        (" 850", None),
        (" very", None),
        (" 7.5", 0.075),
        (" 0.9", 0.9),
        (" 9/10", 0.9),
        (" 8 out of 10", 0.8),
        (" I am 90% sure", 0.9),
        (" 1", 0.01),
        (" 11/10", None),
    ],
)
def test_what_the_model_says_of_itself_is_a_number_up_to_100_or_nothing(written, sure):
    lm = model(sampled(chain(*STEPS, answer="Karo")), ends("Proposed answer: Karo\nSure:", written))
    assert answered(verbal, LAMP, lm, samples=1).answer.confidence == sure


def test_the_model_is_not_asked_how_sure_it_is_of_no_answer():
    lm = model(sampled(""), ends("\nAnswer:", ""))
    assert answered(verbal, LAMP, lm, samples=2).answer.confidence is None


@pytest.mark.parametrize("method", [standard, cot, cot_sc])
@pytest.mark.parametrize("question", [LAMP, CLAIM, CHOICE], ids=lambda q: q.id)
def test_the_question_stands_last_and_the_worked_examples_before_it(method, question):
    kind = {"lamp": "short", "claim": "label", "choice": "letter"}[question.id]
    lm = model(ends("\nAnswer:", " ?"), sampled(" A fact.\nAnswer: ?"))
    answered(method, question, lm, asking=Asking(shipped(kind, 6)))
    first = prompts(lm)[0]
    assert first.count("\nAnswer:") == (7 if method is standard else 6)
    assert first.rindex(question.text) > first.rindex(shipped(kind, 6)[-1].question.text)
    assert ("(B) In Karo" in first) == (question is CHOICE)
    assert ("one of SUPPORTS, REFUTES, NOT ENOUGH INFO" in first) == (question is CLAIM)


def test_a_sentence_may_be_longer_than_a_short_answer():
    question = Question("s", "What happened?", meta={"answer": "sentence"})
    long = " ".join(f"word{i}" for i in range(60))
    assert answered(standard, question, model(ends("\nAnswer:", f" {long}"))).answer.text == long


def test_the_methods_never_see_what_is_accepted():
    lm = model(sampled(chain(*STEPS, answer="Tolk")))
    answered(cot, LAMP, lm, asking=Asking(shipped("short", 6)))
    assert "Karo" not in prompts(lm)[0]
