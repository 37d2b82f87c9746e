from dataclasses import replace

import pytest
import sacrebleu
from reasoning_sample import CLAIM, LAMP

from tandem.reason import figures
from tandem.reason.running import Record
from tandem.trace import Step
from tandem.types import Answer, Question


def record(answer, *, question=LAMP, outcome="answered", confidence=None, trace=None, **facts):
    return Record(question, Answer(answer, "", confidence, outcome, facts=facts), trace or Step("m"))


def test_the_papers_toy_vector_has_its_area():
    """Scores 4, 3, 2, 1 with correctness 1, 0, 1, 1: 75.0."""
    answers = zip(("Karo", "Tolk", "Karo", "Karo"), (4.0, 3.0, 2.0, 1.0), strict=True)
    assert figures.auc([record(answer, answer_logprob=score) for answer, score in answers]).value == pytest.approx(0.75)


def test_answers_without_a_score_come_last_and_are_told():
    rows = [record("Karo", answer_logprob=-1.0), record("Karo", answer_logprob=-2.0), record("Tolk")]
    found = figures.auc(rows)
    assert "1 answers without one come last" in found.note
    assert found.value == figures.auc([*rows[:2], record("Tolk", answer_logprob=-9.0)]).value


def test_without_log_probabilities_the_methods_confidence_scores():
    rows = [record("Tolk", confidence=0.1), record("Karo", confidence=0.9), record("Tolk", confidence=0.5)]
    found = figures.auc(rows)  # the first of three: 1 of 1; all: 1 of 3
    assert (found.note, found.value) == ("by the method's confidence", pytest.approx((1 + 1 / 3) / 2))


def test_what_scores_nothing_has_no_area():
    assert figures.auc([record("Karo"), record("Tolk")]) is None
    assert figures.auc([record("Karo", confidence=1.0)]) is None


def test_an_alias_is_an_exact_match():
    assert figures.accuracy([record("Karo on Zell"), record("Tolk")]).value == 0.5


def test_what_failed_or_was_not_asked_counts_neither_as_right_nor_as_wrong():
    rows = [
        record("Karo"),
        record("", outcome="failed"),
        record("", outcome="not-asked"),
        record("", outcome="unparsed"),
    ]
    found = figures.accuracy(rows)
    assert (found.value, found.n) == (0.5, 2)
    assert figures.token_f1(rows).n == 2
    assert dict(zip(figures.COLUMNS, figures.row("m", rows), strict=True))["no answer"] == 1
    assert dict(zip(figures.COLUMNS, figures.row("m", rows), strict=True))["failed"] == 2


def test_questions_without_a_known_answer_have_no_figures_but_a_row():
    rows = [record("Karo", question=replace(LAMP, answers=()))]
    assert figures.accuracy(rows) is figures.token_f1(rows) is figures.auc(rows) is None
    assert figures.row("m", rows)[0] == "m"


def test_fixed_and_broken_count_what_was_looked_at_again():
    rows = [
        record("Karo", before="Tolk"),
        record("Tolk", before="Karo"),
        record("Tolk", before="Miro"),
        record("Karo", before="Karo"),
        record("Karo"),
        record("", before="Karo", outcome="failed"),
    ]
    assert figures.edited(rows) == {"looked at again": 4, "fixed": 1, "broken": 1, "changed, still wrong": 1}
    assert figures.row("m", rows)[4] == "1 / 1 of 4"


def test_of_sentences_which_are_more_or_less_right_better_and_worse_are_counted():
    asked = Question("s", "Where was she born?", ("She was born in Karo.",), meta={"answer": "sentence"})
    rows = [
        record("She came from Karo.", question=asked, before="Nothing is said."),
        record("Nothing is said.", question=asked, before="She was born in Karo."),
    ]
    counts = figures.edited(rows)
    assert (counts["better"], counts["worse"], counts["fixed"], counts["broken"]) == (1, 1, 0, 0)
    assert figures.row("m", rows)[4] == "1 better / 1 worse of 2"
    assert figures.changes(figures.edited([*rows, record("Karo", before="Tolk")])) == "1 / 0, 1 better / 1 worse of 3"


