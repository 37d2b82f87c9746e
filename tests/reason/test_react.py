import re
from dataclasses import replace

import pytest
from reasoning_sample import CHOICE, CLAIM, LAMP, WROTE, Shelf, answered, chain, ends, model, named, prompts, sampled

from tandem.errors import UserError
from tandem.lm.scripted import Rule, Said
from tandem.reason.chains import Asking
from tandem.reason.demonstrations import shipped
from tandem.reason.react import Acting, cot_sc_then_react, react, react_then_cot_sc, trajectory

HELD = {
    "lamp": f"{WROTE} It is a novel. Mira Tal has two sisters. A lamp is lit. It sold well. The end.",
    "tal": "Mira Tal was born in Karo.",
}
WHO = ends("\nThought 1:", " I need the author.\nAction 1: search[The Lamp of Orn]\n")
TURNS = [
    WHO,
    ends("\nThought 2:", " Now where Mira Tal was born.\nAction 2: search[Mira Tal]"),
    ends("\nThought 3:", " Karo it is.\nAction 3: finish[Karo]"),
]


def acted(*rules, question=LAMP, sources=None, method=react, **how):
    lm = model(*rules)
    return answered(method, question, lm, [Shelf(HELD)] if sources is None else sources, **how), lm


def observed(record):
    return [facts["observation"] for facts in named(record, "turn") if "observation" in facts]


def turns(*actions):
    """A model that does these, one a turn."""
    return [ends(f"\nThought {n}:", f" Thinking.\nAction {n}: {action}") for n, action in enumerate(actions, 1)]


def test_it_searches_observes_and_finishes():
    shelf = Shelf(HELD)
    record, lm = acted(*TURNS, sources=[shelf])
    assert (record.answer.text, record.answer.outcome, record.right) == ("Karo", "answered", 1)
    assert shelf.asked == ["The Lamp of Orn", "Mira Tal"]
    assert record.answer.facts == {"turns": 3, "actions_asked_again": 0}
    assert record.answer.rationale == "I need the author. Now where Mira Tal was born. Karo it is."
    assert prompts(lm)[1].endswith(
        "Thought 1: I need the author.\nAction 1: search[The Lamp of Orn]\nObservation 1: "
        f"{WROTE} It is a novel. Mira Tal has two sisters. A lamp is lit. It sold well.\nThought 2:"
    )


def test_a_search_shows_five_sentences():
    record, _ = acted(*TURNS)
    assert observed(record)[0].endswith("It sold well.")


def test_look_up_goes_from_one_sentence_with_the_word_to_the_next_and_counts_them():
    record, _ = acted(
        *turns(
            "search[lamp]",
            "lookup[lamp]",
            "lookup[Lamp]",
            "lookup[lamp]",
            "lookup[sold]",
            "lookup[lamp]",
            "finish[Karo]",
        )
    )
    assert observed(record)[1:] == [
        f"(Result 1 / 2) {WROTE}",
        "(Result 2 / 2) A lamp is lit.",
        "No more results.",
        "(Result 1 / 1) It sold well.",
        f"(Result 1 / 2) {WROTE}",  # a new word begins at the top again
    ]


def test_a_search_that_finds_nothing_or_fails_leaves_the_page_that_was_there():
    record, _ = acted(*turns("search[lamp]", "search[zzz]", "lookup[sold]", "finish[Karo]"))
    assert observed(record)[1:] == ["Nothing found for zzz.", "(Result 1 / 1) It sold well."]


def test_a_failed_source_is_not_told_as_nothing_found():
    record, _ = acted(*turns("search[lamp]", "finish[Karo]"), sources=[Shelf(fails="timeout")])
    assert observed(record) == ["The sources did not answer."]
    assert record.source_outcomes == {"timeout": 1}


def test_without_a_page_look_up_has_no_results():
    record, _ = acted(*turns("lookup[lamp]", "finish[Karo]"))
    assert observed(record) == ["No more results."]


