import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tandem.cli.main import main
from tandem.reason.chains import Asking
from tandem.reason.methods import NAMES, USED, Settings
from tandem.store import Store

sys.path.append(str(Path(__file__).parents[1]))
from loopback_server import Act, LoopbackServer

RULES = r"""
[[rule]]
matches = "Step: The Lamp of Orn was written by Mira Tal.\nCheck:$"
answers = " Who wrote The Lamp of Orn?"
[[rule]]
matches = "Step: Mira Tal was born in Brell.\nCheck:$"
answers = " Where was Mira Tal born?"
[[rule]]
matches = "Check: Who wrote The Lamp of Orn\\?\nFinding:$"
answers = " The Lamp of Orn was written by Mira Tal."
[[rule]]
matches = "Check: Where was Mira Tal born\\?\nFinding:$"
answers = " Mira Tal was born in Karo."
[[rule]]
matches = "2. Mira Tal was born in Karo.\nAnswer:$"
answers = " Karo"
[[rule]]
matches = "town was the author of The Lamp of Orn born\\?\nSteps:\n1.$"
answers = [
    " The Lamp of Orn was written by Mira Tal.\n2. Mira Tal was born in Brell.\nAnswer: Brell",
    " I think so.\nAnswer: Karo",
    " It was Tolk.\nAnswer: Tolk",
    " It was Miro.\nAnswer: Miro",
    " No idea.",
]
[[rule]]
matches = "(Zell|Orn) be\\?\nSteps:\n1.$"
answers = " The answer is known.\nAnswer: \\1"
[[rule]]
contains = "broken"
fails = "server"
[[rule]]
matches = "Thought 1:$"
answers = " I know.\nAction 1: finish[Karo]"
[[rule]]
answers = ""
"""
LAMP = "In which town was the author of The Lamp of Orn born?"
CARDS = [
    ("Who wrote The Lamp of Orn?", "The Lamp of Orn was written by Mira Tal."),
    ("Where was Mira Tal born?", "Mira Tal was born in Karo, a town on the river Zell."),
]
KNOWN = [{"id": f"z{i}", "question": f"What may {i} Zell be?", "answer": "Zell"} for i in range(4)]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rules.toml").write_text(RULES)
    Path("cards.jsonl").write_text("".join(json.dumps({"front": f, "back": b}) + "\n" for f, b in CARDS))
    return tmp_path


@pytest.fixture
def answer(place, capsys):
    def run(*arguments, rows=None):
        if rows is not None:
            Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            arguments = ("q.jsonl", *arguments)
        model = () if "--model" in arguments else ("--model", "scripted:rules.toml")
        status = main(["answer", *arguments, *model])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def items(folder):
    return [json.loads(line) for line in (Path(folder) / "answers-items.jsonl").read_text().splitlines()]


CARDS_ASKED = ("--source", "flashcards:cards.jsonl")


def test_one_question_is_answered_with_its_steps_and_places_to_look_at(answer):
    status, out, err = answer(LAMP, *CARDS_ASKED)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "Karo",
        "  1. The Lamp of Orn was written by Mira Tal. [1]",
        "  2. Mira Tal was born in Karo. (corrected) [2]",
        "  [1] cards.jsonl:1",
        "      The Lamp of Orn was written by Mira Tal.",
        "  [2] cards.jsonl:2",
        "      Mira Tal was born in Karo, a town on the river Zell.",
    ]


def test_where_nothing_was_looked_up_it_says_so_and_where_all_was_confirmed_too(answer):
    _, out, err = answer(LAMP, *CARDS_ASKED, "--gate", "never")
    assert out.startswith("Brell\n") and "nothing was looked up: 1 of 5 chains agree (--gate always" in err
    Path("same.toml").write_text(RULES.replace("Mira Tal was born in Karo.", "Mira Tal was born in Brell."))
    _, out, err = answer(LAMP, *CARDS_ASKED, "--model", "scripted:same.toml")
    assert out.startswith("Brell\n") and "[1] cards.jsonl:1" in out
    assert err == "note: every step was confirmed; the answer stays\n"


