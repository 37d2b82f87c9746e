"""Long texts: cutting by policy, QMSum's scores, loss by position; settings; the command."""

import asyncio
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from tandem.cli.main import main
from tandem.errors import UserError
from tandem.evaluate.long import Asking, Inputs, load
from tandem.evaluate.long.cuts import MARK, POLICIES, cut
from tandem.evaluate.long.losses import edges
from tandem.lm import Model, Rule, Scripted
from tandem.lm.scripted import ABLE, words
from tandem.types import Text

# ── Cutting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.sampled_from(["a", "bb", "ccc\n", "d\n\n"]), min_size=1, max_size=30), st.integers(0, 40))
def test_as_much_stays_as_fits_and_not_a_word_more(parts, most):
    text = " ".join(parts)
    for policy in POLICIES:
        whole = text.split()

        def fits(part):
            return len(part.replace(MARK, " ").split()) <= most

        found = cut(text, policy, fits)
        if most == 0:
            assert found is None
            continue
        assert found.kept == min(most, len(whole)) and found.words == len(whole)
        stays = found.text.replace(MARK, " ").split()
        head = (found.kept + 1) // 2
        middle = [*whole[:head], *whole[len(whole) - found.kept + head :]]
        assert stays == {"lead": whole[: found.kept], "tail": whole[-found.kept :], "middle-out": middle}[policy]


# ── QMSum ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def meetings(tmp_path):
    turns = [{"speaker": "Ada", "content": "we want a blue remote"}, {"speaker": "Bo", "content": "no , green it is"}]
    rows = [{"meeting_id": id, "turns": turns * 4} for id in ("m1", "m2")]
    queries = [
        {
            "meeting_id": "m1",
            "kind": "general",
            "query": "What was it about?",
            "answer": "a remote",
            "relevant_turns": None,
        },
        {
            "meeting_id": "m1",
            "kind": "specific",
            "query": "Which colour did Bo want?",
            "answer": "Bo wanted green",
            "relevant_turns": [[1, 1]],
        },
        {
            "meeting_id": "m2",
            "kind": "specific",
            "query": "And Ada?",
            "answer": "Ada wanted blue",
            "relevant_turns": [[0, 0], [2, 2]],
        },
    ]
    for name, all in (("meetings", rows), ("queries", queries)):
        with gzip.open(tmp_path / f"qmsum_test_{name}.jsonl.gz", "wt") as file:
            file.write("".join(json.dumps(row) + "\n" for row in all))
    return tmp_path


def measured(task, *rules, context=1_000):
    backend = Scripted(rules, abilities=replace(ABLE, context=context))
    return asyncio.run(task.measure(Model(backend), Asking())), backend


def test_scores_are_those_of_the_package_and_the_mean_is_of_means(meetings):
    task = load("qmsum", Inputs((meetings,)))
    rules = [Rule(("Bo wanted blue",), contains=("Which colour",)), Rule(("a remote of Ada wanted blue",))]
    found, _ = measured(task, *rules)
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    each = [scorer.score(row["gold"], row["written"]) for row in found.rows]
    means = [sum(one[kind].fmeasure for one in each) / 3 for kind in ("rouge1", "rouge2", "rougeL")]
    figures = [figure for of, figure in found.figures if of == "all"]
    assert [figure.value for figure in figures[:3]] == pytest.approx(means)
    assert figures[3].value == pytest.approx((means[0] * means[1] * means[2]) ** (1 / 3))
    assert figures[3].low <= figures[3].value <= figures[3].high
    assert [of for of, _ in found.figures] == ["all"] * 4 + ["general"] * 4 + ["specific"] * 4


@pytest.mark.parametrize(
    ("policy", "begins", "ends"),
    [
        ("lead", "Ada: we want", "remote\nBo: no ,"),
        ("tail", "a blue remote\nBo: no", "it is"),
        ("middle-out", "Ada: we", "it is"),
    ],
)
def test_long_transcripts_are_cut_alike_for_all_queries_of_a_meeting_and_loudly(meetings, policy, begins, ends):
    task = load("qmsum", Inputs((meetings,), limit=2), [f"text={policy}", "answer_tokens=10"])
    found, backend = measured(task, Rule(("green",)), context=26)
    shown = [prompt.text.partition("\n\nQuestion:")[0] for prompt, _, _ in backend.calls]
    assert len(shown) == 2 and len(set(shown)) == 1
    assert shown[0].startswith(begins) and shown[0].endswith(ends)
    # 26 words, less 10 for the answer, less 7 of the longer question with its two cues: 9 of the 48 (10 with the mark)
    kept = {row["words_kept"] for row in found.rows}
    assert kept == ({8} if policy == "middle-out" else {9})
    assert found.notes[0].startswith(f"CUT ({policy}): 2 of 2 prompts show only a part")


