"""`tandem metrics`: from a file of JSON lines to a table, every row accounted for."""

import gzip
import json

import pytest

from tandem.cli.main import main
from tandem.metrics.catalogue import CATALOGUE

ANSWERS = [
    {"prediction": "The Nile", "reference": ["nile", "River Nile"], "kind": "short"},
    {"prediction": "a red fox", "reference": "fox", "kind": "long"},
    {"prediction": "no", "reference": "yes", "kind": "short"},
]
CLAIMS = [
    {
        "label": "REFUTES",
        "predicted_label": "REFUTES",
        "predicted_evidence": predicted,
        "evidence": [[[None, None, "page1", 1], [None, None, "page2", 2]]],
    }
    for predicted in ([["page1", 1]], [["page1", 1], ["page2", 2], ["page3", 3]])
]


@pytest.fixture
def measure(tmp_path, capsys):
    """Runs the command on rows, or on raw text, and gives status, output, errors, and the JSON it wrote."""

    def run(name, rows, *options, file="rows.jsonl", json_out=True):
        path, out = tmp_path / file, tmp_path / "figures.json"
        data = rows if isinstance(rows, str | bytes) else "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        written = ["--out", str(out)] if json_out else []
        out.unlink(missing_ok=True)
        status = main(["metrics", name, str(path), *written, *options])
        told = capsys.readouterr()
        found = json.loads(out.read_text()) if out.exists() else None
        return status, told.out, told.err, found

    return run


def values(found):
    return {each["name"]: each["value"] for each in found["figures"] if each["group"] is None}


def test_answers_are_measured(measure):
    status, out, err, found = measure("em,f1", ANSWERS)
    assert (status, err) == (0, "")
    assert values(found) == {"exact match": pytest.approx(1 / 3), "F1": pytest.approx((1 + 2 / 3) / 3)}
    assert "| exact match | 33.3 % [6.1, 79.2]" in out


def test_a_packed_file_gives_the_same(measure):
    plain = measure("em,f1", ANSWERS)
    packed = measure(
        "em,f1", gzip.compress("".join(json.dumps(r) + "\n" for r in ANSWERS).encode()), file="rows.jsonl.gz"
    )
    assert plain[3]["figures"] == packed[3]["figures"]


def test_groups_stand_before_all(measure):
    _, out, _, found = measure("em", ANSWERS, "--group", "kind")
    assert [(each["group"], each["value"], each["n"]) for each in found["figures"]] == [
        ("long", 0.0, 1),
        ("short", 0.5, 2),
        (None, pytest.approx(1 / 3), 3),
    ]
    assert out.index("| long") < out.index("| short") < out.index("| all")


def test_fields_may_have_other_names(measure):
    rows = [{"answer": row["prediction"], "gold": row["reference"]} for row in ANSWERS]
    named = ("--prediction", "answer", "--reference", "gold")
    assert measure("em", rows, *named)[3]["figures"] == measure("em", ANSWERS)[3]["figures"]
    roles = ("--field", "prediction=answer", "--field", "reference=gold")
    assert measure("em", rows, *roles)[3]["figures"] == measure("em", ANSWERS)[3]["figures"]


def test_aliases_are_accepted_beside_the_reference(measure):
    rows = [row | {"aliases": more} for row, more in zip(ANSWERS, (None, ["A red fox!", "dog"], "No."), strict=True)]
    assert values(measure("em", rows)[3]) == {"exact match": 1}
    assert values(measure("em", [*rows[:2], ANSWERS[2]])[3]) == {"exact match": pytest.approx(2 / 3)}


def test_a_field_that_may_be_missing_may_not_once_it_is_named(measure):
    assert measure("em", ANSWERS)[0] == 0
    status, _, err, _ = measure("em", ANSWERS, "--field", "aliases=alises")
    assert status == 2 and "no field 'alises' in any of 3 rows" in err


def test_the_fever_scorers_example_from_a_file(measure):
    assert values(measure("fever", CLAIMS)[3]) == {
        "label accuracy": 1,
        "FEVER score": 0.5,
        "evidence precision": pytest.approx(5 / 6),
        "evidence recall": 0.5,
        "evidence F1": pytest.approx(0.625),
    }
    assert values(measure("fever-label", CLAIMS)[3]) == {"label accuracy": 1}


