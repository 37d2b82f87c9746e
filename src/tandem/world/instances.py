"""What each instruction task asks: how an instance is drawn from a world, and what its answer is.

Most answers come from short lists (kinds, topics, occupations, yes and no), because that is what a model of a few
million parameters can learn from some hundred examples. Copying a name it has hardly seen takes many times more text
and is asked by a task here and there (`extract_person`, `passive_voice`, `know_birthplace`). Asking mostly for names
was rejected: a model of 2 M parameters tuned on 500 K tokens answered a fifth, nearly all from short lists.

How tasks are worded is in `instructions`; items are made in `tasks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tandem.world.material import Instance, Material
from tandem.world.names import FAMILY_ENDINGS, TOWN_ENDINGS
from tandem.world.schema import GENRES, NUMBER, OCCUPATIONS, RELATIONS, Kind

NUMBERS = ("one", "two", "three", "four", "five")
"""Answers of `count_names`."""
PLACES = ("first", "second")
"""Answers of comparisons."""
TOPICS: dict[str, tuple[str, ...]] = {
    "birth": ("born_in", "born_year"),
    "death": ("died_year",),
    "marriage": ("married_to",),
    "work": ("works_for",),
    "home": ("lives_in",),
    "founding": ("founded_by", "founded_year"),
    "writing": ("written_by",),
}
"""Topics of sentences, and the relations each stands for."""
ANSWER_TYPES: dict[str, tuple[str, ...]] = {
    "person": ("written_by", "founded_by", "headed_by", "married_to"),
    "place": ("born_in", "lives_in", "seat", "set_in"),
    "organisation": ("works_for", "studied_at"),
    "year": ("born_year", "founded_year", "published_year", "died_year"),
}
"""What questions ask for, and the relations each stands for."""
NAME_KINDS: dict[str, tuple[Kind, ...]] = {
    "person": ("person",),
    "place": ("town", "town", "town", "country"),
    "organisation": ("school", "company"),
    "work": ("work",),
}
"""Labels of names, and the kinds each stands for; towns are many, countries few."""
YEARS = ("born_year", "died_year", "founded_year", "published_year")
"""Relations to years of the last century."""


Drawer: TypeAlias = Callable[[Material], Instance | None]


@dataclass(frozen=True)
class Task:
    """A task: its type, how an instance is drawn, and the closed list of its answers, if there is one."""

    name: str
    """Identifier."""
    type: str
    """Type of task."""
    draw: Drawer
    """An instance, or None when the draw did not work out."""
    options: tuple[str, ...] = ()
    """All possible answers, where the list is closed and short; each is given equally often."""


def _yes(right: bool) -> str:
    return "yes" if right else "no"


def _place(first: bool) -> str:
    return PLACES[0] if first else PLACES[1]


# ── Classification ──────────────────────────────────────────────────────────────────────────────────────────────────


def _kind_of_name(m: Material) -> Instance:
    label = m.draws.choose(tuple(NAME_KINDS))
    entity = m.entity(*NAME_KINDS[label])
    return Instance({"x": m.world.names[entity]}, label, entities=(entity,))


def _topic_of_sentence(m: Material) -> Instance | None:
    label = m.draws.choose(tuple(TOPICS))
    fact = m.fact(*TOPICS[label])
    return None if fact is None else Instance({"x": m.say(fact)}, label, (fact,))


def _answer_type(m: Material) -> Instance | None:
    label = m.draws.choose(tuple(ANSWER_TYPES))
    fact = m.fact(*ANSWER_TYPES[label])
    return None if fact is None else Instance({"x": m.ask(fact)}, label, (fact,))


def _present_or_past(m: Material) -> Instance | None:
    ended = m.draws.below(2) == 0
    fact = m.fact("lives_in", "works_for", "married_to", ended=ended)
    return None if fact is None else Instance({"x": m.say(fact)}, "past" if ended else "present", (fact,))


# ── Extraction ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _extract(*relations: str) -> Drawer:
    """Copy a fact's object out of its sentence."""

    def draw(m: Material) -> Instance | None:
        fact = m.fact(*relations)
        return None if fact is None else Instance({"x": m.say(fact)}, m.object(fact), (fact,))

    return draw


# ── Comparison ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _earlier_year(m: Material) -> Instance | None:
    one, other = m.fact(*YEARS), m.fact(*YEARS)
    if one is None or other is None or m.value(one) == m.value(other):
        return None
    return Instance({"a": m.object(one), "b": m.object(other)}, _place(m.value(one) < m.value(other)), (one, other))


def _born_first(m: Material) -> Instance | None:
    pair = m.two("born_year")
    return (
        None if pair is None else Instance({"x": m.say_both(*pair)}, _place(m.value(pair[0]) < m.value(pair[1])), pair)
    )


def _which_is_town(m: Material) -> Instance:
    names = m.world.names
    town, other = m.entity("town"), m.entity("person", "school", "company", "work")
    first = m.draws.below(2) == 0
    a, b = (town, other) if first else (other, town)
    return Instance({"a": names[a], "b": names[b]}, _place(first), entities=(a, b))


# ── Verification ────────────────────────────────────────────────────────────────────────────────────────────────────


def _is_person(m: Material) -> Instance:
    person = m.draws.below(2) == 0
    entity = m.entity(*(("person",) if person else ("town", "school", "company", "work")))
    return Instance({"x": m.world.names[entity]}, _yes(person), entities=(entity,))