def test_an_edit_style_of_another_method_is_told_and_left(answer):
    _, _, err = answer(LAMP, *CARDS_ASKED, "--edit-style", "correct", "--method", "cot-sc")
    assert "cot-sc has no use for --edit-style" in err


def test_explained_it_shows_samples_vote_gate_checks_findings_and_edits_in_words(answer):
    _, out, _ = answer(LAMP, *CARDS_ASKED, "--explain")
    told = out.partition("\n\n")[0]
    for line in (
        "chains     5 at temperature 0.7",
        "  1        Brell",
        "  5        (unparsed)",
        "gate       count 1 is below 3: looked up",
        "step       Mira Tal was born in Brell.",
        "  check    Where was Mira Tal born?",
        "  edited   Mira Tal was born in Karo.",
        "answer     Karo",
    ):
        assert line in told.splitlines(), told
    assert not any(mark in told for mark in ("{", "}", "['", "fingerprint", "\x1b"))
    assert max(map(len, told.splitlines())) <= 100


@pytest.mark.parametrize("width", [36, *(pytest.param(n, marks=pytest.mark.slow) for n in (60, 120))])
def test_on_a_terminal_lines_keep_to_its_width_and_edits_have_a_colour(place, width):
    out = on_a_terminal([LAMP, *CARDS_ASKED, "--explain"], width)
    plain = out.replace("\x1b[0m", "")
    for code in ("\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[1m"):
        plain = plain.replace(code, "")
    assert "\x1b[32m" in out and "\x1b" not in plain
    assert max(len(line) for line in plain.splitlines()) <= width
    assert "\x1b" not in on_a_terminal([LAMP, *CARDS_ASKED, "--explain"], width, NO_COLOR="1")


def on_a_terminal(arguments, width, **environment):
    controller, terminal = pty.openpty()
    environment = os.environ | {"COLUMNS": str(width), **environment}
    command = [sys.executable, "-m", "tandem.cli.main", "answer", *arguments, "--model", "scripted:rules.toml"]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                shown += (part := os.read(controller, 1 << 16))
            except OSError:
                break
            if not part:
                break
    os.close(controller)
    assert process.returncode == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")


def test_a_model_cannot_steer_the_terminal(answer, place):
    Path("rules.toml").write_text('[[rule]]\nanswers = "\\u001b[2Jgone\\u0007"\n')
    _, out, _ = answer("?", "--method", "standard", "--explain")
    assert "\x1b" not in out and "\x07" not in out


def test_a_file_becomes_items_figures_and_a_report_that_can_be_compared(answer, capsys):
    rows = [{"id": "lamp", "question": LAMP, "answer": "Karo", "aliases": ["Karo on Zell"]}, *KNOWN]
    status, out, err = answer("--out", "edited", *CARDS_ASKED, rows=rows)
    assert (status, err) == (0, "")
    assert "1 / 0 of 1" in out and "2 found" in out
    first = items("edited")[0]
    assert (first["id"], first["gold"], first["accepted"], first["answer"], first["right"]) == (
        "lamp", "Karo", ["Karo on Zell"], "Karo", 1.0,
    )  # fmt: skip
    assert first["trace"]["name"] == "verify-and-edit"
    assert Path("edited/report.html").exists() and Path("edited/results.json").exists()
    assert answer("--out", "plain", "--method", "cot-sc", rows=rows)[0] == 0
    assert main(["compare", "plain", "edited"]) == 0
    shown = capsys.readouterr().out
    assert "1 fixed, 0 broken" in shown
    assert "plain: Brell · edited: Karo · gold: Karo" in shown


def test_options_and_what_was_chosen_are_shown_when_runs_are_compared(answer, capsys):
    rows = [{"id": "c", "question": "Where?", "choices": ["x", "y"], "answer": 1}]
    for name, said in (("one", "A"), ("two", "B")):
        Path("rules.toml").write_text(f'[[rule]]\nanswers = "Answer: {said}"\n')
        assert answer("--method", "cot", "--out", name, rows=rows)[0] == 0
    main(["compare", "one", "two"])
    assert "one: A · two: B · gold: B" in capsys.readouterr().out