def test_two_steps_that_were_corrected_to_the_same_sentence_show_each_their_own():
    edits = [
        {"text": "New.", "outcome": "edited", "findings": [0], "cites": [0], "before": old} for old in ("One.", "Two.")
    ]
    edits.append({"text": "Same.", "outcome": "confirmed", "findings": [0], "cites": [0]})
    (example,) = figures.examples("m", [record("Karo", before="Tolk", edits=edits)])
    told = example.outputs[-1][1].splitlines()
    assert told[:5] == ["− One.", "+ New. [1]", "− Two.", "+ New. [1]", "  Same. [1] (confirmed)"]


def test_sentences_have_both_kinds_of_bleu_and_other_answers_none():
    asked = Question("s", "Where was she born?", ("Mira Tal was born in Karo on Zell.",), meta={"answer": "sentence"})
    said = [record(text, question=asked) for text in ("Mira Tal was born in Karo on Zell.", "She was born in Tolk.")]
    found = figures.bleus([*said, record("Karo")])
    lowered = [text.lower() for text in (said[0].answer.text, said[1].answer.text)]
    each = [sacrebleu.sentence_bleu(text, [asked.answers[0].lower()]).score for text in lowered]
    assert found["mean sentence BLEU"].value == pytest.approx(sum(each) / 2)
    whole = sacrebleu.corpus_bleu([each.answer.text for each in said], [[asked.answers[0]] * 2])
    assert found["corpus BLEU"].value == pytest.approx(whole.score)
    assert figures.bleus([record("Karo")]) == {}


def test_a_score_over_several_kinds_of_answers_is_called_a_score():
    rows = [record("Karo"), record("REFUTES", question=CLAIM)]
    assert figures.accuracy(rows).name == "score"
    assert figures.accuracy(rows[:1]).name == "exact match"
    assert figures.accuracy(rows[1:]).name == "accuracy"


def test_what_sources_said_is_counted_apart():
    asked = [
        Step("ask source", {"found": 2}),
        Step("ask source", {"found": 0}),
        Step("ask source", {}, outcome="timeout"),
    ]
    assert figures.source_outcomes([record("Karo", trace=Step("m", steps=asked))]) == {
        "found": 1,
        "nothing": 1,
        "timeout": 1,
    }


def test_an_example_shows_samples_findings_and_the_sentence_that_was_replaced():
    chains = Step(
        "sample chains", {"chains": [{"answer": "Tolk", "outcome": "answered"}, {"answer": "", "outcome": "unparsed"}]}
    )
    verify = Step("verify", {"sentence": "Old.", "edit": "New.", "edited": "edited"})
    edits = [
        {"text": "New.", "outcome": "edited", "findings": [], "cites": [], "before": "Old."},
        {"text": "Same.", "outcome": "no-evidence", "findings": [], "cites": []},
    ]
    made = record(
        "Karo", trace=Step("m", steps=[chains, verify]), before="Tolk", steps_before=["Old.", "Same."], edits=edits
    )
    (example,) = figures.examples("m", [made])
    assert dict(example.outputs) == {
        "samples": "1. Tolk\n2. (unparsed)",
        "before": "Old.\nSame.\nAnswer: Tolk",
        "m": "− Old.\n+ New.\n  Same. (no-evidence)\nAnswer: Karo",
    }
    assert example.correct == (None, False, True)


def test_scores_that_are_all_the_same_have_wilsons_interval_or_none():
    right = [record("Karo", id=str(n)) for n in range(8)]
    assert figures.token_f1(right).low == pytest.approx(figures.accuracy(right).low) and figures.token_f1(right).low < 1
    half = [record("Karo town", id=str(n)) for n in range(8)]
    assert 0 < figures.token_f1(half).value < 1 and figures.token_f1(half).low is None