@pytest.mark.parametrize(
    "said",
    [
        " I need the author.",
        " I need the author.\nAction 1: look around",
        " I need the author.\nsearch for it",
        " I need the author.\nAction 1: search[x",
    ],
)
def test_a_turn_without_a_readable_action_is_asked_once_for_the_action_alone(said):
    again = ends("Thought 1: I need the author.\nAction 1:", " search[The Lamp of Orn]")
    record, lm = acted(ends("\nThought 1:", said), again, *TURNS[1:])
    assert (record.answer.text, record.answer.facts["actions_asked_again"], len(lm.calls)) == ("Karo", 1, 4)


def test_what_is_still_no_action_is_told_to_the_model():
    record, lm = acted(
        ends("\nThought 1:", " Hm."), ends("\nAction 1:", " I do not know"), *turns("", "finish[Karo]")[1:]
    )
    assert observed(record) == ["That is no action. Use search[...], lookup[...] or finish[...]."]
    assert (record.answer.text, len(lm.calls)) == ("Karo", 3)


def test_an_observation_of_the_models_own_making_is_cut():
    ahead = ends(
        "\nThought 1:",
        " I need it.\nAction 1: search[lamp]\nObservation 1: It was Tolk.\nThought 2: So.\nAction 2: finish[Tolk]",
    )
    for lacking in ({}, {"stop": False}):
        lm = model(ahead, *TURNS[1:], **lacking)
        record = answered(react, LAMP, lm, [Shelf(HELD)])
        assert record.answer.text == "Karo"
        assert all("It was Tolk" not in text for text in prompts(lm))


def test_an_observation_alone_is_no_turn():
    record, _ = acted(ends("\nThought 1:", "Observation 1: It was Tolk."), ends("\nAction 1:", " finish[Karo]"))
    assert record.answer.text == "Karo"
    assert record.answer.rationale == ""


@pytest.mark.parametrize(("question", "most"), [(LAMP, 7), (CLAIM, 5)], ids=["question", "claim"])
def test_without_an_end_it_stops_after_the_published_number_of_turns_without_an_answer(question, most):
    record, lm = acted(Rule((" Again.\nAction 1: search[lamp]",)), question=question)
    assert (record.answer.outcome, record.answer.text, len(lm.calls)) == ("no-answer", "", most)


def test_the_number_of_turns_can_be_set_and_has_to_be_one_at_least():
    _, lm = acted(Rule((" Again.\nAction 1: search[lamp]",)), acting=Acting(most_steps=2))
    assert len(lm.calls) == 2
    with pytest.raises(UserError, match="lead nowhere"):
        Acting(most_steps=0)


@pytest.mark.parametrize("end", ["finish[]", "finish[maybe]"])
def test_an_end_without_a_valid_answer_is_unparsed(end):
    record, _ = acted(*turns(end), question=CLAIM)
    assert (record.answer.text, record.answer.outcome) == ("", "unparsed")


def test_an_argument_may_hold_brackets_and_lines_are_joined():
    shelf = Shelf(HELD)
    acted(
        ends("\nThought 1:", " T.\nAction 1: Search[The Lamp [a novel]]."),
        *turns("", "finish[Karo]")[1:],
        sources=[shelf],
    )
    assert shelf.asked == ["The Lamp [a novel]"]


def test_a_refusal_is_no_thought():
    record, _ = acted(ends("\nThought 1:", Said("I cannot.", finish="refusal")), ends("\nAction 1:", " finish[Karo]"))
    assert (record.answer.text, record.answer.rationale) == ("Karo", "")


def test_a_model_that_refuses_to_act_is_asked_no_further():
    record, lm = acted(ends(":", Said("I cannot.", finish="refusal")))
    assert (record.answer.outcome, len(lm.calls)) == ("refused", 2)


