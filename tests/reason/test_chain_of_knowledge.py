import pytest
from reasoning_sample import (
    BRELL,
    CHOICE,
    KARO,
    LAMP,
    WROTE,
    Shelf,
    answered,
    chain,
    ends,
    model,
    named,
    prompts,
    sampled,
)

from tandem.errors import UserError
from tandem.reason.agreement import Gate
from tandem.reason.chain_of_knowledge import MOST_STEPS, Adapting, Domain, chain_of_knowledge
from tandem.reason.chains import Asking
from tandem.reason.demonstrations import shipped

BORN = "Orla Senn was born in Tolk."
SENN = "The Lamp of Orn was written by Orla Senn."
HELD = {"written by": "Orla Senn wrote it.", "born in": "A birthplace."}


def doubtful(*steps):
    return sampled(*(chain(*steps, answer=a) for a in ("Brell", "Tolk", "Miro", "Lusta", "Orn")))


def corrected(*rules, question=LAMP, sources=None, adapting=None, **how):
    lm = model(*rules)
    found = [Shelf(HELD)] if sources is None else sources
    return answered(chain_of_knowledge, question, lm, found, settings=adapting or Adapting(), **how), lm


def outcomes(record):
    return [edit["outcome"] for edit in record.answer.facts["edits"]]


def stands(record):
    return [edit["text"] for edit in record.answer.facts["edits"]]


def test_a_later_step_is_written_anew_after_a_correction_and_then_corrected_itself():
    shelf = Shelf(HELD)
    record, lm = corrected(
        doubtful(WROTE, BRELL),
        ends(f"Step: {WROTE}\nCorrected:", f" {SENN}"),
        ends(f"1. {SENN}\n2.", " Orla Senn was born in Miro.\nAnswer: Miro"),
        ends("Step: Orla Senn was born in Miro.\nCorrected:", f" {BORN}"),
        ends(f"1. {SENN}\n2. {BORN}\nAnswer:", " Tolk"),
        sources=[shelf],
    )
    assert record.answer.text == "Tolk"
    assert stands(record) == [SENN, BORN]
    assert shelf.asked == [WROTE, "Orla Senn was born in Miro."]  # never the step that was written over
    assert len(lm.calls) == 5


def test_a_step_that_is_confirmed_leaves_the_later_ones_as_they_are():
    record, lm = corrected(
        doubtful(WROTE, BRELL),
        ends(f"Step: {WROTE}\nCorrected:", f" {WROTE}"),
        ends(f"Step: {BRELL}\nCorrected:", f" {KARO}"),
        ends(f"1. {WROTE}\n2. {KARO}\nAnswer:", " Karo"),
    )
    assert (record.answer.text, outcomes(record), len(lm.calls)) == ("Karo", ["confirmed", "edited"], 4)


def test_at_once_all_steps_are_corrected_apart_and_none_is_written_anew():
    record, lm = corrected(
        doubtful(WROTE, BRELL),
        ends(f"Step: {WROTE}\nCorrected:", f" {SENN}"),
        ends(f"Step: {BRELL}\nCorrected:", f" {KARO}"),
        ends(f"1. {SENN}\n2. {KARO}\nAnswer:", " Karo"),
        adapting=Adapting(at_once=True),
    )
    assert (stands(record), len(lm.calls)) == ([SENN, KARO], 4)
    assert not named(record, "go on")


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_chain_may_have_any_number_of_steps(n):
    steps = [f"Fact {i} was written by nobody." for i in range(n)]
    right = [f"Fact {i} was found." for i in range(n)]
    rules = [ends(f"Step: {steps[i]}\nCorrected:", f" {right[i]}") for i in range(n)]
    rules += [  # after a correction the later steps are written as they were
        ends(f"{i}. {right[i - 1]}\n{i + 1}.", chain(*steps[i:], answer="Tolk").replace("\n2.", f"\n{i + 2}."))
        for i in range(1, n)
    ]
    record, _ = corrected(doubtful(*steps), *rules, ends(f"{n}. {right[-1]}\nAnswer:", " Karo"))
    assert stands(record) == right
    assert record.answer.text == "Karo"


@pytest.mark.parametrize("said", ["", "\nAnswer: Tolk"])
def test_no_step_is_lost_where_nothing_is_written_anew(said):
    record, _ = corrected(
        doubtful(WROTE, BRELL),
        ends(f"Step: {WROTE}\nCorrected:", f" {SENN}"),
        ends(f"1. {SENN}\n2.", said),
        ends(f"Step: {BRELL}\nCorrected:", f" {KARO}"),
        ends(f"1. {SENN}\n2. {KARO}\nAnswer:", " Karo"),
    )
    assert stands(record) == [SENN, KARO]


