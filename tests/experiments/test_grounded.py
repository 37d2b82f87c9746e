"""Question sets in their published forms, on invented rows: what is hidden, what oracles get, what is written out."""

import asyncio
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import grounded
import grounded_sets
import pytest

from tandem.errors import UserError
from tandem.sandbox import QueryError

HOTPOT = [
    {
        "id": f"h{n}",
        "question": f"Where was the builder of bridge {n} born?",
        "answer": "Varnum",
        "aliases": ["the town of Varnum"],
        "paragraphs": [
            {"title": "Bridge", "text": f"Bridge {n} was built by Ada Holm.", "kind": "gold"},
            {"title": "added", "text": f"Bridge {n + 50} was built by Per Lund.", "kind": "distractor"},
            {"title": "Ada Holm", "text": "Ada Holm was born in Varnum.", "kind": "gold"},
            {"title": "added", "text": "Per Lund was born in Melnor.", "kind": "distractor"},
        ],
        "supporting_sentences": [],
    }
    for n in range(3)
]
MEDICAL = [
    {"id": f"m{n}", "question": f"Which vitamin is number {n}?", "choices": ["A", "B", "C", "D"], "answer": n % 4,
     "subject": "Diet", "topic": None, "explanation": f"Vitamin {n} is told of here."}
    for n in range(2)
]  # fmt: skip
TABLES = [
    {
        "id": 7,
        "page_title": "Village races",
        "section_title": "2024",
        "page_url": "",
        "table": [
            ["Race", "Winner", "Winner", ""],
            ["spring", "Ada Holm", "31:05", "x"],
            ["autumn", "Per", "30:48", ""],
        ],
        "highlighted_cells": [[1, 1], [1, 2]],
        "question": "Who won the spring race?",
        "answer": "Ada Holm won the spring race in 31:05.",
    }
]


