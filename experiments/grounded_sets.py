"""The question sets of the experiments on grounded answering: questions, their sources, and the oracle's paragraphs.

    hotpotqa   308 adversarial questions with their own paragraphs; oracle: the gold paragraphs alone
    medmcqa    146 questions; source: the development set's explanations of *other* questions; oracle: their own
    fetaqa     2,003 questions on a table; source: the table, in SQL; oracle: the cells that the answer uses
    fever      1,000 claims; source: recorded pages, which have to be named

Files are read from the user's folder and nothing of them is kept elsewhere than in the experiment's work folder. What
this does not do: ask, or score.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tandem.errors import UserError
from tandem.metrics.normalise import answer_form
from tandem.reason import question_file
from tandem.sources import Dataset, Passages, addresses
from tandem.sources.blocking import finished
from tandem.sources.passages import About, Document, Origin, Passage, Writer
from tandem.sources.sql import TableFiles
from tandem.text import fingerprint
from tandem.types import Question, Result, Schema, Source

FILES = {
    "hotpotqa": "questions/hotpotqa_adversarial.jsonl.gz",
    "medmcqa": "questions/medmcqa_146.jsonl.gz",
    "fetaqa": "questions/fetaqa_test.jsonl.gz",
    "fever": "questions/fever_dev_1000.jsonl.gz",
}
"""Where each set lies in the data folder."""
EXPLANATIONS = "choices/medmcqa_dev.jsonl.gz"
"""Explanations of other questions, to look things up in."""


@dataclass(frozen=True)
class Set:
    """A set of questions and what its arms are given."""

    name: str
    """Its name."""
    questions: list[Question]
    """What is asked; `context` is what a question brings with it."""
    oracle: list[Question]
    """The same questions, `context` being only what answers them."""
    sources: list[Source]
    """Where methods look things up; of the questions' own where each brings its own."""
    shown: bool = False
    """Whether what a question brings stands in every prompt: a table does."""


def load(name: str, data: Path, work: Path, limit: int | None, fever_source: str = "") -> Set:
    """A set. Raises UserError where its files, or what it looks things up in, are not there."""
    file = data / FILES[name]
    questions = question_file.read(file)[:limit]
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()][:limit]
    if name == "hotpotqa":
        return hotpotqa(questions, rows)
    if name == "medmcqa":
        return medmcqa(questions, rows, data, work)
    if name == "fetaqa":
        return fetaqa(questions, rows, work)
    if not fever_source:
        problem = "there are no pages to look claims up in: the file names pages and does not hold them"
        raise UserError(problem, where="fever", remedy="name recorded ones: --fever-source replay:FILE#wikipedia")
    return Set(name, questions, questions, [addresses.open(fever_source)])


# ── HotpotQA, MedMCQA ───────────────────────────────────────────────────────────────────────────────────────────────


def hotpotqa(questions: Sequence[Question], rows: Sequence[dict[str, Any]]) -> Set:
    """Titles tell which paragraphs were added, so none is shown (`Dataset` sees to it, and here they are dropped)."""
    plain = [replace(q, meta={k: v for k, v in q.meta.items() if k != "titles"}) for q in questions]
    gold = [tuple(p["text"] for p in row["paragraphs"] if p["kind"] == "gold") for row in rows]
    oracle = [replace(q, context=context) for q, context in zip(plain, gold, strict=True)]
    return Set("hotpotqa", plain, oracle, [Dataset()])


def medmcqa(questions: Sequence[Question], rows: Sequence[dict[str, Any]], data: Path, work: Path) -> Set:
    """Explanations of the questions that are asked, under any id, are not among those that are looked up."""
    asked = {answer_form(q.text) for q in questions}
    everyone = {answer_form(q.text) for q in question_file.read(data / FILES["medmcqa"])}
    folder = work / "explanations"
    if not (folder / "index.json").exists():
        with gzip.open(data / EXPLANATIONS, "rt", encoding="utf-8") as lines:
            others = [json.loads(line) for line in lines]
        kept = [o for o in others if o["explanation"] and answer_form(o["question"]) not in asked | everyone]
        pages = [Document(About(o["id"], o["topic"] or o["subject"]), (Passage(o["explanation"]),)) for o in kept]
        with Writer(folder) as writer:
            writer.add(Origin("explanations", fingerprint([o["id"] for o in kept])), pages)
    own = [(row["explanation"],) if row["explanation"] else () for row in rows]
    oracle = [replace(q, context=context) for q, context in zip(questions, own, strict=True)]
    return Set("medmcqa", list(questions), oracle, [Passages(folder, name="explanations of other questions")])


