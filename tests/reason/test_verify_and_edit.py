import pytest
from reasoning_sample import (
    BRELL,
    CHOICE,
    CLAIM,
    KARO,
    LAMP,
    WROTE,
    Shelf,
    answered,
    chain,
    ends,
    holds,
    model,
    named,
    prompts,
    sampled,
)

from tandem.errors import Unsupported, UserError
from tandem.lm.scripted import Said
from tandem.reason.agreement import Gate
from tandem.reason.chains import Asking
from tandem.reason.demonstrations import shipped
from tandem.reason.editing import Editing, bears_on
from tandem.reason.verify_and_edit import verify_and_edit
from tandem.types import Finding

UNSURE = sampled(
    chain(WROTE, BRELL, answer="Brell"),
    chain("It was Tolk.", answer="Tolk"),
    chain("It was Miro.", answer="Miro"),
    chain("It was Lusta.", answer="Lusta"),
    chain("It was Orn.", answer="Orn"),
)
CHECKS = (ends(f"Step: {WROTE}\nCheck:", " Who wrote it?"), ends(f"Step: {BRELL}\nCheck:", " Where was Mira Tal born?"))
SAYS = (
    ends("Check: Who wrote it?\nFinding:", f" {WROTE}"),
    ends("Check: Where was Mira Tal born?\nFinding:", f" {KARO}"),
)
FINAL = ends(f"Steps:\n1. {WROTE}\n2. {KARO}\nAnswer:", " Karo")
HELD = {"wrote": "Mira Tal wrote The Lamp of Orn.", "born": "Karo is Mira Tal's birthplace."}


def edited(*rules, question=LAMP, sources=None, editing=None, **how):
    lm = model(*rules)
    record = answered(
        verify_and_edit,
        question,
        lm,
        [Shelf(HELD)] if sources is None else sources,
        settings=editing or Editing(),
        **how,
    )
    return record, lm


def outcomes(record):
    return [edit["outcome"] for edit in record.answer.facts["edits"]]


def test_a_doubtful_chain_is_checked_step_by_step_and_predicted_again():
    shelf = Shelf(HELD)
    record, lm = edited(UNSURE, *CHECKS, *SAYS, FINAL, sources=[shelf])
    assert (record.answer.text, record.answer.rationale, record.right, record.before) == (
        "Karo",
        f"{WROTE} {KARO}",
        1,
        0,
    )
    assert shelf.asked == ["Who wrote it?", "Where was Mira Tal born?"]
    assert outcomes(record) == ["confirmed", "edited"]
    assert [f.text for f in record.answer.findings] == list(HELD.values())
    assert [edit["findings"] for edit in record.answer.facts["edits"]] == [[0], [1]]
    assert len(lm.calls) == 1 + 2 + 2 + 1  # all chains at once, a question and a sentence for each step, the answer
    assert record.answer.confidence == 0.0  # no sampled chain said Karo


def test_in_the_other_edit_style_the_model_corrects_the_step_with_what_its_check_found():
    shelf = Shelf(HELD)
    fixes = [holds(f"Step: {old}\nCorrected:", said=f" {new}") for old, new in ((WROTE, WROTE), (BRELL, KARO))]
    record, lm = edited(UNSURE, *CHECKS, *fixes, FINAL, sources=[shelf], editing=Editing(style="correct"))
    assert shelf.asked == ["Who wrote it?", "Where was Mira Tal born?"]
    assert (record.answer.text, outcomes(record)) == ("Karo", ["confirmed", "edited"])
    assert not any(prompt.endswith("Finding:") for prompt in prompts(lm))
    with pytest.raises(UserError, match="no edit style is called 'other'"):
        Editing(style="other")


ROW = "SELECT born_in FROM person WHERE name = 'Mira Tal'"