def test_the_oracle_shows_the_relevant_turns_alone_and_says_so(meetings):
    found, backend = measured(load("qmsum", Inputs((meetings,)), ["text=oracle"]), Rule(("green",)))
    shown = {prompt.text.partition("\n\nQuestion:")[0] for prompt, _, _ in backend.calls}
    assert shown == {"Bo: no , green it is", "Ada: we want a blue remote\nAda: we want a blue remote"}
    assert found.notes[0].startswith("ORACLE") and "1 general queries" in found.notes[1]


def test_what_is_missing_in_the_files_is_named(meetings):
    with pytest.raises(UserError, match="no data called qmsum_val_meetings"):
        load("qmsum_val", Inputs((meetings,)))
    bad = meetings / "qmsum_test_queries.jsonl"
    bad.write_text('{"meeting_id": "m9", "query": "?", "answer": "!"}')
    with pytest.raises(UserError, match="no meeting 'm9'") as raised:
        load("qmsum", Inputs((Path(f"qmsum_test_queries={bad}"), meetings)))
    assert raised.value.where == f"{bad}:1"


# ── Loss by position ────────────────────────────────────────────────────────────────────────────────────────────────


def test_buckets_end_at_powers_of_two_and_at_the_length():
    assert edges(32, 200) == [32, 64, 128, 200]
    assert edges(32, 128) == [32, 64, 128]


def test_the_loss_of_a_piece_is_shared_by_its_tokens(tmp_path):
    # Words are the scripted model's tokens, and it finds every piece one nat unlikely.
    (tmp_path / "a.txt").write_text(" ".join(["word"] * 16))
    (tmp_path / "b.txt").write_text(" ".join(["word"] * 6))
    task = load("loss_by_position", Inputs((tmp_path,)), ["least=4", "length=16"])
    found, _ = measured(task, Rule(unlisted=-1.0))
    assert [(of, figure.value, figure.n) for of, figure in found.figures] == [
        ("1–4 tokens seen", 2 / 8, 2),
        ("5–8 tokens seen", 2 / 6, 2),
        ("9–16 tokens seen", 1 / 8, 1),
    ]
    curve = found.items[0]
    assert [line.name for line in curve.series] == ["all windows", "the 1 that reach the end"]
    assert curve.series[1].y == (1 / 4, 1 / 4, 1 / 8)
    assert curve.marks[0].x == 1_000


@given(st.lists(st.text("ab \n", min_size=1, max_size=8), min_size=20, max_size=60), st.integers(0, 3))
def test_windows_are_the_document_in_pieces_between_words(parts, most):
    from tandem.evaluate.long.losses import cut as windows

    text = " ".join(parts)
    model = Model(Scripted([Rule(unlisted=-1.0)]))
    found = list(windows(text, [4, 8], model, most))
    assert len(found) <= most or not most
    at = 0
    for window, places in found:
        assert len(words(window)) <= 8
        at = text.index(window, at) + len(window)
        assert all(
            place == len(window) or (window[place].isspace() and not window[place - 1].isspace()) for place in places
        )
        assert len(words(window[: places[0]])) == min(4, len(words(window)))


def test_models_that_cannot_score_and_folders_without_text_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("word " * 50)
    task = load("loss_by_position", Inputs((tmp_path,)))
    with pytest.raises(UserError, match="scoring"):
        backend = Scripted([Rule(("x",))], abilities=replace(ABLE, scoring=False))
        asyncio.run(task.measure(Model(backend), Asking()))
    with pytest.raises(UserError, match="no text to measure on"):
        load("loss_by_position", Inputs())