def test_steps_beyond_the_most_are_kept_unchecked():
    steps = [f"Fact {i} was written by nobody." for i in range(MOST_STEPS + 2)]
    record, _ = corrected(doubtful(*steps), ends("Corrected:", " unknown"))
    assert stands(record) == steps
    assert outcomes(record) == ["undecided"] * MOST_STEPS + ["not-checked"] * 2


def test_a_model_that_repeats_what_is_decided_adds_no_step_twice():
    lm = model(
        ends(
            "it:\nSteps:\n1.",
            *(f"1. {WROTE}\n2. {BRELL}\nAnswer: {a}" for a in ("Brell", "Tolk", "Miro", "Orn", "Zell")),
        ),
        ends(f"Step: {WROTE}\n\nGo on after this, without repeating it:\nCorrected:", SENN),
        ends(f"1. {SENN}\n2.", f"Steps:\n1. {SENN}\n2. {BRELL}\nAnswer: Tolk"),
        ends(f"Step: {BRELL}\n\nGo on after this, without repeating it:\nCorrected:", f"Corrected: {KARO}"),
        ends(f"2. {KARO}\nAnswer:", f"Steps:\n1. {SENN}\n2. {KARO}\nAnswer: Karo"),
        text=False,
        prefill=False,
    )
    record = answered(chain_of_knowledge, LAMP, lm, [Shelf(HELD)], settings=Adapting())
    assert (stands(record), record.answer.text) == ([SENN, KARO], "Karo")


def test_a_chain_that_agrees_is_left_alone():
    shelf = Shelf(HELD)
    record, lm = corrected(sampled(chain(WROTE, BRELL, answer="Brell")), sources=[shelf])
    assert (record.answer.text, len(lm.calls), shelf.asked) == ("Brell", 1, [])


DOMAINS = {"factual": Domain("people and places", ("people", "towns")), "medical": Domain("bodies", ("cards",))}
SHELVES = ("people", "towns", "cards", "free")


def choosing(said):
    shelves = [Shelf({"": "A finding."}, name=name) for name in SHELVES]
    rules = (doubtful(WROTE), ends("\nFields:", said), ends("Corrected:", " unknown"))
    record, lm = corrected(*rules, sources=shelves, adapting=Adapting(domains=DOMAINS))
    return [shelf.name for shelf in shelves if shelf.asked], record, lm


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (" factual", ["people", "towns", "free"]),
        (" Medical.", ["cards", "free"]),
        (" medical, factual", [*SHELVES]),
        (" astrology, medical", ["cards", "free"]),
        (" - factual", ["people", "towns", "free"]),
        (" **Medical**", ["cards", "free"]),
        (" 1. factual and medical", [*SHELVES]),
        (" astrology", [*SHELVES]),
        ("", [*SHELVES]),
    ],
)
def test_the_sources_of_the_named_fields_are_asked_and_all_where_none_is_known(said, asked):
    assert choosing(said)[0] == asked


def test_sources_that_were_not_asked_are_told_as_such():
    _, record, _ = choosing(" medical")
    assert named(record, "choose domains")[0]["not asked"] == ["people", "towns"]


def test_a_field_that_names_no_source_of_ours_is_an_error():
    with pytest.raises(UserError, match="names the source 'cards'"):
        corrected(
            doubtful(WROTE),
            sources=[Shelf(HELD, name="people"), Shelf(name="towns")],
            adapting=Adapting(domains=DOMAINS),
        )


def test_options_stand_in_every_prompt_of_a_choice():
    lm = model(
        sampled(*(chain("It was written by none.", BRELL, answer=a) for a in "ABC")),
        ends("\nFields:", " medical"),
        ends("Step: It was written by none.\nCorrected:", " A body was born."),
        ends("1. A body was born.\n2.", " Nobody was born in it.\nAnswer: A"),
        ends("Step: Nobody was born in it.\nCorrected:", f" {KARO}"),
        ends(f"2. {KARO}\nAnswer:", " B"),
    )
    domains = {"medical": Domain("bodies", ("shelf",)), "physics": Domain("forces", ("shelf",))}
    settings = Adapting(samples=3, gate=Gate("always"), domains=domains)
    record = answered(
        chain_of_knowledge, CHOICE, lm, [Shelf(HELD)], settings=settings, asking=Asking(shipped("letter", 6))
    )
    assert record.right == 1
    assert len(lm.calls) == 6
    for text in prompts(lm):
        assert text.count("(A) In Brell\n(B) In Karo\n(C) In Tolk") == 1, text[-400:]


def test_empty_findings_never_lead_to_an_edit():
    record, lm = corrected(doubtful(WROTE, BRELL), sources=[Shelf({})])
    assert outcomes(record) == ["no-evidence"] * 2
    assert (record.answer.text, len(lm.calls)) == ("Brell", 1)