def test_the_same_command_asks_nothing_again_and_writes_the_same(answer):
    rows = [{"id": "lamp", "question": LAMP, "answer": "Karo"}]
    answer("--out", "run", *CARDS_ASKED, rows=rows)
    before = {name: Path("run", name).read_bytes() for name in ("answers-items.jsonl", "results.json")}
    assert answer("--out", "run", *CARDS_ASKED, "--budget-calls", "0", rows=rows)[0] == 0
    assert before == {name: Path("run", name).read_bytes() for name in before}


def test_a_spent_budget_leaves_the_rest_unasked_and_the_run_goes_on_with_more(answer):
    status, _, err = answer("--method", "cot", "--out", "run", "--budget-calls", "2", "--concurrency", "1", rows=KNOWN)
    assert status == 1 and "2 of 4 questions were not asked" in err
    assert len(items("run")) == 2
    told = json.loads(Path("run/results.json").read_text())
    assert "INCOMPLETE: 2 of 4 questions were not asked" in told["lead"]
    assert '"complete": false' in Path("run/events.jsonl").read_text()
    status, _, _ = answer("--method", "cot", "--out", "run", "--budget-calls", "2", rows=KNOWN)
    assert (status, len(items("run"))) == (0, 4)
    assert "INCOMPLETE" not in Path("run/report.html").read_text()


def test_a_question_whose_call_fails_is_told_and_does_not_count_as_wrong(answer):
    status, out, err = answer(
        "--method", "cot", "--out", "run", rows=[*KNOWN, {"id": "x", "question": "broken", "answer": "y"}]
    )
    assert status == 1 and "1 of 5 questions failed (server 1); --retry-failed asks again" in err
    (failed,) = (item for item in items("run") if item["id"] == "x")
    assert failed["outcome"] == "failed" and "right" not in failed
    assert "100.0 %" in out
    (example,) = (
        e for s in told(Path("run")) for e in s["items"] if e["kind"] == "Example" and "broken" in e["prompt"]
    )
    assert example["outputs"][-1][1].startswith("Answer: (failed)\n(server: ")


def told(run):
    """Chapters of a run's results."""
    return json.loads((run / "results.json").read_text())["sections"]


def test_items_stand_in_the_order_of_the_file(answer):
    rows = [{"id": f"q{n}", "question": f"What may {n} Zell be?", "answer": "Zell"} for n in (1, 2, 10, 11)]
    answer("--method", "cot", "--out", "run", rows=rows)
    assert [item["id"] for item in items("run")] == ["q1", "q2", "q10", "q11"]


@pytest.mark.parametrize("name", ["questons.csv", "nofile.txt", "-", "some/where", "."])
def test_a_name_that_is_no_file_is_not_asked_as_a_question(answer, name):
    status, out, err = answer(name, "--method", "cot", "--out", "run")
    assert status == 2 and not out and ("no such file" in err or "cannot be read" in err)


def test_a_refused_folder_leaves_nothing_beside_it(answer, place):
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("precious")
    for out, why in (("mine", "holds no run"), ("cards.jsonl", "is a file"), (".", "holds no run")):
        status, _, err = answer("--method", "cot", "--out", out, rows=KNOWN)
        assert status == 2 and why in err
    assert not list(place.glob("*.answers.db")) and not list(place.parent.glob("*.answers.db"))


def test_the_folder_one_is_in_can_hold_the_run(answer, place, monkeypatch):
    Path("here").mkdir()
    rows = "".join(json.dumps(row) + "\n" for row in KNOWN)
    Path("q.jsonl").write_text(rows)
    monkeypatch.chdir(place / "here")
    assert answer("../q.jsonl", "--method", "cot", "--out", ".", "--model", "scripted:../rules.toml")[0] == 0
    assert (place / "here" / "results.json").is_file() and (place / "here.answers.db").is_file()


