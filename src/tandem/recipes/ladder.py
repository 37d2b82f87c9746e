"""What the stage of answers found out, as it is told: one worked edit, the ladder from chance to oracle, what became of
everything.

Reads what the stage left and nothing else. The published figures stand beside as another experiment's: another model,
other questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tandem.evaluate.perplexity import figure
from tandem.recipes import published
from tandem.recipes.answers import COT_SC, DOCUMENTS, METHODS, ORACLE, STANDARD
from tandem.recipes.place import Place
from tandem.results import Cell, Edit, Figure, Item, Section, Table, from_json
from tandem.stats import Interval
from tandem.text import quantity

PUBLISHED: Mapping[str, tuple[str, str]] = {
    STANDARD: ("Standard", "-"),
    COT_SC: ("CoT-SC", "-"),
    DOCUMENTS: ("CoT-SC + VE", "DRQA"),
    ORACLE: ("CoT-SC + VE", "Dataset"),
}
"""The row of the published table that each method stands beside."""


def headline(measured: Mapping[str, Any] | None) -> list[Figure]:
    """The figure of looking things up, for the top of the report; none where nothing was asked."""
    if not _asked(measured):
        return []
    assert measured is not None
    return [_right(measured, DOCUMENTS, DOCUMENTS)]


def lead(measured: Mapping[str, Any] | None) -> str:
    """A sentence for the top of the report; empty where nothing was asked."""
    if not _asked(measured):
        return ""
    assert measured is not None
    value = {name: measured["methods"][name]["right"]["value"] for name in METHODS}
    size = f"of {quantity(measured['model'])} parameters " if measured["model"] else ""
    return (
        f"A model {size}that answers {measured['questions']} questions about made-up facts from memory has "
        f"{value[COT_SC]:.0%} right; where its chains disagree and each step is checked in documents, "
        f"{value[DOCUMENTS]:.0%}."
    )


def sections(place: Place, measured: Mapping[str, Any] | None) -> list[Section]:
    """The chapters about looking things up; one that says why there are none, where nothing was asked."""
    if measured is None:
        return []
    if not _asked(measured):
        stage = place.folder("answers")
        remedy = f"Once it is there, remove the folder {stage.name} of the run and run the recipe again."
        table = Table("Left out", ("", ""), (("why", measured["left out"]), ("later", remedy)))
        return [Section("answers", "Looking things up", "", (table,))]
    edits: tuple[Edit, ...] = from_json(measured["edits"])
    mended = [edit for edit in edits if edit.correct[1:] == (True,)]
    others = [edit for edit in edits if edit not in mended]
    found = []
    if mended:
        text = (
            "The model knows nothing of a made-up world, so its chains disagree. What it wrote is checked and edited."
        )
        found.append(Section("edit", "One edit, step by step", text, tuple(mended)))
    lead = f"The same {measured['questions']} questions, the same model, the same chains: from memory, and looked up."
    items: tuple[Item, ...] = (_ladder(measured), _paired(measured["comparisons"]), _became(measured), *others)
    return [*found, Section("ladder", "What looking things up is worth", lead, items)]


def _asked(measured: Mapping[str, Any] | None) -> bool:
    return measured is not None and "methods" in measured


def _right(measured: Mapping[str, Any], method: str, name: str = "exact match") -> Figure:
    interval = Interval.from_json(measured["methods"][method]["right"])
    return figure(name, interval, "%", measured["chance"], "exact match; chance is an answer of the kind asked for")


def _ladder(measured: Mapping[str, Any]) -> Table:
    theirs = published.table("verify-and-edit")
    chance = Figure("chance", measured["chance"], "%", note="an object drawn from the asked relation's facts")
    rows: list[tuple[Cell, ...]] = [("chance", chance, None, None)]
    for name in METHODS:
        editing = measured["methods"][name]["editing"]
        changed = f"{editing['fixed']} / {editing['broken']}" if editing["looked at again"] else None
        beside = theirs.value(PUBLISHED[name], "EM (%)")
        rows.append((name, _right(measured, name), changed, f"{beside} %"))
    columns = ("method", "exact match", "fixed / broken", "published")
    note = (
        "95 % Wilson intervals. Verify-and-Edit looks steps up in the world's documents; its oracle in the question's "
        "own evidence, as a search that never errs would. Fixed: wrong before, right after; broken: the reverse. "
        f"Published: {theirs.title}, with text-davinci-003, other questions."
    )
    return Table("From chance to oracle", columns, tuple(rows), note)


def _paired(pairs: Sequence[Mapping[str, Any]]) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            f"{pair['system']} against {pair['other']}",
            figure("difference", Interval.from_json(pair["difference"]), "%"),
            f"{pair['only_system']} : {pair['only_other']}",
            f"{pair['p']:.2g}",
        )
        for pair in pairs
    )
    note = "The same questions: paired bootstrap; exact McNemar test, two-sided."
    return Table("Is the difference real?", ("", "difference", "only one right", "p"), rows, note)


def _became(measured: Mapping[str, Any]) -> Table:
    """Where answers are lost: at the gate, in looking up, or in reading what was found."""
    rows: list[tuple[Cell, ...]] = []
    told = [measured["methods"][name] for name in (DOCUMENTS, ORACLE)]
    for what, key in (
        ("the chains disagree: looked up", "looked up"),
        ("… a passage that was found holds the answer", "answer found"),
        ("… and the new answer is right", "answer found, right"),
    ):
        rows.append((what, *(one[key] for one in told)))
    steps = dict.fromkeys(outcome for one in told for outcome in one["steps"])
    rows += [(f"steps: {outcome}", *(one["steps"].get(outcome, 0) for one in told)) for outcome in steps]
    if len(measured["hops"]) > 1:
        for hops in measured["hops"]:
            right = (one["right by hops"][hops] for one in told)
            rows.append((f"right, {hops} hop{'s' * (hops != '1')}", *(f"{some} of {n}" for some, n in right)))
    note = "A step is checked on its own: what a later step needs from an earlier one is not handed on."
    return Table("Where answers are lost", ("", DOCUMENTS, ORACLE), tuple(rows), note)