# ── FeTaQA ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def fetaqa(questions: Sequence[Question], rows: Sequence[dict[str, Any]], work: Path) -> Set:
    """All tables in one database; a question is told of its own. Marks of the cells that answer it reach no method."""
    plain = [replace(q, meta={"answer": "sentence"}) for q in questions]
    file = work / f"tables-{fingerprint([q.id for q in questions])}.sqlite"
    about = {q.id: f"{row['page_title']}, {row['section_title']}" for q, row in zip(questions, rows, strict=True)}
    if not file.exists():
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        with sqlite3.connect(part) as database:
            for question, row in zip(questions, rows, strict=True):
                write_table(database, table_name(question), row["table"])
        database.close()
        part.rename(file)
    oracle = [replace(q, context=(cells(row),)) for q, row in zip(plain, rows, strict=True)]
    return Set("fetaqa", plain, oracle, [OwnTables(file, about)], shown=True)


def table_name(question: Question) -> str:
    """A table's name in the database."""
    return "table_" + re.sub(r"\W", "_", question.id)


def write_table(database: sqlite3.Connection, name: str, table: Sequence[Sequence[str]]) -> None:
    """A table whose first row is its header; columns without a name, or with one that was there, get a number."""
    names: list[str] = []
    for number, cell in enumerate(table[0], 1):
        plain = " ".join(cell.replace('"', "").split()) or f"column {number}"
        names.append(plain if plain.lower() not in {n.lower() for n in names} else f"{plain} {number}")
    columns = ", ".join(f'"{column}" TEXT' for column in names)
    database.execute(f'CREATE TABLE "{name}" ({columns})')
    marks = ", ".join("?" * len(names))
    database.executemany(f'INSERT INTO "{name}" VALUES ({marks})', [list(row) for row in table[1:]])


def cells(row: dict[str, Any]) -> str:
    """The cells that the answer uses, with their headings."""
    table = row["table"]
    told = [
        f"{table[0][column]}: {table[line][column]}" if line else table[0][column]
        for line, column in row["highlighted_cells"]
        if line < len(table) and column < len(table[line])
    ]
    return f"{row['page_title']} | {row['section_title']} | " + "; ".join(told)


@dataclass(eq=False)
class OwnTables:
    """One table for each question, all in one database: `about` a question, only its own is told of."""

    file: Path
    """The database."""
    titles: dict[str, str]
    """What a question's table is about, by the question's id."""
    name: str = "table"
    language: Literal["text", "sparql", "sql"] = "sql"

    def __post_init__(self) -> None:
        self.tables = TableFiles(self.file, name=self.name)
        self.identity = self.tables.identity

    def describe(self) -> Schema:
        """Nothing without a question."""
        return Schema("Tables that belong to questions.")

    def about(self, question: Question) -> Source:
        """The table of one question."""
        return OwnTable(self, table_name(question), self.titles.get(question.id, ""))

    async def look_up(self, query: str, limit: int) -> Result:
        """Raises UserError: a table belongs to a question."""
        raise UserError("has tables of questions only", where=self.name, remedy="ask about(question) first")

    async def close(self) -> None:
        """End the database's processes."""
        await self.tables.close()


@dataclass(eq=False)
class OwnTable:
    """One question's table. Its columns and first rows are told, as of any table."""

    of: OwnTables
    table: str
    title: str

    def __post_init__(self) -> None:
        self.name, self.language, self.identity = self.of.name, self.of.language, f"{self.of.identity}/{self.table}"
        self._told: Schema | None = None

    def describe(self) -> Schema:
        """The table, its columns, and what its first rows hold."""
        if self._told is None:
            self._told = finished(self._described)
        return self._told

    async def _described(self) -> Schema:
        first = await self.of.tables.look_up(f'SELECT * FROM "{self.table}"', 3)
        rows = " / ".join(finding.text for finding in first.findings)
        return Schema(f"A SQLite database. {self.title}", {self.table: f"such as {rows}"})

    def about(self, question: Question) -> Source:
        """Itself."""
        return self

    async def look_up(self, query: str, limit: int) -> Result:
        """Rows of a query."""
        return await self.of.tables.look_up(query, limit)


def close(sources: Sequence[Source]) -> None:
    """Close what is open."""
    asyncio.run(addresses.close(sources))