def test_what_was_found_and_tells_nothing_of_the_sentence_is_not_cited(answer):
    Path("cards.jsonl").write_text(
        "".join(
            json.dumps({"front": front, "back": back}) + "\n"
            for front, back in [*CARDS, ("Where was the lamp of the harbour?", "The tower fell in the storm of 1802.")]
        )
    )
    _, out, _ = answer(LAMP, *CARDS_ASKED, "--fetch", "3")
    assert "  2. Mira Tal was born in Karo. (corrected) [2]\n" in out or "(corrected) [1]" in out
    cited, looked_at = out.split("  looked at:\n")
    assert "cards.jsonl:3" in looked_at and "cards.jsonl:3" not in cited


@pytest.mark.slow  # its retries take seconds
def test_a_source_that_is_down_is_told_and_the_run_is_not_whole(answer):
    Path("sources.toml").write_text(
        '[source.wiki]\naddress = "wikipedia:http://127.0.0.1:9/api.php"\ncontact = "a@example.org"\n'
        '[domain.factual]\nabout = "all"\nsources = ["wiki"]\n'
    )
    status, _, err = answer(
        "--out", "run", "--sources", "sources.toml", rows=[{"id": "lamp", "question": LAMP, "answer": "Karo"}]
    )
    assert status == 1
    assert "2 look-ups failed: answers lack what these sources would have said" in err
    (item,) = items("run")
    assert [edit["outcome"] for edit in item["facts"]["edits"]] == ["source-failed"] * 2
    assert "kept" in item["facts"]


def test_nothing_found_is_told_apart_from_a_source_that_is_down(answer):
    Path("cards.jsonl").write_text('{"front": "xyzzy", "back": "plugh"}\n')
    status, out, err = answer("--out", "run", *CARDS_ASKED, rows=[{"id": "lamp", "question": LAMP, "answer": "Karo"}])
    assert (status, err) == (0, "")
    assert "sources: 2 nothing" in out and "steps: 2 no-evidence" in out


def test_a_questions_own_paragraphs_are_a_source(answer):
    paragraphs = [{"title": f"T{i}", "text": text, "kind": "gold"} for i, (_, text) in enumerate(CARDS)]
    rows = [{"id": "lamp", "question": LAMP, "answer": "Karo", "paragraphs": paragraphs}]
    assert answer("--out", "run", "--source", "dataset", rows=rows)[0] == 0
    (item,) = items("run")
    assert item["answer"] == "Karo"
    assert {finding["place"].partition("#")[0] for finding in item["findings"]} == {"dataset:lamp"}
    assert "gold" not in json.dumps(item["trace"])


def test_questions_without_paragraphs_are_named_before_anything_is_asked(answer):
    rows = [*KNOWN, {"id": "with", "question": "?", "context": ["A passage."]}]
    status, _, err = answer("--out", "run", "--source", "dataset", rows=rows)
    assert status == 2 and "4 of 5 questions: the question has no paragraphs (z0, z1, z2, z3)" in err
    assert not Path("run").exists()


def test_the_calibrator_is_fitted_on_the_first_questions_and_told_so(answer):
    Path("rules.toml").write_text(
        "".join(
            f'[[rule]]\nmatches = "{i} (Zell|Orn) be\\\\?\\nSteps:\\n1.$"\nlogprob = -{1 + i % 3}.0\n'
            f'answers = " The river {"Zell" if i % 2 else "Mir"} is long.\\nAnswer: {"Zell" if i % 3 else "Orn"}"\n'
            for i in range(8)
        )
    )
    rows = [{"id": str(i), "question": f"What may {i} Zell be?", "answer": "Zell"} for i in range(8)]
    status, out, err = answer(
        "--method", "calibrated", "--out", "run", *CARDS_ASKED, "--samples", "2", "--fit", "5", rows=rows
    )
    assert (status, err) == (0, "")
    assert "Fitted on the first 5 of 8 questions with known answers, measured on the other 3." in out
    assert "| calibrated " in out and "| cot-sc, the same " in out
    assert [("confidence" in item) for item in items("run")] == [False] * 5 + [True] * 3
    for fit, given, why in (("8", rows, "8 of 8"), ("1", [{"question": r["question"]} for r in rows], "1 of 0")):
        more = ("--method", "calibrated", "--out", "less", *CARDS_ASKED, "--samples", "2", "--fit", fit)
        status, _, err = answer(*more, rows=given)
        assert status == 2 and f"cannot be fitted on {why}" in err and not Path("less").exists()


