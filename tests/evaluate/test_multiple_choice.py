"""The base-model benchmarks: prompts, examples, scores, items that were shown before, and what is refused."""

from __future__ import annotations

import asyncio
import json
import math
import random
import statistics
from pathlib import Path

import pytest

from choice_sample import ARC, FILES, HELLASWAG, MMLU, PREAMBLE, TRUTHFULQA, folder, write
from tandem.cli.evaluate_options import CHOICES
from tandem.errors import Failure, Unsupported, UserError
from tandem.evaluate import multiple_choice
from tandem.evaluate.multiple_choice import NAMES, figures, requests
from tandem.evaluate.multiple_choice.overlap import overlaps
from tandem.evaluate.multiple_choice.scoring import mass, mean
from tandem.evaluate.multiple_choice.shots import SEED, drawn
from tandem.evaluate.multiple_choice.subjects import CATEGORIES, SUBJECTS
from tandem.lm import connect
from tandem.lm.model import Model
from tandem.lm.scripted import ABLE, Rule, Scripted, words
from tandem.store import Store
from tandem.types import Abilities, Text

REAL = Path(__file__).parents[3] / "shared" / "data" / "choices"


@pytest.fixture
def data(tmp_path):
    return folder(tmp_path / "data")


def load(data, name, shots=0, limit=None):
    return multiple_choice.load(name, [data], shots=shots, limit=limit)


def pairs(task, n=0):
    return task.asked[n].pairs


def asked(task, model):
    return asyncio.run(multiple_choice.run(task, model))


def model(*rules, **abilities):
    able = Abilities(**(vars(ABLE) | abilities))
    return Model(Scripted(rules or [Rule(unlisted=-1.0)], abilities=able))


# ── Prompts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_mmlu_has_a_header_lettered_lines_and_letters_to_choose_from(data):
    assert pairs(load(data, "mmlu"))[1] == (
        "The following are multiple choice questions (with answers) about anatomy.\n\n"
        "Which colour has a zoll?\nA. red\nB. blue\nC. green\nD. grey\nAnswer:",
        " B",
    )


def test_examples_stand_between_header_and_question_with_their_answers(data):
    context, _ = pairs(load(data, "mmlu", shots=2), 3)[0]
    assert context == (
        "The following are multiple choice questions (with answers) about sociology.\n\n"
        "Which colour is a 0?\nA. red\nB. blue\nC. green\nD. grey\nAnswer: A\n\n"
        "Which colour is a 1?\nA. red\nB. blue\nC. green\nD. grey\nAnswer: B\n\n"
        "Which colour do marn like?\nA. red\nB. blue\nC. green\nD. grey\nAnswer:"
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("arc_challenge", ("Question: What does a marn eat?\nAnswer:", " a stone")),
        ("arc_easy", ("Question: What does a marn eat?\nAnswer:", " a stone")),
        ("hellaswag", ("Folding a sail: A man holds a sail. The sail", " is folded twice.")),
        ("winogrande", ("Ola thanked Ebe because Ola", " had helped.")),
        ("truthfulqa_mc1", (f"{PREAMBLE}\n\nQ: Do marn fly?\nA:", " No, marn walk.")),
        ("truthfulqa_mc2", (f"{PREAMBLE}\n\nQ: Do marn fly?\nA:", " No, marn walk.")),
        ("boolq", ("Marn -- Marn eat moss.\nQuestion: do marn eat moss?\nAnswer:", " no")),
        ("piqa", ("Question: dry a boot\nAnswer:", " put it near a fire")),
        ("openbookqa", ("Moss grows on", " stones")),
        (
            "medmcqa",
            (
                "Question: A brell has:\nChoices:\nA. one eye\nB. two eyes\nC. no eye\nD. three\nAnswer:",
                " A",
            ),
        ),
    ],
)
def test_each_benchmark_asks_in_its_own_form(data, name, expected):
    assert pairs(load(data, name))[0] == expected


