"""How needs for a query are worded: groups of things, counting, first and last, before and after, in a year.

Every wording has an identifier (`count/born_in/2`), so that wordings can be held out; the last one of each list is held
out, as are the held-out wordings of `templates`. `{s}` is the thing or word asked about, `{group}` a phrase of this
module, `{does}` what the year is of, `{year}` a year.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.world.templates import WORDINGS


@dataclass(frozen=True)
class Worded:
    """A wording with its identifier."""

    id: str
    """Shape, relation where it has one of its own, number."""
    text: str
    """The template."""
    held_out: bool
    """Whether it may stand in evaluation only."""


GROUPS: dict[str, tuple[str, ...]] = {
    "born_in": ("people born in {s}", "people whose birthplace is {s}", "natives of {s}"),
    "occupation": ("people who work as a {s}", "people whose occupation is {s}", "people with the craft of a {s}"),
    "lives_in": ("people who live in {s}", "people whose home is {s}", "inhabitants of {s}"),
    "works_for": ("people who work for {s}", "people whose employer is {s}", "staff of {s}"),
    "studied_at": ("people who studied at {s}", "people whose school was {s}", "people with a degree of {s}"),
    "lies_in": ("towns in {s}", "towns whose country is {s}", "towns on the map of {s}"),
    "founded_by": ("organisations founded by {s}", "organisations whose founder is {s}",
                   "organisations that {s} called into being"),
    "seat": ("organisations based in {s}", "organisations whose seat is {s}",
             "organisations with an address in {s}"),
    "headed_by": ("organisations headed by {s}", "organisations whose head is {s}",
                  "organisations under the orders of {s}"),
    "written_by": ("works written by {s}", "works whose author is {s}", "works from the pen of {s}"),
    "genre": ("works of the genre {s}", "works whose genre is {s}", "works filed under {s}"),
    "set_in": ("works set in {s}", "works whose scene is {s}", "works that unfold in {s}"),
}  # fmt: skip
"""Phrases for all subjects of a relation that have one object."""
COUNT = ("How many {group} are there?", "What is the number of {group}?", "Count the {group}.")
FIRST = (
    "Which of the {group} {does} first?",
    "Among the {group}, which one {does} first?",
    "Name the earliest of the {group}: the one that {does} before the others.",
)
LAST = (
    "Which of the {group} {does} last?",
    "Among the {group}, which one {does} last?",
    "Name the latest of the {group}: the one that {does} after the others.",
)
AFTER = ("Which {group} {do} after {year}?", "Of the {group}, which ones {do} after {year}?",
         "List those of the {group} that {do} later than {year}.")  # fmt: skip
BEFORE = ("Which {group} {do} before {year}?", "Of the {group}, which ones {do} before {year}?",
          "List those of the {group} that {do} earlier than {year}.")  # fmt: skip
DOES: dict[str, tuple[str, str]] = {
    "born_year": ("was born", "were born"),
    "died_year": ("died", "died"),
    "settled_year": ("was settled", "were settled"),
    "founded_year": ("was founded", "were founded"),
    "published_year": ("was published", "were published"),
}
"""What happened in the year of a relation: of one, of many."""
DATED: dict[str, tuple[str, ...]] = {
    "lives_in": ("Where did {s} live in {year}?", "In {year}, what was the home of {s}?",
                 "Which town did {s} call home in {year}?"),
    "works_for": ("Who employed {s} in {year}?", "In {year}, who was the employer of {s}?",
                  "From whom did {s} draw a salary in {year}?"),
    "married_to": ("Who was {s} married to in {year}?", "In {year}, who was the spouse of {s}?",
                   "With whom did {s} form a couple in {year}?"),
    "headed_by": ("Who headed {s} in {year}?", "In {year}, who was the head of {s}?",
                  "Who ran the affairs of {s} in {year}?"),
}  # fmt: skip
"""Questions for what held in a year."""


def lookups(relation: str) -> list[Worded]:
    """Questions for a relation's object."""
    w = WORDINGS[relation]
    return _listed(f"question/{relation}", w.questions, w.held_out_questions)


def steps(relation: str) -> list[Worded]:
    """Statements, as a step of a reasoning chain makes them; none tells a year besides its object."""
    w = WORDINGS[relation]
    kept = [[t for t in wordings if "{since}" not in t] for wordings in (w.statements, w.held_out)]
    return _listed(f"step/{relation}", *kept)


def dated(relation: str) -> list[Worded]:
    """Questions for what held in a year."""
    return _listed(f"dated/{relation}", DATED[relation][:-1], DATED[relation][-1:])


def grouped(shape: str, relation: str, of: tuple[str, ...]) -> list[Worded]:
    """Questions about a group: each frame with each phrase, both usual or both held out; a count, for example."""
    phrases = GROUPS[relation]

    def filled(frames: tuple[str, ...], groups: tuple[str, ...]) -> list[str]:
        return [frame.replace("{group}", group) for frame in frames for group in groups]

    return _listed(f"{shape}/{relation}", filled(of[:-1], phrases[:-1]), filled(of[-1:], phrases[-1:]))


def _listed(id_: str, usual: tuple[str, ...] | list[str], held_out: tuple[str, ...] | list[str]) -> list[Worded]:
    texts = [(text, False) for text in usual] + [(text, True) for text in held_out]
    return [Worded(f"{id_}/{number}", text, held) for number, (text, held) in enumerate(texts)]