@pytest.mark.parametrize(
    ("finding", "before", "cited"),
    [
        (Finding("Karo is Mira Tal's birthplace."), BRELL, True),
        (Finding("Tal Orn was born by the sea in Tolk."), BRELL, False),  # many words, but not the one that is new
        (Finding("Jon Aske was born in Brell."), BRELL, False),
        (Finding("Mira Tal was born in a small town."), "", True),
        (Finding("Jon Aske was married there."), "", False),
        (Finding("born_in: Karo", query=ROW), BRELL, True),  # the query tells whose
        (Finding("born_in: Tolk", query=ROW), BRELL, False),
        (Finding("Karo lies on the Zell.", query="Where was Mira Tal born?"), "", False),  # a need holds its own words
    ],
)
def test_a_finding_is_cited_for_a_sentence_where_it_holds_its_words_and_those_that_are_new(finding, before, cited):
    assert bears_on(finding, KARO, before) == cited


def test_steps_that_were_all_confirmed_cite_what_confirms_them():
    record, _ = edited(
        sampled(chain(WROTE, answer="Karo")), *CHECKS, *SAYS, editing=Editing(samples=1, gate=Gate("always"))
    )
    assert record.answer.facts["kept"] == "every step was confirmed"
    assert [edit["cites"] for edit in record.answer.facts["edits"]] == [[0]]


def test_a_place_that_two_steps_rest_on_is_cited_once():
    both = Shelf({"w": "Mira Tal of Karo wrote The Lamp of Orn."})  # both checks have that letter
    record, _ = edited(UNSURE, *CHECKS, *SAYS, FINAL, sources=[both])
    assert len(record.answer.findings) == 1
    assert [edit["findings"] for edit in record.answer.facts["edits"]] == [[0], [0]]


def test_a_chain_that_agrees_is_left_alone_and_no_source_is_asked():
    shelf = Shelf(HELD)
    same = sampled(*[chain(WROTE, BRELL, answer="Brell")] * 3, chain("x.", answer="Tolk"), chain("y.", answer="Orn"))
    record, lm = edited(same, sources=[shelf])
    assert (record.answer.text, len(lm.calls), shelf.asked) == ("Brell", 1, [])
    assert "edits" not in record.answer.facts
    assert record.before is None
    assert not named(record, "ask source")


@pytest.mark.parametrize(
    ("gate", "calls"), [(Gate("never"), 1), (Gate("count", 1), 1), (Gate("share", 0.2), 1), (Gate("always"), 6)]
)
def test_the_gate_decides_whether_anything_is_looked_up(gate, calls):
    _, lm = edited(UNSURE, *CHECKS, *SAYS, FINAL, editing=Editing(gate=gate))
    assert len(lm.calls) == calls


def test_the_verbal_gate_asks_the_model_once():
    record, lm = edited(UNSURE, ends("\nSure:", " 90"), editing=Editing(gate=Gate("verbal", 0.8)))
    assert (record.answer.text, len(lm.calls)) == ("Brell", 2)
    assert named(record, "gate")[0]["value"] == 0.9


def test_a_gate_of_probabilities_is_refused_for_a_model_that_tells_none():
    lm = model(UNSURE, logprobs=False)
    with pytest.raises(Unsupported, match="no log-probabilities"):
        answered(verify_and_edit, LAMP, lm, [Shelf(HELD)], settings=Editing(gate=Gate("mass", 3)))
    assert not lm.calls


@pytest.mark.parametrize(
    "said", [" unknown", " Unknown.", " It is unknown: no passage says it.", " not stated", " I don't know.", ""]
)
def test_a_finding_that_decides_nothing_leaves_the_step(said):
    record, _ = edited(UNSURE, *CHECKS, SAYS[0], ends("Check: Where was Mira Tal born?\nFinding:", said))
    assert outcomes(record) == ["confirmed", "undecided"]
    assert (record.answer.text, record.answer.facts["kept"]) == ("Brell", "no step was edited")