def test_partial_scoring_puts_the_options_into_the_context_and_scores_one_ending(data):
    assert pairs(load(data, "winogrande"), 1) == (
        ("The jug fit the box as the jug", " was small ."),
        ("The jug fit the box as the box", " was small ."),
    )


def test_marks_of_how_to_texts_are_taken_out_of_hellaswag(data):
    assert load(data, "hellaswag").asked[0].item.texts[1] == " sings of home."


def test_a_title_in_hellaswag_becomes_the_end_of_a_sentence(data):
    row = HELLASWAG[0] | {"ctx_a": "[header] How to row [title] Get a boat.", "ctx_b": ""}
    for old in data.glob("hellaswag_val.*"):
        old.unlink()
    write(data / "hellaswag_val.jsonl", [row])
    assert pairs(load(data, "hellaswag"))[0][0] == "Folding a sail: How to row. Get a boat."


def test_a_file_with_joined_contexts_is_read_and_its_figures_are_marked(data):
    row = {"activity_label": "Rowing", "ctx": "A man rows. he", "endings": ["stops.", "sinks."], "label": "1"}
    for old in data.glob("hellaswag_val.*"):
        old.unlink()
    write(data / "hellaswag_val.jsonl", [row])
    task = load(data, "hellaswag")
    assert pairs(task)[0][0] == "Rowing: A man rows. he"
    assert "joined" in task.version
    assert "differ" in task.notes[0]


HUB = {
    "arc_challenge": (
        "arc_challenge_test",
        {"question": "Q?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"},
    ),
    "openbookqa": (
        "openbookqa_test",
        {"question_stem": "Q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": " B"},
    ),
    "piqa": ("piqa_valid", {"goal": "Q", "sol1": "x", "sol2": "y", "label": 1}),
    "boolq": ("boolq_dev", {"passage": "P -- p", "question": "q", "label": 1}),
    "medmcqa": ("medmcqa_dev", {"question": "Q", "opa": "x", "opb": "y", "opc": "z", "opd": "w", "cop": 1}),
    "truthfulqa_mc1": (
        "truthfulqa_mc",
        {"question": "Q", "mc1_targets": {"choices": ["x", "y"], "labels": [0, 1]}},
    ),
}


@pytest.mark.parametrize("name", HUB)
def test_rows_as_they_are_on_the_hub_are_read_too(data, name):
    file, row = HUB[name]
    for old in data.glob(f"{file}.*"):
        old.unlink()
    write(data / f"{file}.jsonl", [row])
    assert load(data, name).asked[0].item.gold == 1


def test_parquet_files_are_read(data):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for old in data.glob("arc_easy_test.*"):
        old.unlink()
    parquet.write_table(pyarrow.Table.from_pylist(ARC), data / "arc_easy_test.parquet")
    assert [one.item.id for one in load(data, "arc_easy").asked] == ["q1", "q2", "q3"]


# ── Data and examples ───────────────────────────────────────────────────────────────────────────────────────────────


def test_files_are_found_by_name_or_named_one_by_one(data, tmp_path):
    moved = write(tmp_path / "mine.jsonl", ARC[:1])
    for place in (f"arc_challenge={moved}", f"arc_challenge_test={moved}"):
        assert len(multiple_choice.load("arc_challenge", [place, data]).asked) == 1
    assert len(multiple_choice.load("arc_challenge", [data / "arc_challenge_test.jsonl"]).asked) == 3


def test_a_subject_of_mmlu_is_a_task(data):
    assert [one.item.id for one in load(data, "mmlu_sociology").asked] == ["sociology/0", "sociology/1"]


def test_a_limit_counts_in_each_subject(data):
    assert [one.item.id for one in load(data, "mmlu", limit=1).asked] == ["anatomy/0", "sociology/0"]


def test_drawn_examples_are_those_of_a_generator_that_each_item_draws_from_in_turn(data):
    task = load(data, "arc_challenge", shots=4)
    expected = random.Random(SEED)
    for one in task.asked:
        assert list(one.examples) == [str(n) for n in expected.sample(range(12), 4)]