def test_the_first_two_sentences_may_be_all_that_counts(measure):
    assert values(measure("fever", CLAIMS, "--first", "1")[3])["FEVER score"] == 0


def test_a_predicted_label_that_is_unknown_is_wrong_and_noted(measure):
    rows = [CLAIMS[1], CLAIMS[1] | {"predicted_label": "MAYBE"}]
    _, out, _, found = measure("fever", rows)
    assert values(found)["label accuracy"] == 0.5
    assert "1 predicted labels are none of FEVER's, the most frequent 'MAYBE'" in out


def test_letters_are_read_and_failures_counted(measure):
    rows = [
        {"prediction": "The answer is B", "reference": 1, "choices": ["a", "b"]},
        {"prediction": "hm", "reference": "A"},
        {"prediction": "C", "reference": "c"},
    ]
    _, out, _, found = measure("letters", rows, "--choices", "4")
    assert values(found) == {"accuracy": pytest.approx(2 / 3), "parse failures": pytest.approx(1 / 3)}
    assert "2 read, 1 none" in out


def test_the_published_toy_vector(measure):
    rows = [{"score": s, "correct": c} for s, c in zip((4, 3, 2, 1), (1, 0, 1, True), strict=True)]
    assert values(measure("auc,roc-auc", rows)[3]) == {
        "AUC over coverage": 0.75,
        "accuracy": 0.75,
        "ROC-AUC": pytest.approx(1 / 3),
    }


def test_translations_name_sacrebleus_signature(measure):
    rows = [{"prediction": "the cat sat on the mat", "reference": ["a cat sat on the mat", "the cat is here"]}]
    _, out, _, found = measure("bleu,sentence-bleu,chrf,chrf++,rouge,rouge-lsum", rows)
    names = ["BLEU", "mean sentence BLEU", "chrF", "chrF++", "ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"]
    assert list(values(found)) == names
    assert "sacrebleu: nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:" in out


def test_raters_are_compared(measure):
    rows = [{"rater_1": a, "rater_2": b} for a, b in ((1, 2), (5, 5), (1, 1))]
    _, out, _, found = measure("kappa", rows)
    assert list(values(found)) == ["agreement", "κ", "κ, linear weights", "κ, quadratic weights"]
    assert "never given, so no place apart: 3, 4" in out
    assert "never given" not in measure("kappa", rows, "--labels", "1,2,3,4,5")[1]


def test_labels_without_an_order_have_no_distance(measure):
    rows = [{"rater_1": a, "rater_2": b} for a, b in (("ours", "tie"), ("tie", "tie"), ("theirs", "theirs"))]
    _, out, _, found = measure("kappa", rows)
    assert "κ, linear weights" not in values(found) and "--labels" in out
    assert "κ, linear weights" in values(measure("kappa", rows, "--labels", "theirs,tie,ours")[3])


def test_ratings_may_be_a_list_or_by_rater(measure):
    rows = [{"ratings": {"ann": 1, "bo": 1}}, {"ratings": [2, 3, None]}, {"ratings": [1, None]}]
    _, out, _, found = measure("alpha", rows, "--level", "interval")
    # Disagreement 2 / 4 observed, 22 / (4 · 3) expected.
    assert values(found) == {"α, interval": pytest.approx(8 / 11)}
    assert "1 rows have fewer than two ratings and do not count" in out


def test_every_row_that_cannot_be_used_is_told(measure):
    good = [json.dumps(row) for row in ANSWERS]
    bad = ["not JSON", '{"prediction": null, "reference": "x"}', '{"prediction": 7, "reference": "x"}', "[1]"]
    bad += ['{"prediction": "x"}', '{"prediction": "x", "reference": []}', '{"prediction": "x", "reference": ["a", 1]}']
    status, _, err, found = measure("em,f1", "\n".join([*good, *bad, ""]))
    assert status == 2
    assert values(found)["exact match"] == pytest.approx(1 / 3) and found["rows"] == 10
    assert {(each["reason"], each["rows"], each["first_line"]) for each in found["unusable"]} == {
        ("not JSON", 1, 4),
        ("prediction: null, not text", 1, 5),
        ("prediction: a number, not text", 1, 6),
        ("JSON, but not an object with fields", 1, 7),
        ("reference: no such field", 1, 8),
        ("reference: an empty list", 1, 9),
        ("reference: a list with a number, not texts only", 1, 10),
    }
    assert "of 10 rows, these are not in the figures" in err and "the first in line 9" in err