def test_a_sentence_that_begins_with_the_word_unknown_may_still_decide():
    said = ends("Check: Where was Mira Tal born?\nFinding:", " Unknown to most she was born in Karo")
    record, _ = edited(
        UNSURE, *CHECKS, SAYS[0], said, ends("2. Unknown to most she was born in Karo\nAnswer:", " Karo")
    )
    assert outcomes(record) == ["confirmed", "edited"]


@pytest.mark.parametrize(
    ("source", "outcome"),
    [(Shelf({}), "no-evidence"), (Shelf(HELD, fails="timeout"), "source-failed"), (None, "not-asked")],
    ids=["nothing found", "failed", "no source"],
)
def test_nothing_found_a_failed_source_and_none_asked_are_three_outcomes_and_edit_nothing(source, outcome):
    record, lm = edited(UNSURE, *CHECKS, sources=[source] if source else [])
    assert outcomes(record) == [outcome, outcome]
    assert record.answer.text == "Brell"
    assert len(lm.calls) == 3  # no sentence is written from nothing
    told = {"no-evidence": {"nothing": 2}, "source-failed": {"timeout": 2}, "not-asked": {}}[outcome]
    assert record.source_outcomes == told


def test_one_failing_source_does_not_take_the_others_with_it():
    record, _ = edited(UNSURE, *CHECKS, *SAYS, FINAL, sources=[Shelf(HELD, fails="server", name="down"), Shelf(HELD)])
    assert record.answer.text == "Karo"
    assert record.source_outcomes == {"server": 2, "found": 2}


def test_where_one_source_failed_and_the_other_has_nothing_it_is_not_said_that_there_is_no_evidence():
    record, _ = edited(UNSURE, *CHECKS, sources=[Shelf({}), Shelf({}, fails="rate-limit", name="down")])
    assert outcomes(record) == ["source-failed"] * 2


@pytest.mark.parametrize("final", [" ?", "", " SUPPORTS and REFUTES"])
def test_a_new_answer_that_is_no_valid_one_leaves_the_old_one(final):
    chains = sampled(
        chain(BRELL, answer="SUPPORTS"), chain("x.", answer="REFUTES"), chain("y.", answer="NOT ENOUGH INFO")
    )
    rules = (chains, CHECKS[1], SAYS[1], ends("\nAnswer:", final))
    record, _ = edited(*rules, question=CLAIM, editing=Editing(samples=3, gate=Gate("always")))
    assert (record.answer.text, record.answer.facts["kept"]) == ("SUPPORTS", "the new answer is unparsed")
    assert record.answer.outcome == "answered"
    loose, _ = edited(*rules, question=CLAIM, editing=Editing(samples=3, gate=Gate("always"), keep_original=False))
    assert (loose.answer.text, loose.answer.outcome) == ("", "unparsed")
    assert "answer_logprob" not in loose.answer.facts  # the old answer's says nothing of this one


def test_a_cut_correction_and_a_refused_one_are_named_and_change_nothing():
    long = ends("Check: Where was Mira Tal born?\nFinding:", " " + "word " * 40)
    refused = ends("Check: Where was Mira Tal born?\nFinding:", Said("I would rather not.", finish="refusal"))
    for rule, outcome in ((long, "cut"), (refused, "refused")):
        record, _ = edited(UNSURE, *CHECKS, SAYS[0], rule, editing=Editing(sentence_tokens=20))
        assert outcomes(record) == ["confirmed", outcome]
        assert record.answer.text == "Brell"


def test_where_no_question_is_written_the_step_itself_is_looked_up():
    shelf = Shelf(HELD)
    nothing = ends(f"Step: {BRELL}\nCheck:", Said("No.", finish="refusal"))
    edited(UNSURE, CHECKS[0], nothing, SAYS[0], ends(f"Check: {BRELL}\nFinding:", " unknown"), sources=[shelf])
    assert shelf.asked == ["Who wrote it?", BRELL]


def test_a_majority_without_steps_has_nothing_to_check():
    record, lm = edited(sampled("\nAnswer: Brell"), editing=Editing(samples=1, gate=Gate("always")))
    assert record.answer.facts["kept"] == "the chain has no steps to check"
    assert len(lm.calls) == 1