def _tells_birth(m: Material) -> Instance | None:
    birth = m.draws.below(2) == 0
    topic = "birth" if birth else m.draws.choose([t for t in TOPICS if t != "birth"])
    fact = m.fact(*TOPICS[topic])
    return None if fact is None else Instance({"x": m.say(fact)}, _yes(birth), (fact,))


def _names_year(m: Material) -> Instance | None:
    year = m.draws.below(2) == 0
    fact = m.fact(*(YEARS if year else ("born_in", "occupation", "founded_by", "written_by")))
    return None if fact is None else Instance({"x": m.say(fact)}, _yes(year), (fact,))


# ── Rewriting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _hide(stand_in: str, *relations: str) -> Drawer:
    """Put a word in place of the subject's name."""

    def draw(m: Material) -> Instance | None:
        fact = m.fact(*relations)
        if fact is None:
            return None
        template = m.template(fact, "{since}")
        return Instance({"x": m.fill(template, fact)}, m.fill(template, fact, stand_in), (fact,))

    return draw


_VERBS = {"written_by": ("wrote", "was written by"), "founded_by": ("founded", "was founded by")}


def _passive_voice(m: Material) -> Instance | None:
    fact = m.fact(*_VERBS)
    if fact is None:
        return None
    active, passive = _VERBS[m.relation(fact)]
    thing, person = m.subject(fact), m.object(fact)
    return Instance({"x": f"{person} {active} {thing}."}, f"{thing} {passive} {person}.", (fact,))


# ── Transformation ──────────────────────────────────────────────────────────────────────────────────────────────────


def _half_century(m: Material) -> Instance | None:
    fact = m.fact(*YEARS)
    return None if fact is None else Instance({"x": m.say(fact)}, _place(m.value(fact) < 1950), (fact,))


def _name_ending(m: Material) -> Instance:
    entity = m.entity("person", "town")
    name = m.world.names[entity]
    return Instance({"x": name}, next(e for e in _ENDINGS if name.endswith(e)), entities=(entity,))


_ENDINGS = TOWN_ENDINGS + FAMILY_ENDINGS


def _count_names(m: Material) -> Instance:
    kinds: tuple[Kind, ...] = (m.draws.choose(("person", "town", "town")),)
    chosen = tuple(dict.fromkeys(m.entity(*kinds) for _ in range(1 + m.draws.below(len(NUMBERS)))))
    names = [m.world.names[e] for e in chosen]
    return Instance({"x": ", ".join(names)}, NUMBERS[len(names) - 1], entities=chosen)


# ── Reading and knowledge ───────────────────────────────────────────────────────────────────────────────────────────


def _read(relation: str) -> Drawer:
    """Answer from two sentences that look alike."""

    def draw(m: Material) -> Instance | None:
        pair = m.two(relation)
        if pair is None:
            return None
        asked = m.draws.choose(pair)
        return Instance({"x": m.say_both(*pair), "a": m.ask(asked)}, m.object(asked), pair)

    return draw


def _know(relation: str) -> Drawer:
    """Answer without any text what some passage states."""

    def draw(m: Material) -> Instance | None:
        fact = m.fact(relation, known=True)
        return None if fact is None else Instance({"a": m.ask(fact)}, m.object(fact), (fact,))

    return draw


def _person(m: Material) -> Instance | None:
    """Copy the person out of a sentence, be it subject or object."""
    fact = m.fact("born_in", "occupation", "died_year", "born_year", "written_by", "founded_by", "headed_by")
    if fact is None:
        return None
    subject = "person" in RELATIONS[NUMBER[m.relation(fact)]].domain
    return Instance({"x": m.say(fact)}, m.subject(fact) if subject else m.object(fact), (fact,))


TASKS: tuple[Task, ...] = (
    Task("kind_of_name", "classification", _kind_of_name, tuple(NAME_KINDS)),
    Task("topic_of_sentence", "classification", _topic_of_sentence, tuple(TOPICS)),
    Task("answer_type", "classification", _answer_type, tuple(ANSWER_TYPES)),
    Task("present_or_past", "classification", _present_or_past, ("present", "past")),
    Task("extract_occupation", "extraction", _extract("occupation"), OCCUPATIONS),
    Task("extract_genre", "extraction", _extract("genre"), GENRES),
    Task("extract_country", "extraction", _extract("lies_in")),
    Task("extract_person", "extraction", _person),
    Task("earlier_year", "comparison", _earlier_year, PLACES),
    Task("born_first", "comparison", _born_first, PLACES),
    Task("which_is_town", "comparison", _which_is_town, PLACES),
    Task("is_person", "verification", _is_person, ("yes", "no")),
    Task("tells_birth", "verification", _tells_birth, ("yes", "no")),
    Task("names_year", "verification", _names_year, ("yes", "no")),
    Task("hide_person", "rewriting", _hide("someone", "occupation")),
    Task("hide_work", "rewriting", _hide("a work", "genre")),
    Task("passive_voice", "rewriting", _passive_voice),
    Task("half_century", "transformation", _half_century, PLACES),
    Task("name_ending", "transformation", _name_ending, _ENDINGS),
    Task("count_names", "transformation", _count_names, NUMBERS),
    Task("read_occupation", "reading", _read("occupation"), OCCUPATIONS),
    Task("read_genre", "reading", _read("genre"), GENRES),
    Task("read_country", "reading", _read("lies_in")),
    Task("know_occupation", "knowledge", _know("occupation"), OCCUPATIONS),
    Task("know_country", "knowledge", _know("lies_in")),
    Task("know_birthplace", "knowledge", _know("born_in")),
)
"""All tasks, by type."""