def test_a_row_counts_for_the_metrics_it_has_values_for(measure):
    rows = [ANSWERS[0] | {"score": 1, "correct": 1}, ANSWERS[2] | {"score": float("nan"), "correct": 0}]
    rows += [ANSWERS[2] | {"score": 0, "correct": 0}]
    _, _, _, found = measure("em,roc-auc", rows)
    assert {each["name"]: each["n"] for each in found["figures"]} == {"exact match": 3, "ROC-AUC": 2}
    assert found["unusable"] == [{"reason": "score: NaN, not a number", "rows": 1, "first_line": 2}]


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("fever", CLAIMS[0] | {"label": "TRUE"}, "label: text that is none of SUPPORTS"),
        ("fever", CLAIMS[0] | {"evidence": None}, "evidence: none, for a claim that has some"),
        ("fever", CLAIMS[0] | {"evidence": [[["page", "1"]]]}, "gold evidence whose page is not text"),
        ("fever", CLAIMS[0] | {"predicted_evidence": [["page"]]}, "a sentence that is not [page, number]"),
        ("letters", {"prediction": "C", "reference": "C", "choices": 2}, "reference: beyond the choices"),
        ("letters", {"prediction": "C", "reference": "CD"}, "reference: text, not a letter"),
        ("letters", {"prediction": "C", "reference": "C", "choices": 0}, "choices: a number, not a number of choices"),
        ("auc", {"score": "high", "correct": 1}, "score: text, not a number"),
        ("auc", {"score": 1, "correct": 0.5}, "correct: a number, not 1 or 0"),
        ("kappa", {"rater_1": ["a"], "rater_2": "a"}, "rater_1: a list, not a label"),
        ("alpha", {"ratings": 3}, "ratings: a number, not a list of ratings"),
    ],
)
def test_values_that_cannot_be_are_named(measure, name, row, reason):
    status, _, err, _ = measure(name, [row])
    assert status == 2 and "no row can be used" in err and reason in err


def test_a_label_that_was_not_listed_is_counted(measure):
    rows = [{"rater_1": 1, "rater_2": 2}, {"rater_1": 2, "rater_2": 2}, {"rater_1": 1, "rater_2": "?"}]
    status, _, err, found = measure("kappa", rows, "--labels", "1,2")
    assert status == 2 and "'?' is not among --labels (1 row, the first in line 3)" in err
    assert found["figures"][0]["n"] == 2


def test_a_field_that_no_row_has_is_an_error_that_names_what_there_is(measure):
    status, _, err, _ = measure("em", [{"answer": "x", "gold": "y"}])
    assert status == 2
    assert "rows.jsonl, line 1: no field 'prediction' in any of 1 rows; there are: answer, gold" in err
    assert "--field prediction=FIELD" in err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b'[\n{"prediction": "a", "reference": "b"}]\n', "one JSON object a line, not one array"),
        (b"\xff\xfe\n", "not UTF-8 (1 row, the first in line 1)"),
        (gzip.compress(b'{"prediction": "a"}\n' * 9999)[:-20], "damaged or cut off"),
    ],
)
def test_files_that_hold_no_rows_are_refused(measure, content, told):
    status, out, err, _ = measure("em", content)
    assert (status, out) == (2, "") and told in err


def test_a_byte_order_mark_is_no_part_of_the_first_row(measure):
    assert measure("em", b"\xef\xbb\xbf" + json.dumps(ANSWERS[0]).encode())[0] == 0


