"""A worked edit on the page: votes, what is struck out and put in, the passage with its place, both verdicts."""

import re
from dataclasses import replace

import pytest
from report_sample import RECIPE

from tandem.errors import UserError
from tandem.report import render
from tandem.report.edits import view
from tandem.results import Change, Edit, Quote, Results, Section, from_json, to_json
from tandem.runs import Run

MILL = Quote("The mill of Orn burnt down in 1712. It was built anew in 1713.", "Orn", "towns.jsonl:4")
EDIT = Edit(
    "An edit",
    "When did the mill of Orn burn down?",
    (("1690", 2), ("1720", 1), ("never", 1), ("", 1)),
    (
        Change(
            "The mill of Orn burnt down in 1690.", "The mill of Orn burnt down in 1712.", "edited", "When?", (MILL,)
        ),
        Change("It stands in Lusta.", "It stands in Lusta.", "no-evidence", "Where does it stand?"),
    ),
    "1690",
    "1712",
    "1712",
    (False, True),
    "Two of five agree.",
)


def page(tmp_path, edit):
    with Run(tmp_path / "run", RECIPE, {}) as run:
        run.write_results(Results("A run", "", sections=(Section("edit", "One edit", "", (edit,)),)))
    return render(tmp_path / "run")


def article(tmp_path, edit):
    return re.search(r'<article class="item edit">.*?</article>', page(tmp_path, edit), re.DOTALL)[0]


def test_an_edit_comes_back_from_json_as_it_went():
    assert from_json(to_json(EDIT)) == EDIT


def test_the_page_strikes_out_the_old_sentence_and_puts_in_the_new_one(tmp_path):
    shown = article(tmp_path, EDIT)
    assert "<del>The mill of Orn burnt down in 1690.</del>" in shown
    assert "<ins>The mill of Orn burnt down in 1712.</ins>" in shown
    assert shown.index("<del>") < shown.index("<blockquote>") < shown.index("<ins>")


def test_a_passage_is_quoted_with_its_place_and_the_answer_marked(tmp_path):
    shown = article(tmp_path, EDIT)
    assert "burnt down in <mark>1712</mark>. It was built anew in 1713." in shown
    assert "towns.jsonl:4" in shown and "<cite>Orn</cite>" in shown


def test_a_sentence_that_stays_says_why_and_is_not_struck_out(tmp_path):
    shown = article(tmp_path, EDIT)
    assert re.search(r"It stands in Lusta\. <span class=\"outcome\">no-evidence</span>", shown)
    assert shown.count("<del>") == shown.count("<ins>") == 1


def test_votes_add_up_and_the_chosen_answer_stands_out():
    votes = view(EDIT).votes
    assert [v.share for v in votes] == ["2 of 5", "1 of 5", "1 of 5", "1 of 5"]
    assert [v.chosen for v in votes] == [True, False, False, False]


def test_many_different_answers_are_cut_and_counted():
    many = replace(EDIT, votes=tuple((str(n), 1) for n in range(20)))
    assert len(view(many).votes) == 8 and "12 more" in view(many).rest


def test_verdicts_stand_at_both_answers_and_the_right_one_where_both_are_wrong(tmp_path):
    shown = article(tmp_path, EDIT)
    assert shown.count("✗ wrong") == shown.count("✓ right") == 1 and "Expected" not in shown
    wrong = article(tmp_path / "b", replace(EDIT, correct=(False, False)))
    assert wrong.count("✗ wrong") == 2 and "Expected" in wrong


def test_what_a_model_wrote_is_shown_and_never_interpreted(tmp_path):
    evil = "<script>alert(1)</script>\u202e"
    hostile = Edit(
        evil, evil, ((evil, 1),), (Change(evil, evil, "edited", evil, (Quote(evil, evil, evil),)),), evil, evil, evil
    )
    whole = page(tmp_path, hostile)
    assert "<script>" not in whole and "\u202e" not in whole
    assert "&lt;script&gt;" in whole


def test_an_answer_marks_whole_words_only():
    (step,) = view(replace(EDIT, after="171", steps=EDIT.steps[:1])).steps
    assert step.found[0].pieces == ((MILL.text, False),)


def test_three_verdicts_on_two_answers_are_refused(tmp_path):
    with pytest.raises(UserError, match="3 verdicts on 2 answers"):
        page(tmp_path, replace(EDIT, correct=(True, True, True)))