@pytest.mark.parametrize(
    "method",
    ["standard", "cot", "cot-sc", "verbal", "react", "react-then-cot-sc", "cot-sc-then-react", "chain-of-knowledge"],
)
def test_every_method_has_a_name_on_the_command_line(answer, method):
    needs = CARDS_ASKED if "react" in method or "knowledge" in method else ()
    status, out, err = answer("--method", method, "--out", "run", *needs, rows=KNOWN)
    assert status == 0, err
    assert f"| {method} " in out


WRONG = {
    "no source": ([LAMP], "there is no source"),
    "no method": ([LAMP, "--method", "magic"], "no method is called 'magic'"),
    "no question": (["  ", "--method", "cot"], "is empty"),
    "a gate of another score": ([LAMP, *CARDS_ASKED, "--gate", "share:3"], "--gate share:3"),
    "an unknown gate": ([LAMP, *CARDS_ASKED, "--gate", "entropy"], "no gate is called 'entropy'"),
    "a gate without a number": ([LAMP, *CARDS_ASKED, "--gate", "count:many"], "is no number"),
    "no samples": ([LAMP, "--method", "cot-sc", "--samples", "0"], "--samples"),
    "samples that agree": ([LAMP, "--method", "cot-sc", "--temperature", "0"], "--temperature"),
    "a negative temperature": ([LAMP, "--method", "cot-sc", "--temperature", "-1"], "--temperature"),
    "too many shots": ([LAMP, "--method", "cot", "--shots", "7"], "7 demonstrations"),
    "no tokens for an answer": ([LAMP, "--method", "cot", "--answer-tokens", "0"], "--answer-tokens"),
    "no turns": ([LAMP, "--method", "react", *CARDS_ASKED, "--turns", "0"], "--turns"),
    "a folder for one question": ([LAMP, "--method", "cot", "--out", "x"], "--out"),
    "a calibrator of one question": ([LAMP, "--method", "calibrated", *CARDS_ASKED], "--method calibrated"),
    "a missing file": (["none.jsonl", "--method", "cot", "--out", "x"], "no such file"),
    "no source of that name": ([LAMP, "--source", "flashcads:cards.jsonl"], "did you mean"),
    "a source twice": ([LAMP, *CARDS_ASKED, *CARDS_ASKED], "two sources are called"),
    "the data set's paragraphs of a question without": ([LAMP, "--source", "dataset"], "has no paragraphs"),
}