def packed(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    packed(folder / grounded_sets.FILES["hotpotqa"], HOTPOT)
    packed(folder / grounded_sets.FILES["medmcqa"], MEDICAL)
    packed(folder / grounded_sets.FILES["fetaqa"], TABLES)
    packed(folder / grounded_sets.FILES["fever"], [{"id": "f", "claim": "Varnum is a town.", "label": "SUPPORTS"}])
    same = MEDICAL[0] | {"id": "other", "explanation": "The answer itself, under another id."}
    other = {**MEDICAL[0], "id": "x", "question": "What is scurvy?", "explanation": "Scurvy is a lack of vitamin C."}
    packed(folder / grounded_sets.EXPLANATIONS, [same, other])
    return folder


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose chains agree on the right town, and that is right of no other question."""
    file = tmp_path_factory.mktemp("script") / "rules.json"
    rules = [
        {"matches": r"Steps:\n1\.\Z", "answers": [" Ada Holm was born in Varnum.\nAnswer: Varnum"]},
        {"matches": r"(Check|Finding|Corrected):\Z", "answers": ["Where was she born?"]},
        {"matches": r"Thought 1:\Z", "answers": [" I know.\nAction 1: finish[Melnor]"]},
        {"matches": r"SQL:\Z", "answers": ["SELECT 1"]},
        {"answers": ["Varnum"]},
    ]
    file.write_text(json.dumps({"rule": rules}))
    return file


def load(name: str, data: Path, work: Path, **more: Any) -> grounded_sets.Set:
    return grounded_sets.load(name, data, work, more.pop("limit", None), **more)


def test_titles_that_give_gold_paragraphs_away_are_dropped_and_the_oracle_gets_gold_alone(
    data: Path, tmp_path: Path
) -> None:
    found = load("hotpotqa", data, tmp_path)
    assert all("titles" not in q.meta for q in [*found.questions, *found.oracle])
    assert [len(q.context) for q in found.questions] == [4, 4, 4]
    assert found.oracle[1].context == ("Bridge 1 was built by Ada Holm.", "Ada Holm was born in Varnum.")
    assert found.questions[0].answers == ("Varnum", "the town of Varnum")


def test_explanations_of_asked_questions_are_not_looked_up_under_any_id(data: Path, tmp_path: Path) -> None:
    found = load("medmcqa", data, tmp_path, limit=1)
    (source,) = found.sources
    result = asyncio.run(source.look_up("vitamin scurvy answer itself", 5))
    assert [f.text for f in result.findings] == ["Scurvy is a lack of vitamin C."]
    assert found.oracle[0].context == ("Vitamin 0 is told of here.",)


def test_a_table_is_asked_in_sql_under_its_own_name_and_marks_reach_the_oracle_only(data: Path, tmp_path: Path) -> None:
    found = load("fetaqa", data, tmp_path)
    (question,), (source,) = found.questions, found.sources
    assert dict(question.meta) == {"answer": "sentence"}
    assert found.oracle[0].context == ("Village races | 2024 | Winner: Ada Holm; Winner: 31:05",)

    async def ask() -> list[str]:
        own = source.about(question)
        assert list(own.describe().parts) == ["table_7"] and "Winner 3" in own.describe().parts["table_7"]
        with pytest.raises(QueryError):
            await own.look_up("SELECT nothing FROM table_7", 3)
        result = await own.look_up('SELECT "Winner", "column 4" FROM table_7 WHERE Race = \'spring\'', 3)
        await source.close()
        return [f.text for f in result.findings]

    assert asyncio.run(ask()) == ["Winner: Ada Holm; column 4: x"]


def test_claims_without_pages_are_refused_with_the_reason(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pages"):
        load("fever", data, tmp_path)


def test_published_figures_stand_beside_the_arm_and_the_shots_they_belong_to() -> None:
    assert grounded.beside("hotpotqa", 6)["verify-and-edit"] == "published EM 56.8, AUC 60.94 (Dataset)"
    assert grounded.beside("hotpotqa", 1)["chain-of-knowledge"] == "published 26.3"
    assert grounded.beside("medmcqa", 6)["cot-sc"] == "published 65.9"
    assert "cot" not in grounded.beside("fetaqa", 6) and grounded.beside("hotpotqa", 3) == {}


def command(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["grounded.py", *options])
    grounded.main()


def test_the_command_compares_all_arms_and_writes_no_text_of_the_data(
    data: Path, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(data), "--model", f"scripted:{script}", "--work", str(tmp_path / "w"), "--shots", "1"]
    out = tmp_path / "figures.json"
    command(monkeypatch, *options, "--sets", "hotpotqa", "fever", "--out", str(out))
    told, printed = json.loads(out.read_text()), capsys.readouterr().out
    hotpot, fever = told["trials"]
    assert "no pages" in fever["not run"] and "fever: not run" in printed
    assert set(grounded.METHODS) | {grounded.SHOWN, grounded.GIVEN} == set(hotpot["arms"])
    assert hotpot["arms"]["cot-sc"]["score"]["value"] == 1 and hotpot["arms"]["react"]["score"]["value"] == 0
    assert hotpot["minus cot-sc"]["react"]["difference"]["value"] == -1
    assert (hotpot["minus cot-sc"]["react"]["better"], hotpot["minus cot-sc"]["react"]["worse"]) == (0, 3)
    assert "not measured" in hotpot["calibrator"]
    assert "published 20.3" in printed and "not which is better" in printed
    for row in HOTPOT:
        assert row["question"] not in out.read_text() and "Ada Holm" not in out.read_text()


def test_sentences_are_scored_by_both_bleus(
    data: Path, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    options = ["--data", str(data), "--model", f"scripted:{script}", "--work", str(tmp_path / "w"), "--shots", "1"]
    left = ["react", "react-then-cot-sc", "cot-sc-then-react"]
    command(monkeypatch, *options, "--sets", "fetaqa", "--out", str(out), "--without", *left)
    (told,) = json.loads(out.read_text())["trials"]
    assert set(told["bleu"]["cot"]) == {"corpus", "mean_sentence"}
    assert not set(left) & set(told["arms"]) and grounded.SHOWN in told["arms"]
    assert "mean sentence BLEU" in capsys.readouterr().out


def test_the_reference_cannot_be_left_out(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="compared with"):
        command(monkeypatch, "--data", str(data), "--without", "cot-sc")
