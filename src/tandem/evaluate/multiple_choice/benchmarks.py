"""The base-model benchmarks: for each, how a row becomes a prompt with choices, and which scores are usual.

Prompts and scores are those of lm-evaluation-harness 0.4.13, so that figures can be laid beside others'; `version` is
its number for the task. Rows have the fields of the benchmark's own files or of its usual data set on the hub. No text
of a benchmark stands here: also TruthfulQA's preamble is data.

What this does not do: read files (`data`), choose examples (`shots`), score (`scoring`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from tandem.evaluate.multiple_choice.item import Item, plain
from tandem.evaluate.multiple_choice.subjects import SUBJECTS
from tandem.evaluate.row import Row

HARNESS = "lm-evaluation-harness 0.4.13"
"""Whose prompts and scores these are."""
LETTERS = "ABCDEFGHIJ"


def mmlu(row: Row) -> Item:
    """Lettered lines under a header that names the subject; the letters are the choices."""
    subject, question, options = row.text("subject"), row.text("question").strip(), row.texts("choices")
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    stem, gold = f"{question}\n{lines}\nAnswer:", row.index(len(options), "answer")
    item = plain(f"{subject}/{row.number}", stem, tuple(LETTERS[: len(options)]), gold, question, subject)
    lead = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
    return replace(item, lead=lead, answer=options[gold])


def arc(row: Row) -> Item:
    """The question, then each choice's text."""
    question, options = row.text("question"), row.texts("choices")
    gold = row.key("choices", "answer", "answerKey")
    return plain(_id(row), f"Question: {question}\nAnswer:", options, gold, question)


def hellaswag(row: Row) -> Item:
    """Activity and context, then each ending; marks of the how-to texts are taken out.

    A file that has only the two contexts joined into `ctx` is read, too; its second context keeps its small letter.
    """
    before = row.text("ctx_a") + " " + row.text("ctx_b").capitalize() if row.has("ctx_a") else row.text("ctx")
    endings = row.texts("endings")
    stem = _tidy(f"{row.text('activity_label')}: {before}")
    cleaned = row.choices("endings", tuple(_tidy(ending) for ending in endings))
    return plain(_id(row), stem, cleaned, row.index(len(endings), "label", "answer"), before)


def winogrande(row: Row) -> Item:
    """The sentence up to the blank with each option put in; what follows is scored (partial scoring)."""
    sentence, options = row.text("sentence"), (row.text("option1"), row.text("option2"))
    before, blank, after = sentence.partition("_")
    if not blank or not after.strip():
        raise row.error("the sentence has no blank “_” with a text after it")
    row.choices("option1, option2", options)
    stems = tuple(before + option for option in options)
    return Item(_id(row), stems, (after.strip(),) * 2, (row.index(2, "answer", first=1),), sentence)


def truthfulqa_mc1(row: Row) -> Item:
    """Question and answer cue behind the preamble; one of the answers is true."""
    return _truthfulqa(row, "mc1")


def truthfulqa_mc2(row: Row) -> Item:
    """The same with several true answers; the score is their share of the probability."""
    return _truthfulqa(row, "mc2")


def boolq(row: Row) -> Item:
    """Title and passage, the question, then no or yes."""
    passage = f"{row.text('title')} -- {row.text('passage')}" if row.has("title") else row.text("passage")
    question = row.text("question")
    name, answer = row.field("answer", "label")
    gold = int(answer) if isinstance(answer, bool) else row.index(2, name)
    return plain(_id(row), f"{passage}\nQuestion: {question}?\nAnswer:", ("no", "yes"), gold, question)


def piqa(row: Row) -> Item:
    """A goal, then each of two ways to reach it."""
    goal = row.text("goal")
    options = row.texts("choices") if row.has("choices") else (row.text("sol1"), row.text("sol2"))
    gold = row.index(len(row.choices("sol1, sol2", options)), "answer", "label")
    return plain(_id(row), f"Question: {goal}\nAnswer:", options, gold, goal)


def openbookqa(row: Row) -> Item:
    """The stem as it is, then each choice."""
    question = row.text("question_stem", "question")
    gold = row.key("choices", "answer", "answerKey")
    return plain(_id(row), question, row.texts("choices"), gold, question)


def medmcqa(row: Row) -> Item:
    """Lettered lines; the letters are the choices."""
    question = row.text("question")
    own = tuple(row.text(name) for name in ("opa", "opb", "opc", "opd")) if row.has("opa") else ()
    options = row.choices("opa … opd", own) if own else row.texts("choices")
    gold = row.index(len(options), *(("cop",) if own else ("answer",)))
    lines = "".join(f"{letter}. {option}\n" for letter, option in zip(LETTERS, options, strict=False))
    stem = f"Question: {question}\nChoices:\n{lines}Answer:"
    item = plain(_id(row), stem, tuple(LETTERS[: len(options)]), gold, question)
    return replace(item, answer=options[gold])


def _truthfulqa(row: Row, name: str) -> Item:
    question = row.text("question")
    found, part = row.field(name, f"{name}_targets")
    if not isinstance(part, dict) or not {"choices", "labels"} <= part.keys():
        raise row.error(f"{found} is {part!r:.60}, not an object with choices and labels")
    options = row.choices(f"{found}.choices", part["choices"])
    right = row.flags(f"{found}.labels", part["labels"], len(options))
    if not right or (name == "mc1" and len(right) > 1):
        raise row.error(f"{found}.labels marks {len(right)} answers as true")
    return Item(_id(row), (f"Q: {question}\nA:",) * len(options), options, right, question)