@pytest.mark.parametrize(("arguments", "told"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_told_with_its_place_before_anything_is_asked(answer, arguments, told):
    status, out, err = answer(*arguments)
    assert (status, out) == (2, "")
    assert told in err and "→" in err and "Traceback" not in err


def test_a_question_may_be_longer_than_a_files_name(answer):
    status, out, _ = answer(f"{'Where? ' * 100} What may 3 Zell be?", "--method", "cot")
    assert (status, out.splitlines()[0]) == (0, "Zell")


def test_a_question_may_end_like_a_file(answer):
    assert answer("What may Zell be? Not package.json", "--method", "cot")[0] == 1  # asked, and not understood


def test_a_file_needs_a_folder_and_explains_nothing(answer):
    assert "--out" in answer("--method", "cot", rows=KNOWN)[2]
    assert "--explain" in answer("--method", "cot", "--out", "x", "--explain", rows=KNOWN)[2]


def test_all_bad_rows_of_a_file_are_named(answer):
    status, _, err = answer(
        "--method", "cot", "--out", "x", rows=[*KNOWN, {"q": 1}, {"question": "?", "choices": ["x", "y"], "answer": 7}]
    )
    assert status == 2 and "line 5:" in err and "line 6: answer 7 is out of range" in err


def test_other_settings_in_the_same_folder_are_an_error_that_shows_the_difference(answer):
    answer("--method", "cot", "--out", "run", rows=KNOWN)
    status, _, err = answer("--method", "cot", "--out", "run", "--shots", "1", rows=KNOWN)
    assert status == 2 and "shots" in err


def test_sources_that_a_method_does_not_use_are_told(answer):
    assert "looks nothing up" in answer("What may 3 Zell be?", "--method", "cot", *CARDS_ASKED)[2]


IGNORED = {
    "standard": (["--max-tokens", "1000", "--samples", "3"], "--samples, --max-tokens"),
    "cot": (["--gate", "always", "--turns", "3", "--max-tokens", "9"], "--gate, --turns"),
    "cot-sc": (["--fit", "3", "--step-tokens", "9"], "--step-tokens, --fit"),
    "verify-and-edit": (["--at-once", "--top", "2", "--step-tokens", "90"], "--at-once"),
    "react": (["--top", "2", "--fetch", "4", "--rank", "source", "--turns", "2"], "--top, --fetch, --rank"),
}


@pytest.mark.parametrize(("method", "given"), IGNORED.items(), ids=IGNORED)
def test_options_that_the_method_has_no_use_for_are_told(answer, method, given):
    options, told = given
    sources = CARDS_ASKED if method in ("react", "verify-and-edit") else ()
    _, _, err = answer(LAMP, "--method", method, *sources, *options)
    assert f"note: {method} has no use for {told}\n" in err
    assert "no use for" not in answer(LAMP, "--method", method, *sources, "--top", "3")[2]


@pytest.mark.parametrize("setting", USED)
def test_what_methods_use_are_settings_that_there_are(setting):
    assert hasattr(Settings(), setting) or hasattr(Asking(), setting)
    assert USED[setting] <= set(NAMES)


def test_an_answer_that_is_cut_is_told_with_the_option_that_gives_more_room(answer):
    Path("rules.toml").write_text(f'[[rule]]\nanswers = "{" w" * 60}"\n')
    status, out, err = answer("Who?", "--method", "standard")
    assert (status, out) == (1, "") and "was cut before its answer was whole; --answer-tokens gives more room" in err
    status, out, err = answer("Who?", "--method", "standard", "--answer-tokens", "100")
    assert (status, out.split(), err) == (0, ["w"] * 60, "")
    _, _, err = answer("--method", "standard", "--out", "run", rows=KNOWN)
    assert "note: the texts of 4 questions were cut; --answer-tokens gives more room" in err


def test_a_correction_that_is_cut_is_told_and_may_be_given_more_room(answer):
    thought = "<think>" + " and so on" * 30 + "</think>"
    rules = RULES.replace('" Mira Tal was born in Karo."', f'" {thought} Mira Tal was born in Karo."')
    Path("rules.toml").write_text(rules)
    assert "note: 1 correction was cut; --step-tokens gives more room\n" in answer(LAMP, *CARDS_ASKED)[2]
    _, _, err = answer(LAMP, *CARDS_ASKED, "--step-tokens", "200")
    assert "was cut" not in err


def test_another_number_of_tokens_in_the_same_folder_is_another_run(answer):
    answer("--method", "cot", "--out", "run", rows=KNOWN)
    status, _, err = answer("--method", "cot", "--out", "run", "--answer-tokens", "50", rows=KNOWN)
    assert status == 2 and "answer_tokens" in err


# ── Stopped and begun again ─────────────────────────────────────────────────────────────────────────────────────────


def served(request):
    """A model that writes chains that disagree, and takes a question through every step of editing."""
    said, n = request.body["messages"][-1]["content"], request.body.get("n") or 1
    number = said.partition("number ")[2].partition(".")[0]
    if said.endswith("Steps:\n1."):
        texts = [f"It is {number}{i}.\n2. So be it {number}.\nAnswer: town {i}" for i in range(n)]
    elif said.endswith("Check:"):
        texts = [f"What is {number}?"] * n
    elif said.endswith("Finding:"):
        texts = ["It is Karo."] * n
    else:
        texts = ["Karo"] * n
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for i, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 10, "completion_tokens": 5 * n, "total_tokens": 10 + 5 * n}
    return Act(
        delay=0.01, body={"id": "1", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}
    )


def command(url, out):
    model = ("--model", f"{url}/v1#m", *(f"--allow={each}" for each in ("without-logprobs",)))
    return [
        *(sys.executable, "-m", "tandem.cli.main", "answer", "q.jsonl", "--source", "flashcards:cards.jsonl"),
        *("--out", out, "--concurrency", "3", "--shots", "1", *model),
    ]


async def process(url, out):
    return await asyncio.create_subprocess_exec(
        *command(url, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OPENAI_API_KEY": "k"}
    )


async def finished(arguments):
    """Status, output and messages of a command of its own process, beside a server of this one."""
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tandem.cli.main", "answer", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TANDEM_CONFIG_DIR": "."},
    )
    out, err = await made.communicate()
    return made.returncode, out.decode(), err.decode()


