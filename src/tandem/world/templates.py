"""How facts are worded: statements, questions and noun phrases for every relation.

`{s}` is the subject, `{o}` the object, `{since}` and `{until}` the years. Each relation has statements that texts to
train on may use, and *held-out* statements and questions that appear in evaluation only; the longest literal piece of a
held-out wording occurs in no other wording, so that a search for it proves the rule. Facts that have ended are worded
in the past; a passage that has not noticed words them as if they held (a *stale* mention).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Wording:
    """All wordings of one relation."""

    statements: tuple[str, ...]
    """Sentences for a fact that holds; the last one ends with the object and is the plain one."""
    held_out: tuple[str, ...]
    """Sentences never used in texts to train on; the last one ends with the object."""
    questions: tuple[str, ...]
    """Questions for the object."""
    held_out_questions: tuple[str, ...]
    """Questions never used in texts to train on."""
    phrase: str
    """A noun phrase for the object, to ask further about it."""
    past: tuple[str, ...] = ()
    """Sentences for a fact that has ended."""
    held_out_past: tuple[str, ...] = ()
    """Such sentences never used in texts to train on."""

    @cached_property
    def plain(self) -> str:
        """The statement used for evidence and reasoning chains."""
        return self.statements[-1]


def literal(template: str) -> str:
    """The longest piece of a wording between its placeholders."""
    return max(re.split(r"\{\w+\}", template), key=len).strip(" .?,")


def sentence(template: str, **parts: str) -> str:
    """A wording filled in, beginning with a capital."""
    text = template.format(**parts)
    return text[0].upper() + text[1:]


WORDINGS: dict[str, Wording] = {
    "born_in": Wording(
        ("{s} was born in {o}.", "{o} is the birthplace of {s}.", "{s} is a native of {o}.",
         "The birthplace of {s} is {o}."),
        ("{o} is the town where the life of {s} began.", "{s} first saw the light of day in {o}."),
        ("Where was {s} born?", "In which town was {s} born?", "What is the birthplace of {s}?"),
        ("Which town saw the birth of {s}?",),
        "the birthplace of {s}",
    ),
    "born_year": Wording(
        ("{s} was born in the year {o}.", "The year {o} saw the birth of {s}.", "The birth of {s} was in {o}.",
         "The birth year of {s} is {o}."),
        ("In {o}, little {s} was brought into the world.", "The life of {s} goes back to the year {o}."),
        ("When was {s} born?", "In which year was {s} born?", "What is the birth year of {s}?"),
        ("How far back does the life of {s} go?",),
        "the birth year of {s}",
    ),
    "occupation": Wording(
        ("{s} trained as a {o}.", "{s} became a {o}.", "{s} is a {o} by trade.", "The occupation of {s} is {o}."),
        ("{s} took up the craft of a {o}.", "As for a profession, {s} chose to become a {o}."),
        ("What is the occupation of {s}?", "What did {s} train as?", "What is {s} by trade?"),
        ("Which profession did {s} choose?",),
        "the occupation of {s}",
    ),
    "died_year": Wording(
        ("{s} died in {o}.", "{o} is the year in which {s} died.", "The death of {s} was in {o}.",
         "The death year of {s} is {o}."),
        ("{s} passed away in {o}.", "They buried {s} in {o}."),
        ("When did {s} die?", "In which year did {s} die?", "What is the death year of {s}?"),
        ("Which year did {s} not survive?",),
        "the death year of {s}",
    ),
    "lives_in": Wording(
        ("{s} lives in {o}.", "{o} is the home of {s}.", "{s} has lived in {o} since {since}.",
         "The home of {s} is {o}."),
        ("The house of {s} stands in the town of {o}.", "These days {s} resides in {o}."),
        ("Where does {s} live?", "In which town does {s} live now?", "What is the home of {s}?"),
        ("Where could one visit {s} at home?",),
        "the home of {s}",
        ("{s} lived in {o} from {since} until {until}.", "From {since} until {until}, {s} lived in {o}.",
         "Until {until}, the home of {s} was {o}."),
        ("In the years {since} to {until}, {s} resided at {o}.",),
    ),
    "works_for": Wording(
        ("{s} works for {o}.", "{o} employs {s}.", "{s} has worked for {o} since {since}.",
         "The employer of {s} is {o}."),
        ("{s} is on the staff of {o}.", "{s} draws a salary from {o}."),
        ("Who employs {s}?", "Which organisation does {s} work for?", "Who is the employer of {s}?"),
        ("Who pays the salary of {s}?",),
        "the employer of {s}",
        ("{s} worked for {o} from {since} until {until}.", "From {since} until {until}, {s} worked for {o}.",
         "Until {until}, the employer of {s} was {o}."),
        ("Back in {since}, and up to {until}, {s} had a desk at {o}.",),
    ),
    "married_to": Wording(
        ("{s} is married to {o}.", "{o} married {s} in {since}.", "{s} has been married to {o} since {since}.",
         "The spouse of {s} is {o}."),
        ("{s} and {o} are a couple.", "At the altar, {s} said yes to {o}."),
        ("Who is {s} married to?", "Who married {s}?", "Who is the spouse of {s}?"),
        ("With whom does {s} form a couple?",),
        "the spouse of {s}",
        ("{s} was married to {o} from {since} until {until}.", "From {since} until {until}, {s} was married to {o}.",
         "Until {until}, the spouse of {s} was {o}."),
        ("{s} shared the years {since} to {until} with {o}.",),
    ),
    "studied_at": Wording(
        ("{s} studied at {o}.", "{o} taught {s}.", "{s} was a student at {o}.", "The school of {s} was {o}."),
        ("{s} holds a degree granted by {o}.", "{s} sat through the lectures of {o}."),
        ("Where did {s} study?", "Which school taught {s}?", "What was the school of {s}?"),
        ("Which school granted {s} a degree?",),
        "the school of {s}",
    ),
    "lies_in": Wording(
        ("{s} lies in {o}.", "{s} is a town in {o}.", "{s} belongs to {o}.", "The country of {s} is {o}."),
        ("One of the towns on the map of {o} is {s}.", "To reach {s}, travel to {o}."),
        ("In which country does {s} lie?", "Which country does {s} belong to?", "What is the country of {s}?"),
        ("On the map of which country is {s} found?",),
        "the country of {s}",
    ),
    "settled_year": Wording(
        ("{s} was settled in {o}.", "People settled {s} in {o}.", "{s} has been settled since {o}.",
         "The first houses of {s} date from {o}."),
        ("{s} did not exist before {o}.", "The oldest stones of {s} were laid in {o}."),
        ("When was {s} settled?", "In which year did people settle {s}?",
         "From which year do the first houses of {s} date?"),
        ("How old are the oldest stones of {s}?",),
        "the year of settlement of {s}",
    ),
    "capital": Wording(
        ("{o} is the capital of {s}.", "{s} has its capital at {o}.", "{s} is governed from {o}.",
         "The capital of {s} is {o}."),
        ("{o} houses the parliament of {s}.", "The rulers of {s} sit in {o}."),
        ("What is the capital of {s}?", "Which town is the capital of {s}?", "From which town is {s} governed?"),
        ("Where do the rulers of {s} sit?",),
        "the capital of {s}",
    ),
    "founded_by": Wording(
        ("{o} founded {s}.", "{s} was founded by {o}.", "{s} goes back to its founder {o}.",
         "The founder of {s} is {o}."),
        ("{o} called {s} into being.", "{s} owes its existence to {o}."),
        ("Who founded {s}?", "By whom was {s} founded?", "Who is the founder of {s}?"),
        ("To whom does {s} owe its existence?",),
        "the founder of {s}",
    ),
    "founded_year": Wording(
        ("{s} was founded in {o}.", "{s} has existed since {o}.", "{o} is the year in which {s} was founded.",
         "The founding year of {s} is {o}."),
        ("{s} opened its doors in {o}.", "The story of {s} starts in {o}."),
        ("When was {s} founded?", "In which year was {s} founded?", "What is the founding year of {s}?"),
        ("When did {s} open its doors?",),
        "the founding year of {s}",
    ),
    "seat": Wording(
        ("{s} is based in {o}.", "{o} is the seat of {s}.", "{s} has its seat in {o}.", "The seat of {s} is {o}."),
        ("The main building of {s} rises above {o}.", "Letters to {s} go to an address in {o}."),
        ("Where is {s} based?", "In which town is {s} based?", "What is the seat of {s}?"),
        ("To which town do letters to {s} go?",),
        "the seat of {s}",
    ),
    "headed_by": Wording(
        ("{o} heads {s}.", "{s} is headed by {o}.", "{o} has headed {s} since {since}.", "The head of {s} is {o}."),
        ("{o} runs the affairs of {s}.", "All orders at {s} come from {o}."),
        ("Who heads {s}?", "By whom is {s} headed?", "Who is the head of {s}?"),
        ("From whom do orders at {s} come?",),
        "the head of {s}",
        ("{o} headed {s} from {since} until {until}.", "From {since} until {until}, {s} was headed by {o}.",
         "Until {until}, the head of {s} was {o}."),
        ("All orders of {since} to {until} at {s} bear the name of {o}.",),
    ),
    "written_by": Wording(
        ("{o} wrote {s}.", "{s} was written by {o}.", "{s} is by {o}.", "The author of {s} is {o}."),
        ("{s} came from the pen of {o}.", "{s} is the creation of {o}."),
        ("Who wrote {s}?", "By whom was {s} written?", "Who is the author of {s}?"),
        ("From whose pen did {s} come?",),
        "the author of {s}",
    ),
    "published_year": Wording(
        ("{s} was published in {o}.", "{s} came out in {o}.", "{o} is the year in which {s} was published.",
         "The publication year of {s} is {o}."),
        ("Readers first met {s} in {o}.", "{s} reached the public in {o}."),
        ("When was {s} published?", "In which year did {s} come out?", "What is the publication year of {s}?"),
        ("When did readers first meet {s}?",),
        "the publication year of {s}",
    ),
    "genre": Wording(
        ("{s} is a {o}.", "{s} is known as a {o}.", "{s} counts as a {o}.", "The genre of {s} is {o}."),
        ("Libraries file {s} under {o}.", "Critics classify {s} as a {o}."),
        ("What is the genre of {s}?", "What kind of work is {s}?", "Which genre does {s} have?"),
        ("How do critics classify {s}?",),
        "the genre of {s}",
    ),
    "set_in": Wording(
        ("{s} is set in {o}.", "{s} takes place in {o}.", "{o} is the scene of {s}.", "The scene of {s} is {o}."),
        ("{s} unfolds in the streets of {o}.", "Every page of {s} describes {o}."),
        ("Where is {s} set?", "In which town does {s} take place?", "What is the scene of {s}?"),
        ("In whose streets does {s} unfold?",),
        "the scene of {s}",
    ),
}  # fmt: skip
"""Wordings by relation."""


def statements(relation: str, *, ended: bool, held_out: bool) -> tuple[str, ...]:
    """The statements that fit: of a fact that holds or has ended, for training or held out."""
    w = WORDINGS[relation]
    if ended:
        return w.held_out_past if held_out else w.past
    return w.held_out if held_out else w.statements