def _tidy(text: str) -> str:
    """Without the marks of the how-to texts, double spaces made single once."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _id(row: Row) -> str:
    """The row's own id, else its number from 0."""
    own = row.fields.get("id")
    return str(own) if isinstance(own, str | int) and not isinstance(own, bool) else str(row.number)


# ── The table ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Hub:
    """Where a benchmark's usual data set lies on the hub."""

    repository: str
    """Owner and name."""
    config: str
    """Name of its configuration."""
    items: str
    """Split with the items."""
    examples: str | None
    """Split with the examples."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: its prompts, scores, files."""

    name: str
    """The name of the task."""
    version: str
    """The harness's version number of the task."""
    read: Callable[[Row], Item]
    """A row as an item. Raises UserError on a row that is none."""
    metrics: tuple[str, ...]
    """Scores that are reported."""
    items: str
    """Name of the file of items, endings aside."""
    examples: str | None
    """Name of the file that few-shot examples come from; None: it has none but its preamble."""
    form: str
    """The fields of a row."""
    hub: Hub
    """The data set on the hub."""
    first: bool = False
    """Whether the examples are the first of the file; otherwise they are drawn for each item."""
    spare: bool = False
    """Whether one example more is drawn, for the case that the item itself is among them."""
    preamble: str | None = None
    """Name of a text file that stands before every item."""


_ALL = ("acc", "acc_norm", "acc_bytes")
_CHOICES = "a row has question, choices (a list of texts) and answer (index from 0)"
_KEYED = f"{_CHOICES}; or, as on the hub, choices with text and label, and answerKey"
_TRUTH = "a row has question, mc1 and mc2, each with choices and labels (1 for a true answer)"

_TABLE = (
    Benchmark(
        "mmlu",
        "1.0",
        mmlu,
        ("acc",),
        "mmlu_test",
        "mmlu_dev",
        "a row has subject, question, choices (a list of texts) and answer (index from 0)",
        Hub("cais/mmlu", "all", "test", "dev"),
        first=True,
    ),
    Benchmark(
        "arc_challenge",
        "1.0",
        arc,
        _ALL,
        "arc_challenge_test",
        "arc_challenge_train",
        _KEYED,
        Hub("allenai/ai2_arc", "ARC-Challenge", "test", "train"),
    ),
    Benchmark(
        "arc_easy",
        "1.0",
        arc,
        _ALL,
        "arc_easy_test",
        "arc_easy_train",
        _KEYED,
        Hub("allenai/ai2_arc", "ARC-Easy", "test", "train"),
    ),
    Benchmark(
        "hellaswag",
        "1.0",
        hellaswag,
        _ALL,
        "hellaswag_val",
        "hellaswag_train",
        "a row has activity_label, ctx_a and ctx_b (or both in ctx), endings and label (index from 0)",
        Hub("Rowan/hellaswag", "default", "validation", "train"),
        spare=True,
    ),
    Benchmark(
        "winogrande",
        "1.0",
        winogrande,
        ("acc",),
        "winogrande_dev",
        "winogrande_train",
        "a row has sentence (with a blank “_”), option1, option2 and answer (1 or 2)",
        Hub("allenai/winogrande", "winogrande_xl", "validation", "train"),
        spare=True,
    ),
    Benchmark(
        "truthfulqa_mc1",
        "2.0",
        truthfulqa_mc1,
        ("acc",),
        "truthfulqa_mc",
        None,
        _TRUTH,
        Hub("truthfulqa/truthful_qa", "multiple_choice", "validation", None),
        preamble="truthfulqa_preamble",
    ),
    Benchmark(
        "truthfulqa_mc2",
        "3.0",
        truthfulqa_mc2,
        ("mass",),
        "truthfulqa_mc",
        None,
        _TRUTH,
        Hub("truthfulqa/truthful_qa", "multiple_choice", "validation", None),
        preamble="truthfulqa_preamble",
    ),
    Benchmark(
        "boolq",
        "2.0",
        boolq,
        ("acc",),
        "boolq_dev",
        "boolq_train",
        "a row has passage (and title, where that does not stand in it), question and answer (true or false)",
        Hub("aps/super_glue", "boolq", "validation", "train"),
        spare=True,
    ),
    Benchmark(
        "piqa",
        "1.0",
        piqa,
        _ALL,
        "piqa_valid",
        "piqa_train",
        "a row has goal, choices (or sol1 and sol2) and answer (or label; index from 0)",
        Hub("baber/piqa", "default", "validation", "train"),
        spare=True,
    ),
    Benchmark(
        "openbookqa",
        "1.0",
        openbookqa,
        _ALL,
        "openbookqa_test",
        "openbookqa_train",
        _KEYED,
        Hub("allenai/openbookqa", "main", "test", "train"),
    ),
    Benchmark(
        "medmcqa",
        "0.4.13",
        medmcqa,
        ("acc", "acc_norm"),
        "medmcqa_dev",
        "medmcqa_train",
        f"{_CHOICES}; or, as on the hub, opa, opb, opc, opd and cop, counted from 0 (the original file counts from 1)",
        Hub("openlifescienceai/medmcqa", "default", "validation", "train"),
    ),
)

BENCHMARKS = {benchmark.name: benchmark for benchmark in _TABLE}
"""The benchmarks by name."""
NAMES = tuple(BENCHMARKS)
"""Tasks that can be asked for; `mmlu_SUBJECT` for each of MMLU's subjects, too."""


def subject_of(name: str) -> str | None:
    """The subject in `mmlu_SUBJECT`; None where the name is not of that form."""
    subject = name.removeprefix("mmlu_")
    return subject if subject != name and subject in SUBJECTS else None