def test_without_any_answer_the_first_chain_is_checked_and_may_get_one():
    record, _ = edited(sampled(chain(WROTE, BRELL)), ends(f"{BRELL}\nAnswer:", ""), *CHECKS, *SAYS, FINAL)
    assert (record.answer.text, record.before, record.right) == ("Karo", 0, 1)


def test_three_findings_of_ten_are_kept_those_nearest_to_the_check():
    held = {f"born{'' if n else ' in'}": f"Note {n} of nothing." for n in range(2)}
    held |= {
        "Mira": "Mira Tal was born in Karo, as the check asks.",
        "where": "Somewhere else.",
        "tal": "Tal is a name.",
    }
    _, lm = edited(UNSURE, *CHECKS, *SAYS, FINAL, sources=[Shelf(held)], editing=Editing(top=1))
    assert (
        "Passage 1: Mira Tal was born in Karo, as the check asks.\nCheck: Where was Mira Tal born?" in prompts(lm)[-2]
    )
    assert "Passage 2" not in prompts(lm)[-2]
    _, lm = edited(UNSURE, *CHECKS, *SAYS, FINAL, sources=[Shelf(held)], editing=Editing(top=1, target="source"))
    assert "Passage 1: Note 1 of nothing." in prompts(lm)[-2]  # as the source has them


def test_options_stand_in_every_prompt_of_a_choice():
    chains = sampled(chain(BRELL, answer="A"), chain("x.", answer="B"), chain("y.", answer="C"))
    rules = (chains, CHECKS[1], SAYS[1], ends("\nSure:", " 1"), ends("\nAnswer:", " B"))
    record, lm = edited(
        *rules, question=CHOICE, editing=Editing(samples=3, gate=Gate("verbal")), asking=Asking(shipped("letter", 6))
    )
    assert record.right == 1
    assert len(lm.calls) == 5
    for text in prompts(lm):
        assert text.count("(A) In Brell\n(B) In Karo\n(C) In Tolk") == 1, text[-400:]


def test_options_stand_in_the_prompt_of_a_query_too():
    chains = sampled(chain(BRELL, answer="A"), chain("x.", answer="B"), chain("y.", answer="C"))
    rules = (chains, CHECKS[1], SAYS[1], ends("\nSQL:", " SELECT town FROM born"), ends("\nAnswer:", " B"))
    tables = Shelf({"SELECT": "town: Karo"}, language="sql")
    record, lm = edited(
        *rules, question=CHOICE, editing=Editing(samples=3, gate=Gate("always")), sources=[tables],
        asking=Asking(shipped("letter", 6)),
    )  # fmt: skip
    assert tables.asked == ["SELECT town FROM born"]
    (asked,) = [text for text in prompts(lm) if text.endswith("\nSQL:")]
    assert "\nOptions: (A) In Brell (B) In Karo (C) In Tolk\n" in asked
    assert record.right == 1


def test_labels_are_named_where_the_answer_is_written():
    chains = sampled(*(chain(BRELL, answer=label) for label in CLAIM.choices))
    _, lm = edited(
        chains,
        CHECKS[1],
        SAYS[1],
        ends("\nAnswer:", " REFUTES"),
        question=CLAIM,
        editing=Editing(samples=3, gate=Gate("always")),
    )
    assert all("SUPPORTS, REFUTES, NOT ENOUGH INFO" in text for text in (prompts(lm)[0], prompts(lm)[-1]))


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"top": 0}, {"top": 5, "fetch": 4}, {"gate": Gate("share", 3)}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(UserError):
        Editing(**wrong)


def test_a_call_that_fails_for_good_is_the_questions_outcome():
    record, _ = edited(UNSURE, CHECKS[0], holds(f"Step: {BRELL}\nCheck:", said=(), fails="server"), *SAYS)
    assert (record.answer.outcome, record.answer.facts["kind"], record.right) == ("failed", "server", None)