def test_an_end_that_says_it_does_not_know_abstains_and_backs_off():
    record, _ = acted(*turns("finish[unknown]"))
    assert (record.answer.text, record.answer.outcome) == ("", "abstained")
    record, _ = acted(
        *turns("finish[unknown]"), sampled(chain(WROTE, answer="Karo")), method=react_then_cot_sc, samples=1
    )
    assert (record.answer.text, record.answer.facts["backed_off"]) == ("Karo", "abstained")


def test_a_questions_own_passages_stand_in_every_prompt_where_they_are_to_be_shown():
    asked = replace(LAMP, context=("Karo lies on the Zell.",))
    for shown in (True, False):
        _, lm = acted(*TURNS, question=asked, asking=Asking(context=shown))
        assert {"Passage: Karo lies on the Zell." in prompt for prompt in prompts(lm)} == {shown}


def test_without_an_answer_in_its_turns_it_backs_off_to_the_majority_of_chains():
    record, _ = acted(
        sampled(chain(WROTE, answer="Karo")),
        Rule((" Again.\nAction 1: search[lamp]",)),
        method=react_then_cot_sc,
        samples=3,
    )
    assert (record.answer.text, record.answer.facts["backed_off"]) == ("Karo", "no-answer")


def test_with_an_answer_it_does_not_back_off():
    record, _ = acted(*TURNS, method=react_then_cot_sc)
    assert (record.answer.text, "backed_off" in record.answer.facts) == ("Karo", False)


@pytest.mark.parametrize(
    ("agreeing", "n", "backs"), [(2, 4, False), (1, 4, True), (2, 5, True), (3, 5, False), (1, 1, False)]
)
def test_under_half_of_the_chains_it_backs_off_to_acting(agreeing, n, backs):
    chains = sampled(
        *[chain(WROTE, answer="Brell")] * agreeing, *(chain(WROTE, answer=f"Town {i}") for i in range(n - agreeing))
    )
    record, _ = acted(chains, *TURNS, method=cot_sc_then_react, samples=n)
    assert record.answer.text == ("Karo" if backs else "Brell")
    assert record.before == (0 if backs else None)


def test_where_acting_has_no_answer_either_the_majority_stays():
    chains = sampled(*(chain(WROTE, answer=f"Town {i}") for i in range(5)))
    record, _ = acted(chains, Rule((" Again.\nAction 1: search[lamp]",)), method=cot_sc_then_react)
    assert (record.answer.text, record.answer.facts["kept"]) == ("Town 0", "ReAct: no-answer")


def test_options_stand_in_every_prompt_of_a_choice():
    record, lm = acted(*turns("search[tal]", "finish[In Karo]"), question=CHOICE, asking=Asking(shipped("letter", 6)))
    assert record.right == 1
    assert len(lm.calls) == 2
    assert all(text.count("(A) In Brell\n(B) In Karo\n(C) In Tolk") == 1 for text in prompts(lm))


def test_a_worked_example_is_written_as_turns_that_end():
    written = trajectory(shipped("short", 1)[0])
    assert [line.partition(":")[0] for line in written.splitlines()][-2:] == ["Thought 4", "Action 4"]
    assert written.endswith("finish[Vimmerby]")


def test_worked_examples_show_every_action_already_with_one():
    written = trajectory(shipped("short", 1)[0])
    assert re.findall(r"Action \d: (\w+)\[", written) == ["search", "search", "lookup", "finish"]
    page, found = re.findall(r"Observation [23]: (.+)", written)
    assert "Vimmerby" not in page and found.startswith("(Result 1 / 1) Astrid Lindgren was born")


def test_a_model_without_prefill_may_write_the_label_again():
    lm = model(
        ends("it:\nThought 1:", "Thought 1: I need it.\nAction 1: search[lamp]"),
        ends("\nThought 2:", "Thought 2: Karo.\nAction 2: finish[Karo]"),
        text=False,
        prefill=False,
    )
    record = answered(react, LAMP, lm, [Shelf(HELD)])
    assert (record.answer.text, record.answer.rationale) == ("Karo", "I need it. Karo.")