def test_tokens_and_money_are_told_in_all_and_of_this_time_and_results_do_not_depend_on_what_is_recorded(place):
    rows = [{"id": f"q{i}", "question": f"Which town is number {i}.", "answer": "town 0"} for i in range(5)]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("q.jsonl", "--method", "cot-sc", "--samples", "3", "--out", "run", "--model", "priced")

    async def three_times():
        came = []
        async with LoopbackServer(served) as server:
            prices = "prices = { input = 1000.0, output = 2000.0 }"
            Path("models.toml").write_text(f'[priced]\naddress = "{server.url}/v1"\nmodel = "m"\n{prices}\n')
            for more in (("--budget-calls", "3"), (), ()):
                came.append((*await finished([*asked, *more]), Path("run/results.json").read_bytes()))
        return came

    (status, out, err, part), (_, rest, _, whole), (_, again, _, same) = asyncio.run(three_times())
    assert status == 1 and "2 of 5 questions were not asked" in err
    assert "in all: 30 tokens read · 45 written · cost 0.12, recorded answers included\n" in out
    assert "this time: 3 calls · 75 tokens · cost 0.12\n" in out
    for said, paid in ((rest, "2 calls · 50 tokens · cost 0.08"), (again, "0 calls · 0 tokens")):
        assert "in all: 50 tokens read · 75 written · cost 0.2, recorded answers included\n" in said
        assert f"this time: {paid}\n" in said
    assert part != whole == same
    (in_all,) = (table for section in told(Path("run")) for table in section["items"] if table["title"] == "In all")
    assert dict(zip(in_all["columns"], *in_all["rows"], strict=True)) == {
        "questions": 5, "tokens read": 50, "tokens written": 75, "cost": "0.2",
    }  # fmt: skip
    assert [item["money"] for item in items("run")] == [0.04] * 5
    assert "prices" in Path("run/report.html").read_text()


def test_where_no_model_has_prices_no_cost_is_told(answer):
    _, out, _ = answer("--method", "cot", "--out", "run", rows=KNOWN)
    assert "in all: " in out and "this time: 4 calls" in out and "cost" not in out
    assert all("money" not in item for item in items("run"))