def test_a_figure_that_is_not_defined_is_an_error_for_all_and_a_note_for_a_group(measure):
    rows = [{"score": i, "correct": i % 2, "kind": "even" if i % 2 else "odd"} for i in range(4)]
    _, out, _, found = measure("roc-auc", rows, "--group", "kind")
    assert [each["group"] for each in found["figures"]] == [None]
    assert "even: all 2 answers are right" in out
    status, _, err, _ = measure("roc-auc", rows[::2])
    assert status == 2 and "all 2 answers are wrong" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["foo", "x.jsonl"], "no metric is called 'foo'"),
        (["em"], "no file to measure"),
        (["em", "missing.jsonl"], "no such file"),
        (["em", "x.jsonl", "--stem"], "--stem: says nothing to em"),
        (["em", "x.jsonl", "--field", "nonsense"], "--field: is 'nonsense'"),
        (["em", "x.jsonl", "--field", "gold=y"], "em takes no 'gold'"),
        (["alpha", "x.jsonl", "--reference", "y"], "alpha takes one field, ratings"),
        (["kappa", "x.jsonl", "--labels", "one"], "--labels: is 'one'"),
        (["fever", "x.jsonl", "--first", "0"], "--first: is 0"),
        (["letters", "x.jsonl", "--choices", "99"], "--choices: is 99"),
    ],
)
def test_what_cannot_be_asked_is_said(arguments, told, capsys):
    assert main(["metrics", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_list_names_every_metric_with_its_fields_and_source(capsys):
    assert main(["metrics", "list"]) == 0
    out = capsys.readouterr().out
    for name, metric in CATALOGUE.items():
        assert f"{name}: {metric.about} ({metric.source})" in out
        assert all(field.role in out for field in metric.fields)


SAMPLES = [{"task_id": f"T/{n // 4}", "passed": n in (0, 1, 5)} for n in range(12)]


def test_samples_of_tasks_give_pass_at_k_whatever_their_order(measure):
    status, out, _, found = measure("pass@k", SAMPLES, "--k", "1,2")
    assert status == 0
    # tasks have 4 samples of which 2, 1, 0 pass: means of 2/4, 1/4, 0 and of 5/6, 3/6, 0
    assert values(found) == {"pass@1": pytest.approx(0.25), "pass@2": pytest.approx(4 / 9)}
    assert found["figures"][0]["n"] == 3
    assert "3 tasks, 4 samples each" in out
    assert values(measure("pass@k", SAMPLES[::-1], "--k", "1,2")[3]) == values(found)


def test_without_k_the_usual_ones_are_given_as_far_as_samples_go(measure):
    assert list(values(measure("pass@k", SAMPLES)[3])) == ["pass@1"]
    twelve = [{"task_id": 1, "passed": 0}] * 12
    assert list(values(measure("pass@k", twelve)[3])) == ["pass@1", "pass@10"]


@pytest.mark.parametrize(("k", "said"), [("5", "needs at least 5 samples"), ("0", "is '0'"), ("a", "is 'a'")])
def test_a_k_that_cannot_be_is_refused(measure, k, said):
    status, _, err, _ = measure("pass@k", SAMPLES, "--k", k)
    assert status == 2
    assert said in err


def test_each_rows_scores_are_written_and_their_means_are_the_figures(measure, tmp_path):
    items = tmp_path / "items.jsonl"
    rows = [row | {"id": f"q{n}"} for n, row in enumerate(ANSWERS)]
    _, _, _, found = measure("em,f1,rouge", rows, "--items", str(items), "--group", "kind")
    scores = [json.loads(line) for line in items.read_text().splitlines()]
    assert [(row["id"], row["group"], row["prediction"]) for row in scores][1] == ("q1", "long", "a red fox")
    means = {name: sum(row[name] for row in scores) / 3 for name in values(found)}
    assert means == pytest.approx(values(found))


def test_rows_that_cannot_be_used_have_no_line_and_rows_without_id_their_lines(measure, tmp_path):
    items = tmp_path / "items.jsonl"
    assert measure("em", [{"prediction": None, "reference": "x"}, *ANSWERS], "--items", str(items))[0] == 2
    assert [json.loads(line)["id"] for line in items.read_text().splitlines()] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("bleu", ANSWERS, "bleu is not a mean over rows"),
        ("em", [ANSWERS[0] | {"id": 1}, ANSWERS[1] | {"id": 1}], "the id '1' stands at line 1 already"),
    ],
)
def test_scores_that_no_row_can_have_are_refused(measure, tmp_path, name, rows, said):
    status, _, err, _ = measure(name, rows, "--items", str(tmp_path / "items.jsonl"))
    assert status == 2
    assert said in err
    assert not (tmp_path / "items.jsonl").exists()