@pytest.mark.slow
def test_pieces_add_up_to_the_loss_of_the_whole_text(tmp_path, embedded_folder):
    from tandem.lm import connect

    (tmp_path / "a.txt").write_text(Path("docs/engine.md").read_text()[:1_500])
    model = connect("embedded", precision="fp32")
    found = asyncio.run(load("loss_by_position", Inputs((tmp_path,)), ["length=256"]).measure(model, Asking()))
    (window,) = found.rows
    text = (tmp_path / "a.txt").read_bytes()
    ends = [sum(piece["bytes"] for piece in window["pieces"][: n + 1]) for n in range(len(window["pieces"]))]
    first, last = (text[:end].decode() for end in (ends[0], ends[-1]))

    async def scores():
        try:
            return [*await model.score(Text(""), (first,)), *await model.score(Text(first), (last[len(first) :],))]
        finally:
            await model.close()

    for pieces, score in zip((window["pieces"][:1], window["pieces"][1:]), asyncio.run(scores()), strict=True):
        assert sum(piece["nats"] for piece in pieces) == pytest.approx(-score.logprob, abs=1e-3)
        assert sum(piece["tokens"] for piece in pieces) == score.tokens


# ── Settings and the command ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("pairs", "is 'pairs'"),
        ("nonsense=1", "there is no setting 'nonsense'"),
        ("hops.items=3", "no such task was asked for"),
        ("pairs=many", "is 'many'"),
        ("pairs=0", "is 0"),
        ("ids=roman", "is 'roman'"),
        ("positions=1,x", "is '1,x'"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_those_there_are(given, problem):
    with pytest.raises(UserError, match=problem) as raised:
        load("evidence_pairs", Inputs(), [given])
    assert raised.value.where.startswith("--set") and raised.value.remedy


def test_a_setting_goes_to_every_task_that_has_it_or_to_the_one_named():
    asked = ["evidence_pairs", "hops"]
    given = ["items=2", "pairs=9", "hops.items=1"]
    assert load("evidence_pairs", Inputs(), given, asked).facts["items"] == 2
    assert load("hops", Inputs(), given, asked).facts["items"] == 1


RULES = r"""
[[rule]]
matches = "\"([0-9a-f-]+)\": \"([0-9a-f-]+)\".*belongs to the key \"\\1\""
answers = ["\\2"]
[[rule]]
answers = ["Answer: 4"]
"""


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("rules.toml").write_text(RULES)

    def run(*arguments):
        status = main(["evaluate", "--model", "scripted:rules.toml", *arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def test_a_run_leaves_figures_curves_items_and_goes_on_without_asking_again(evaluate):
    command = ("--tasks", "evidence_pairs,multiplication", "--limit", "2", "--set", "pairs=6", "sizes=1x1,2x1")
    status, out, _ = evaluate(*command, "--out", "run")
    assert status == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    assert rows[0] == ["task", "version", "of", "metric", "direction", "value ± stderr", "95 %", "n"]
    assert ["evidence_pairs", "1", "pair at 6", "accuracy", "↑", "1.0000", "[0.3424, 1.0000]", "2"] in rows
    kept = [Path("run/results.json"), Path("run/evidence_pairs-items.jsonl"), Path("run/multiplication-items.jsonl")]
    before = [file.read_bytes() for file in kept]
    results = json.loads(before[0])
    kinds = {item["kind"] for section in results["sections"] for item in section["items"]}
    assert kinds == {"Table", "Curve", "Example"}
    assert "accuracy over position" in Path("run/report.html").read_text()
    Path("rules.toml").write_text(RULES)
    status, _, err = evaluate(*command, "--out", "run")
    assert status == 0 and "re-used" in err
    assert [file.read_bytes() for file in kept] == before


def test_another_setting_is_another_run(evaluate):
    evaluate("--tasks", "evidence_pairs", "--limit", "1", "--set", "pairs=4", "--out", "run")
    status, _, err = evaluate("--tasks", "evidence_pairs", "--limit", "1", "--set", "pairs=5", "--out", "run")
    assert status == 2 and "pairs" in err


def test_several_samples_are_refused(evaluate):
    status, _, err = evaluate("--tasks", "hops", "--samples-per-task", "2", "--temperature", "1", "--out", "run")
    assert status == 2 and "asked once" in err