@pytest.mark.parametrize("kept", [False, True])
def test_interrupted_at_one_question_it_says_that_nothing_is_kept_unless_a_store_is_named(place, kept):
    more = ("--store", "s.db") if kept else ()

    async def run():
        async with LoopbackServer(lambda request: Act(delay=30.0)) as server:
            model = ("--model", f"{server.url}/v1#m", "--allow=without-logprobs")
            made = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tandem.cli.main", "answer", LAMP, "--method", "cot", *model, *more),
                stderr=subprocess.PIPE,
                env=os.environ | {"OPENAI_API_KEY": "k"},
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
            while not server.acts and made.returncode is None:
                await asyncio.sleep(0.01)
            made.send_signal(signal.SIGINT)
            return made, (await made.communicate())[1].decode()

    made, err = asyncio.run(run())
    assert made.returncode == 130
    assert ("what is finished is kept" in err) is kept
    assert ("nothing is kept without --store" in err) is not kept


def recorded(path):
    with Store(path, read_only=True) as store:
        return len({record.request.body for record in store.records()})


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_stopped_at_any_moment_the_same_command_asks_nothing_again_that_was_recorded(place, how):
    rows = [{"id": f"q{i:02}", "question": f"Which town is number {i}.", "answer": "Karo"} for i in range(12)]
    Path("q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("cards.jsonl").write_text('{"front": "What is it?", "back": "It is Karo."}\n')

    async def run():
        async with LoopbackServer(served) as server:
            whole = await process(server.url, "whole")
            _, err = await whole.communicate()
            assert whole.returncode == 0, err.decode()
            needed = server.acts["ok"]
            assert max(server.requests.values()) == 1
            for stop_at in (needed // 4, needed // 3):
                before, stopped = server.acts["ok"], await process(server.url, "stopped")
                while server.acts["ok"] < before + stop_at and stopped.returncode is None:
                    await asyncio.sleep(0.002)
                stopped.send_signal(how)
                _, err = await stopped.communicate()
                if how == signal.SIGINT:
                    assert stopped.returncode == 130 and b"the same command continues" in err, err
            kept, before = recorded("stopped.answers.db"), server.acts["ok"]
            last = await process(server.url, "stopped")
            _, err = await last.communicate()
            assert last.returncode == 0, err.decode()
            assert 0 < kept < needed
            assert server.acts["ok"] - before == needed - kept
            again = await process(server.url, "stopped")
            await again.communicate()
            assert again.returncode == 0 and server.acts["ok"] - before == needed - kept

    asyncio.run(run())
    for name in ("answers-items.jsonl", "results.json"):
        assert Path("stopped", name).read_bytes() == Path("whole", name).read_bytes()


def test_a_model_that_goes_on_thinking_is_told_as_one_that_did_not_finish(answer):
    Path("rules.toml").write_text('[[rule]]\nanswers = " I look.\\nAction 1: search[Lamp]"\n')
    status, _, err = answer(LAMP, *CARDS_ASKED, "--method", "react", "--turns", "2")
    assert status == 1 and "no answer (no-answer): the model did not finish in 2 turns (--turns)" in err


def test_every_source_of_a_file_is_asked_whether_a_domain_lists_it_or_not(answer):
    Path("sources.toml").write_text('[source.cards]\naddress = "flashcards:cards.jsonl"\n')
    status, out, _ = answer(LAMP, "--sources", "sources.toml")
    assert status == 0 and out.startswith("Karo\n")
    for text, why in (
        ('[source.cards]\naddress = "flashcards:cards.jsonl"\nfoo = 1\n', "foo"),
        ("", "names no source"),
    ):
        Path("sources.toml").write_text(text)
        status, _, err = answer(LAMP, "--sources", "sources.toml")
        assert status == 2 and why in err


def test_a_source_that_holds_something_else_now_is_another_run(answer):
    rows = [{"id": "lamp", "question": LAMP, "answer": "Karo"}]
    assert answer("--out", "run", *CARDS_ASKED, rows=rows)[0] == 0
    with Path("cards.jsonl").open("a") as file:
        file.write(json.dumps({"front": "Who?", "back": "Nobody."}) + "\n")
    status, _, err = answer("--out", "run", *CARDS_ASKED, rows=rows)
    assert status == 2 and "the recipe has changed" in err and "sources_held" in err