def test_a_limit_leaves_the_examples_of_the_first_items_as_they_are(data):
    few, many = (load(data, "arc_challenge", shots=4, limit=limit) for limit in (1, None))
    assert few.asked[0] == many.asked[0]


def test_an_item_is_never_among_its_own_examples_where_one_more_is_drawn():
    rows = [{"n": n // 2} for n in range(12)]  # every row twice
    for item, places in zip(rows, drawn(rows, rows, 5, spare=True, file="pool")):
        assert len(places) == 5
        assert item not in [rows[place] for place in places]


def test_one_example_more_is_drawn_and_the_item_or_the_last_is_left_out():
    rows = [{"n": n} for n in range(8)]
    expected = random.Random(SEED)
    for item, places in zip(rows, drawn(rows, rows, 5, spare=True, file="pool")):
        assert list(places) == [place for place in expected.sample(range(8), 6) if rows[place] != item][:5]


def test_truthfulqa_takes_no_shots_and_says_so(data):
    task = load(data, "truthfulqa_mc2", shots=5)
    assert task.shots == 0
    assert "takes none" in task.notes[0]


def test_facts_have_the_hashes_of_all_files(data):
    facts = load(data, "mmlu", shots=1).facts
    assert len(facts["sha256"]) == len(facts["examples_sha256"]) == 64
    assert load(data, "truthfulqa_mc1").facts["preamble"] == "truthfulqa_preamble.txt"


def test_the_command_knows_the_same_tasks_as_the_library():
    assert CHOICES == NAMES


def test_mmlu_has_57_subjects_in_four_categories():
    assert len(SUBJECTS) == len(set(SUBJECTS)) == 57
    assert [len(subjects) for subjects in CATEGORIES.values()] == [13, 13, 12, 19]


# ── Items that were shown before ────────────────────────────────────────────────────────────────────────────────────


def test_the_same_question_is_found_whatever_its_case_and_punctuation():
    (hit,) = overlaps(["What is  a Marn?", "What is a tolk?"], [("what is a marn", "what is a marn moss")])
    assert (hit.item, hit.kind) == (0, "same question")


def test_thirteen_words_in_a_row_are_found_and_twelve_are_not():
    words = [f"w{n}" for n in range(40)]
    text = ("", " ".join(words[10:]))
    found = overlaps([" ".join(["x", *words[10:23]]), " ".join(["x", *words[10:22], "y", "z"])], [text])
    assert [(hit.item, hit.kind) for hit in found] == [(0, "words in a row")]


def test_an_instruction_that_many_items_share_does_not_count():
    shared = " ".join(f"w{n}" for n in range(15))
    assert len(overlaps([f"{shared} {n}" for n in range(10)], [("", shared)])) == 10
    assert not overlaps([f"{shared} {n}" for n in range(11)], [("", shared)])


def test_a_question_among_the_examples_is_told_loudly(data):
    write(data / "arc_challenge_train.jsonl.gz", [{"question": "x", "choices": ["a", "b"], "answer": 0}, ARC[0]])
    task = load(data, "arc_challenge", shots=2)
    assert task.overlaps == (("q1", "q1", "same question, in its own prompt"),)
    (note,) = figures.notes(asked(task, model()))
    assert note.startswith("CONTAMINATED: 1 of 3 items")
    assert "1 of them in their own prompt" in note


def test_an_item_among_the_examples_of_others_is_told_apart_from_one_in_its_own_prompt(data):
    for old in data.glob("mmlu_dev.*"):
        old.unlink()
    dev = [{**MMLU[0], "subject": "sociology"}, {**MMLU[1], "question": "Which has a boat?"}]
    write(data / "mmlu_dev.jsonl", dev)
    assert load(data, "mmlu", shots=1).overlaps == (("anatomy/0", "sociology/0", "same question"),)


# ── Scores ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_likeliest_choice_counts_summed_per_character_and_per_byte(data):
    scores = {" a stone": -3.0, " some moss": -3.3, " the sea": -4.0, " in a reed bed": -10.0, " é": -1.8}
    scored = asked(load(data, "arc_challenge"), model(Rule(scores=scores, unlisted=-9.0)))
    first, _, third = scored.records
    assert first.prediction == 0
    assert dict(first.values) == {"acc": 0.0, "acc_norm": 1.0, "acc_bytes": 1.0}  # −3.0 / 7 against −3.3 / 9
    # −10 / 13 against −1.8 / 1 character, −1.8 / 2 bytes
    assert dict(third.values) == {"acc": 1.0, "acc_norm": 0.0, "acc_bytes": 0.0}


def test_partial_scoring_compares_contexts(data):
    rules = [Rule(contains=("because Ebe",), unlisted=-1.0), Rule(unlisted=-2.0)]
    scored = asked(load(data, "winogrande"), model(*rules))
    assert [one.values["acc"] for one in scored.records] == [1.0, 1.0]  # the second is a tie: the first, which is right


def test_mass_is_the_true_answers_share_and_does_not_underflow():
    assert mass([math.log(0.2), math.log(0.1), math.log(0.1)], (0, 1)) == pytest.approx(0.75)
    assert mass([-1000.0, -1000.0], (1,)) == pytest.approx(0.5)


def test_a_mean_has_the_standard_error_of_its_sample(data):
    scored = asked(load(data, "arc_challenge"), model(Rule(scores={" some moss": -0.5}, unlisted=-1.0)))
    values = [one.values["acc"] for one in scored.records]
    found = scored.mean("acc")
    assert values == [1.0, 1.0, 0.0]
    assert found.value == pytest.approx(statistics.mean(values))
    assert found.error == pytest.approx(statistics.stdev(values) / math.sqrt(3))
    assert found.chance == pytest.approx((1 / 3 + 1 / 4 + 1 / 2) / 3)


def test_a_group_weighs_its_parts_by_size_and_pools_their_errors(data):
    scored = asked(load(data, "mmlu"), model(Rule(scores={" A": -0.5}, unlisted=-1.0)))
    found = scored.mean("acc")
    assert found.value == pytest.approx(2 / 5)
    parts = [
        [one.values["acc"] for one in scored.records if one.asked.item.group == g] for g in ("anatomy", "sociology")
    ]
    pooled = sum((len(p) - 1) * statistics.variance(p) for p in parts) / (5 - 2)
    assert found.error == pytest.approx(math.sqrt(pooled / 5))
    assert scored.mean("acc", ["anatomy"]).value == pytest.approx(1 / 3)
    assert scored.mean("acc", ["nothing"]) is None


def test_one_item_has_no_error(data):
    scored = asked(load(data, "piqa"), model())
    assert mean(scored.records, "acc").error is None
    assert figures.rows(scored)[0] == ("piqa", "1.0", 0, "acc", "↑", "1.0000", "[0.2065, 1.0000]", 1)


def test_the_table_has_a_row_for_each_metric_and_each_category(data):
    scored = asked(load(data, "mmlu", shots=1), model(Rule(scores={" A": -0.5}, unlisted=-1.0)))
    shown = [(row[0].strip(), *row[1:5], row[7]) for row in figures.rows(scored)]
    assert shown == [
        ("mmlu", "1.0", 1, "acc", "↑", 5),
        ("– social sciences", "1.0", 1, "acc", "↑", 2),
        ("– stem", "1.0", 1, "acc", "↑", 3),
    ]


def test_items_are_written_one_a_line(data, tmp_path):
    scored = asked(load(data, "truthfulqa_mc2"), model(Rule(scores={" Yes.": -0.5}, unlisted=-1.0)))
    (line,) = figures.write_items(scored, tmp_path).read_text().splitlines()
    row = json.loads(line)
    assert row["prompt"] == "Q: Do marn fly?\nA:"
    assert row["choices"] == TRUTHFULQA[0]["mc2"]["choices"]
    assert (row["gold"], row["prediction"], row["logprobs"]) == ([0, 1], 2, [-1.0, -1.0, -0.5])
    assert row["mass"] == pytest.approx(2 / (2 + math.exp(0.5)))


# ── Asking ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_model_without_scoring_is_refused_before_anything_is_sent(data):
    with pytest.raises(Unsupported, match="scoring"):
        asked(load(data, "piqa"), model(scoring=False))


def test_an_item_whose_call_fails_is_missing_and_not_wrong(data):
    rules = [Rule(contains=("tolk",), fails="server"), Rule(unlisted=-1.0)]
    scored = asked(load(data, "arc_challenge"), model(*rules))
    assert [item for item, _ in scored.missing] == ["q2"]
    assert scored.mean("acc").n == 2
    assert "MISSING: 1 of 3" in figures.notes(scored)[0]


def test_a_prompt_that_does_not_fit_is_cut_and_counted(data):
    scored = asked(load(data, "mmlu", shots=3), model(context=20))
    assert [one.cut for one in scored.records] == [
        len(words(context + continuation)) - 21
        for ((context, continuation), *_) in (one.asked.pairs for one in scored.records)
    ]  # the last word is predicted, not read
    assert "CUT: 5 of 5" in figures.notes(scored)[0]


def test_what_is_recorded_is_not_asked_again(data, tmp_path):
    task = load(data, "arc_challenge")
    with Store(tmp_path / "answers.db") as store:
        first = asked(task, Model(Scripted([Rule(unlisted=-1.0)]), store=store))
    with Store(tmp_path / "answers.db") as store:
        again = Model(Scripted([Rule(unlisted=-1.0)]), store=store)
        assert asked(task, again).records == first.records
        assert again.tally["scores re-used"] == 9


def test_log_probabilities_that_are_no_numbers_are_an_error(data):
    task = load(data, "piqa")
    with pytest.raises(UserError, match="not numbers"):
        multiple_choice.scoring.record(task.asked[0], [math.nan, -1.0], ("acc",))


@pytest.mark.slow
def test_the_embedded_model_scores_an_item_as_it_scores_its_texts(data, embedded_folder):
    task = load(data, "arc_challenge", shots=2)
    other = connect("embedded", precision="fp32")
    scored = asked(task, other)
    context, continuation = task.asked[1].pairs[2]
    (alone,) = asyncio.run(other.score(Text(context), [continuation]))
    assert scored.records[1].logprobs[2] == pytest.approx(alone.logprob, abs=1e-4)


# ── Requests and answers ────────────────────────────────────────────────────────────────────────────────────────────


def test_answers_to_the_written_requests_give_what_the_model_gives(data, tmp_path):
    task = load(data, "winogrande")
    rules = [Rule(contains=("because Ebe",), unlisted=-1.0), Rule(unlisted=-2.0)]
    scored = asked(task, model(*rules))
    n = requests.write([task], tmp_path / "requests.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert n == len(rows) == 4
    assert list(rows[0]) == ["task", "item", "choice", "context", "continuation"]
    answered = [row | {"logprob": -1.0 if row["context"].endswith("because Ebe") else -2.0} for row in rows]
    write(tmp_path / "answers.jsonl", answered[::-1])
    given = requests.score(task, requests.answers(tmp_path / "answers.jsonl", [task]))
    assert given == scored


ANSWER = {"task": "piqa", "item": "0", "choice": 0, "logprob": -1.5}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", "is not JSON"),
        ([1], "not an object"),
        ({**ANSWER, "lp": 1, "logprob": None}, "logprob is None"),
        ({k: v for k, v in ANSWER.items() if k != "logprob"} | {"lp": -1}, r"no field 'logprob' \(its fields: .*lp"),
        ({**ANSWER, "logprob": 0.5}, "not a number up to 0"),
        ({**ANSWER, "choice": 2}, "no item '0' with a choice 2"),
        ({**ANSWER, "choice": "0"}, "not a whole number"),
        ({**ANSWER, "item": "9"}, "no item '9'"),
        ({**ANSWER, "context": "other"}, "another one than is asked now"),
        (ANSWER, "answered at .*:1 already"),
    ],
)
def test_a_bad_answer_is_named_with_its_line(data, tmp_path, row, problem):
    file = write(tmp_path / "answers.jsonl", [ANSWER, row])
    with pytest.raises(UserError, match=problem) as e:
        requests.answers(file, [load(data, "piqa")])
    assert e.value.where == f"{file}:2"


def test_items_without_all_answers_are_missing(data, tmp_path):
    task = load(data, "piqa")
    scored = requests.score(task, requests.answers(write(tmp_path / "a.jsonl", [ANSWER]), [task]))
    assert scored.missing == (("0", "no answer for choice 1"),)


# ── Bad input ───────────────────────────────────────────────────────────────────────────────────────────────────────


def without(row, name, **more):
    return {key: value for key, value in row.items() if key != name} | more


ARC_ROW, MMLU_ROW, HELLA_ROW = ARC[0], MMLU[0], HELLASWAG[0]


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        (
            "mmlu",
            without(MMLU_ROW, "question", q="x"),
            r"no field 'question' \(its fields: subject, choices, answer, q\)",
        ),
        ("mmlu", without(MMLU_ROW, "subject"), "no field 'subject'"),
        ("mmlu", {**MMLU_ROW, "answer": 4}, "answer is 4, out of the range 0 to 3"),
        ("mmlu", {**MMLU_ROW, "answer": "B"}, 'answer is "B", not a whole number'),
        ("mmlu", {**MMLU_ROW, "answer": True}, "answer is true, not a whole number"),
        ("mmlu", {**MMLU_ROW, "choices": "red"}, 'choices is "red", not a list of texts'),
        ("arc_challenge", {**ARC_ROW, "id": "new", "answer": -1}, "answer is -1, out of the range"),
        ("arc_challenge", {**ARC_ROW, "id": "new", "choices": []}, "choices has 0 choices"),
        ("arc_challenge", {**ARC_ROW, "id": "new", "choices": ["a"]}, "choices has 1 choice; it takes 2"),
        ("arc_challenge", {**ARC_ROW, "id": "new", "choices": ["a", " "]}, "an empty choice, number 1"),
        ("arc_challenge", {**ARC_ROW, "id": "new", "question": 7}, "question is 7, not a text"),
        ("arc_challenge", ARC_ROW, "the id 'q1' stands at .*:1 already"),
        ("arc_challenge", without(ARC_ROW, "answer", id="new"), "no field 'answer' or 'answerKey'"),
        (
            "arc_challenge",
            {"question": "x", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "C"},
            "answerKey is 'C', none of the labels A, B",
        ),
        ("hellaswag", {**HELLA_ROW, "label": ""}, 'label is "", not a whole number'),
        ("hellaswag", {**HELLA_ROW, "endings": ["a", "[step]"]}, "an empty choice"),
        ("winogrande", {"sentence": "no gap", "option1": "a", "option2": "b", "answer": 1}, "no blank"),
        (
            "winogrande",
            {"sentence": "a _ b", "option1": "a", "option2": "b", "answer": 0},
            "0, out of the range 1 to 2",
        ),
        ("truthfulqa_mc1", {"question": "x", "mc1": {"choices": ["a", "b"], "labels": [1, 1]}}, "marks 2 answers"),
        ("truthfulqa_mc1", {"question": "x", "mc1": {"choices": ["a", "b"], "labels": [1]}}, "not 2 numbers 0 or 1"),
        ("truthfulqa_mc2", {"question": "x", "mc2": {"choices": ["a", "b"], "labels": [0, 0]}}, "marks 0 answers"),
        ("truthfulqa_mc2", {"question": "x", "mc2": ["a"]}, "not an object with choices and labels"),
        ("boolq", {"passage": "p", "question": "q", "answer": "yes"}, 'answer is "yes", not a whole number'),
        ("piqa", {"goal": "g", "sol1": "a", "label": 0}, "no field 'sol2'"),
        ("medmcqa", {"question": "q", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 4}, "cop is 4, out of"),
        ("openbookqa", ["a row"], "is not an object"),
        ("openbookqa", "{", "is not JSON"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_file_line_and_field(data, name, row, problem):
    file = multiple_choice.BENCHMARKS[name].items
    for old in data.glob(f"{file}.*"):
        old.unlink()
    write(data / f"{file}.jsonl", [FILES[file][0], row])
    with pytest.raises(UserError, match=problem) as e:
        load(data, name)
    assert e.value.where == f"{data / file}.jsonl:2"


def test_an_unknown_task_lists_those_there_are(data):
    with pytest.raises(UserError, match="no task is called 'mmul'") as e:
        load(data, "mmul")
    assert all(name in e.value.remedy for name in NAMES)


def test_a_missing_file_is_named_with_what_the_folder_has(tmp_path):
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "other.jsonl", [{}])
    with pytest.raises(UserError, match=r"no data for the items of piqa .*other\.jsonl") as e:
        load(tmp_path / "d", "piqa")
    assert "piqa_valid=FILE" in e.value.remedy


def test_a_missing_preamble_is_asked_for(data):
    (data / "truthfulqa_preamble.txt").unlink()
    with pytest.raises(UserError, match="the text that stands before its questions") as e:
        load(data, "truthfulqa_mc1")
    assert "truthfulqa_preamble=FILE" in e.value.remedy


@pytest.mark.parametrize(
    ("name", "shots", "problem"),
    [
        ("mmlu", 4, "4 examples of anatomy were asked for, there are 3"),
        ("arc_challenge", 13, "13 examples are drawn from at least 13, there are 12"),
        ("piqa", 1, "no data for the examples of piqa"),
        ("piqa", -1, "is -1"),
    ],
)
def test_too_few_examples_are_an_error(data, name, shots, problem):
    with pytest.raises(UserError, match=problem):
        load(data, name, shots=shots)


def test_a_hub_that_cannot_be_reached_is_told_with_the_data_set():
    pytest.importorskip("huggingface_hub")
    with pytest.raises(Failure, match="cannot be had") as e:
        multiple_choice.load("arc_easy", ["hub"])
    assert e.value.where == "hub: allenai/ai2_arc, ARC-Easy, test"


def test_an_empty_file_is_an_error(data):
    for old in data.glob("arc_easy_test.*"):
        old.unlink()
    write(data / "arc_easy_test.jsonl.gz", [])
    with pytest.raises(UserError, match="holds no rows"):
        load(data, "arc_easy")


# ── Real data ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("mmlu", 14_042),
        ("arc_challenge", 1_172),
        ("hellaswag", 10_042),
        ("winogrande", 1_267),
        ("truthfulqa_mc1", 817),
        ("truthfulqa_mc2", 817),
        ("boolq", 3_270),
        ("piqa", 1_838),
        ("openbookqa", 500),
        ("medmcqa", 4_183),
    ],
)
def test_the_real_files_are_read_whole(name, items):
    if not REAL.is_dir():
        pytest.skip(f"no real data at {REAL}")
    assert len(multiple_choice.load(name, [REAL]).asked) == items


def test_the_training_questions_that_occur_in_openbookqas_test_are_found():
    if not REAL.is_dir():
        pytest.skip(f"no real data at {REAL}")
    texts = [
        multiple_choice.task.data.load(multiple_choice.BENCHMARKS["openbookqa"], [REAL], part)
        for part in ("items", "examples")
    ]
    test, train = ([item.question for item in loaded.items] for loaded in texts)
    found = overlaps(test, [(question, question) for question in train])
    exact = {question for question in test if question in set(train)}
    assert exact <= {test[hit.item] for hit in found}
    assert len(exact) >= 20
