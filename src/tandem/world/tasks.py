"""Instruction tasks made of a world's facts: short prompts, short answers, eight types with three or four tasks each.

Every answer follows from the facts, and `meta` says from which. Answers are bare (no full stop) except where a sentence
is to be rewritten. The types:

    classification   say of what kind a name, a sentence or a question is
    extraction       copy the person, the town or the year out of a sentence
    comparison       decide between two years, people or works by what the prompt says
    verification     yes or no: does the sentence say so
    rewriting        another order, another voice, without the year
    transformation   of names and lists of names
    reading          answer a question from two sentences that look alike
    knowledge        answer it from what passages taught, without any text: hard for small models, and meant to be

An item records its type, its task, which wording it uses, and which entities and facts it rests on; splitting by
instance, task or type is left to others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tandem.errors import UserError
from tandem.world.history import OUTDATED
from tandem.world.instructions import INSTRUCTIONS
from tandem.world.noise import Draws
from tandem.world.schema import RELATIONS, Kind
from tandem.world.templates import WORDINGS, sentence, statements
from tandem.world.world import World

_ATTEMPTS = 200
NUMBERS = ("one", "two", "three", "four", "five")
"""Answers of `count_names`."""
TOPICS: dict[str, tuple[str, ...]] = {
    "birth": ("born_in", "born_year"),
    "death": ("died_year",),
    "marriage": ("married_to",),
    "work": ("works_for",),
    "home": ("lives_in",),
    "founding": ("founded_by", "founded_year"),
    "writing": ("written_by",),
}
"""Labels of `topic_of_sentence`, and the relations each stands for."""
ANSWER_TYPES: dict[str, tuple[str, ...]] = {
    "person": ("written_by", "founded_by", "headed_by", "married_to"),
    "place": ("born_in", "lives_in", "seat", "set_in"),
    "organisation": ("works_for", "studied_at"),
    "year": ("born_year", "founded_year", "published_year", "died_year"),
}
"""Labels of `answer_type`, and the relations each stands for."""
NAME_KINDS: dict[str, tuple[Kind, ...]] = {
    "person": ("person",),
    "place": ("town", "town", "town", "country"),
    "organisation": ("school", "company"),
    "work": ("work",),
}
"""Labels of `kind_of_name`, and the kinds each stands for; towns are many, countries few."""


@dataclass(frozen=True)
class InstructionItem:
    """One instruction with its answer."""

    id: str
    """Task name and number."""
    task: str
    """Which task, for example `extract_year`."""
    type: str
    """Which type of task, for example `extraction`."""
    prompt: str
    """The whole instruction, at most 40 words."""
    response: str
    """The answer."""
    meta: dict[str, Any] = field(default_factory=dict)
    """`wording` (number), `template_held_out`, `fields` (what the wording was filled with), `facts`, `entities` (ids),
    `mentions` (of the facts), `options` (all possible answers, where the list is closed)."""


@dataclass(frozen=True)
class Instance:
    """What one item is about, before it is worded."""

    fields: dict[str, str]
    """Fills the wording's places."""
    response: str
    """The answer."""
    facts: tuple[int, ...] = ()
    """Facts it rests on."""
    entities: tuple[int, ...] = ()
    """Entities it rests on, besides those of the facts."""


@dataclass(frozen=True)
class _Source:
    """A world with the draws of one task."""

    world: World
    draws: Draws
    held_out: bool

    def fact(self, *relations: str, known: bool = False) -> int | None:
        """A fact of one of the relations that holds now; `known` ones are mentioned in passages."""
        held = self.world.holding(self.draws.choose(relations))
        fact = int(held[self.draws.below(len(held))]) if len(held) else None
        return None if fact is None or (known and self.world.mentions[fact] == 0) else fact

    def two(self, relation: str) -> tuple[int, int] | None:
        """Two facts of a relation with different subjects and different objects."""
        one, other = self.fact(relation), self.fact(relation)
        c = self.world.columns
        if one is None or other is None or c.subject[one] == c.subject[other] or c.object[one] == c.object[other]:
            return None
        return one, other

    def alike(self, fact: int) -> int:
        """A fact of the same relation with the same object: perhaps the same fact."""
        held = self.world.holding(self.relation(fact))
        same = held[self.world.columns.object[held] == self.value(fact)]
        return int(same[self.draws.below(len(same))])

    def subject(self, fact: int) -> str:
        return self.world.names[int(self.world.columns.subject[fact])]

    def object(self, fact: int) -> str:
        return self.world.object_text(fact)

    def value(self, fact: int) -> int:
        return int(self.world.columns.object[fact])

    def relation(self, fact: int) -> str:
        return RELATIONS[int(self.world.columns.relation[fact])].name

    def say(self, fact: int, barred: str = "{since}") -> str:
        """A sentence for a fact, in a wording without the year in which it began."""
        c = self.world.columns
        ended = bool(c.status[fact] == OUTDATED)
        fit = [t for t in statements(self.relation(fact), ended=ended, held_out=self.held_out) if barred not in t]
        return sentence(self.draws.choose(fit), s=self.subject(fact), o=self.object(fact), until=str(c.until[fact]))

    def say_both(self, one: int, other: int) -> str:
        """Two facts of one relation in the same wording, in random order."""
        w = WORDINGS[self.relation(one)]
        template = self.draws.choose(w.held_out if self.held_out else w.statements)
        facts = self.draws.shuffled((one, other))
        return " ".join(sentence(template, s=self.subject(f), o=self.object(f)) for f in facts)

    def question(self, fact: int) -> str:
        w = WORDINGS[self.relation(fact)]
        return sentence(self.draws.choose(w.held_out_questions if self.held_out else w.questions), s=self.subject(fact))

    def entity(self, kind: Kind) -> int:
        numbers = self.world.numbers(kind)
        return numbers[self.draws.below(len(numbers))]


Drawer: TypeAlias = Callable[[_Source], Instance | None]


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
    """All possible answers, where the list is closed."""


# ── Classification ──────────────────────────────────────────────────────────────────────────────────────────────────


def _kind_of_name(s: _Source) -> Instance:
    label = s.draws.choose(tuple(NAME_KINDS))
    entity = s.entity(s.draws.choose(NAME_KINDS[label]))
    return Instance({"x": s.world.names[entity]}, label, entities=(entity,))


def _topic_of_sentence(s: _Source) -> Instance | None:
    label = s.draws.choose(tuple(TOPICS))
    fact = s.fact(*TOPICS[label])
    return None if fact is None else Instance({"x": s.say(fact)}, label, (fact,))


def _answer_type(s: _Source) -> Instance | None:
    label = s.draws.choose(tuple(ANSWER_TYPES))
    fact = s.fact(*ANSWER_TYPES[label])
    return None if fact is None else Instance({"x": s.question(fact)}, label, (fact,))


# ── Extraction ──────────────────────────────────────────────────────────────────────────────────────────────────────

_PERSON_SUBJECT = ("born_in", "lives_in", "works_for", "studied_at", "died_year", "born_year", "occupation")
_PERSON_OBJECT = ("written_by", "founded_by", "headed_by")
_TOWN_OBJECT = ("born_in", "lives_in", "seat", "set_in")
_YEAR_OBJECT = ("born_year", "died_year", "founded_year", "published_year", "settled_year")


def _extract_person(s: _Source) -> Instance | None:
    fact = s.fact(*_PERSON_SUBJECT, *_PERSON_OBJECT)
    if fact is None:
        return None
    return Instance(
        {"x": s.say(fact)}, s.subject(fact) if s.relation(fact) in _PERSON_SUBJECT else s.object(fact), (fact,)
    )


def _extract_place(s: _Source) -> Instance | None:
    fact = s.fact(*_TOWN_OBJECT)
    return None if fact is None else Instance({"x": s.say(fact)}, s.object(fact), (fact,))


def _extract_year(s: _Source) -> Instance | None:
    fact = s.fact(*_YEAR_OBJECT)
    return None if fact is None else Instance({"x": s.say(fact)}, s.object(fact), (fact,))


# ── Comparison ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _earlier_year(s: _Source) -> Instance | None:
    one, other = s.fact(*_YEAR_OBJECT), s.fact(*_YEAR_OBJECT)
    if one is None or other is None or s.value(one) == s.value(other):
        return None
    return Instance({"a": s.object(one), "b": s.object(other)}, str(min(s.value(one), s.value(other))), (one, other))


def _born_first(s: _Source) -> Instance | None:
    pair = s.two("born_year")
    return None if pair is None else Instance({"x": s.say_both(*pair)}, s.subject(min(pair, key=s.value)), pair)


def _newer_work(s: _Source) -> Instance | None:
    pair = s.two("published_year")
    return None if pair is None else Instance({"x": s.say_both(*pair)}, s.subject(max(pair, key=s.value)), pair)


# ── Verification ────────────────────────────────────────────────────────────────────────────────────────────────────


def _claim(s: _Source, fact: int, right: str, other: str) -> Instance | None:
    claim = s.draws.choose((right, other))
    return None if right == other else Instance({"x": s.say(fact), "a": claim}, _yes(claim == right), (fact,))


def _says_town(s: _Source) -> Instance | None:
    fact = s.fact(*_TOWN_OBJECT)
    return None if fact is None else _claim(s, fact, s.object(fact), s.world.names[s.entity("town")])


def _says_person(s: _Source) -> Instance | None:
    fact = s.fact(*_PERSON_OBJECT)
    return None if fact is None else _claim(s, fact, s.object(fact), s.world.names[s.entity("person")])


def _same_year(s: _Source) -> Instance | None:
    one = s.fact("born_year")
    other = s.alike(one) if one is not None and s.draws.below(2) else s.fact("born_year")
    if one is None or other is None or one == other:
        return None
    return Instance({"x": s.say_both(one, other)}, _yes(s.value(one) == s.value(other)), (one, other))


def _yes(right: bool) -> str:
    return "yes" if right else "no"


# ── Rewriting ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _swap_names(s: _Source) -> Instance | None:
    one, other = s.entity("person"), s.entity("person")
    a, b = s.world.names[one], s.world.names[other]
    return None if one == other else Instance({"a": a, "b": b}, f"{b} and {a}", entities=(one, other))


_VERBS = {"written_by": ("wrote", "was written by"), "founded_by": ("founded", "was founded by")}


def _passive_voice(s: _Source) -> Instance | None:
    fact = s.fact(*_VERBS)
    if fact is None:
        return None
    active, passive = _VERBS[s.relation(fact)]
    thing, person = s.subject(fact), s.object(fact)
    return Instance({"x": f"{person} {active} {thing}."}, f"{thing} {passive} {person}.", (fact,))


def _drop_year(s: _Source) -> Instance | None:
    year = s.fact("born_year")
    if year is None:
        return None
    town = next(f for f in s.world.facts_of(int(s.world.columns.subject[year])) if s.relation(f) == "born_in")
    short = f"{s.subject(year)} was born in {s.object(town)}"
    return Instance({"x": f"{short} in {s.object(year)}."}, f"{short}.", (town, year))


# ── Transformation ──────────────────────────────────────────────────────────────────────────────────────────────────


def _family_name(s: _Source) -> Instance:
    person = s.entity("person")
    name = s.world.names[person]
    return Instance({"x": name}, name.split()[1], entities=(person,))


def _family_name_first(s: _Source) -> Instance:
    person = s.entity("person")
    given, family = s.world.names[person].split()
    return Instance({"x": f"{given} {family}"}, f"{family}, {given}", entities=(person,))


def _some(s: _Source, n: int) -> tuple[int, ...]:
    kind = s.draws.choose(("person", "town", "town"))
    return tuple(dict.fromkeys(s.entity(kind) for _ in range(n)))  # type: ignore[arg-type]


def _last_in_list(s: _Source) -> Instance | None:
    chosen = _some(s, 2 + s.draws.below(3))
    names = [s.world.names[e] for e in chosen]
    return Instance({"x": ", ".join(names)}, names[-1], entities=chosen) if len(chosen) > 1 else None


def _count_names(s: _Source) -> Instance:
    chosen = _some(s, 1 + s.draws.below(len(NUMBERS)))
    names = [s.world.names[e] for e in chosen]
    return Instance({"x": ", ".join(names)}, NUMBERS[len(names) - 1], entities=chosen)


# ── Reading and knowledge ───────────────────────────────────────────────────────────────────────────────────────────


def _read(relation: str) -> Drawer:
    def draw(s: _Source) -> Instance | None:
        pair = s.two(relation)
        if pair is None:
            return None
        return Instance({"x": s.say_both(*pair), "a": s.question(pair[0])}, s.object(pair[0]), pair)

    return draw


def _know(relation: str) -> Drawer:
    def draw(s: _Source) -> Instance | None:
        fact = s.fact(relation, known=True)
        return None if fact is None else Instance({"a": s.question(fact)}, s.object(fact), (fact,))

    return draw


TASKS: tuple[Task, ...] = (
    Task("kind_of_name", "classification", _kind_of_name, tuple(NAME_KINDS)),
    Task("topic_of_sentence", "classification", _topic_of_sentence, tuple(TOPICS)),
    Task("answer_type", "classification", _answer_type, tuple(ANSWER_TYPES)),
    Task("extract_person", "extraction", _extract_person),
    Task("extract_place", "extraction", _extract_place),
    Task("extract_year", "extraction", _extract_year),
    Task("earlier_year", "comparison", _earlier_year),
    Task("born_first", "comparison", _born_first),
    Task("newer_work", "comparison", _newer_work),
    Task("says_town", "verification", _says_town, ("yes", "no")),
    Task("says_person", "verification", _says_person, ("yes", "no")),
    Task("same_year", "verification", _same_year, ("yes", "no")),
    Task("swap_names", "rewriting", _swap_names),
    Task("passive_voice", "rewriting", _passive_voice),
    Task("drop_year", "rewriting", _drop_year),
    Task("family_name", "transformation", _family_name),
    Task("family_name_first", "transformation", _family_name_first),
    Task("last_in_list", "transformation", _last_in_list),
    Task("count_names", "transformation", _count_names, NUMBERS),
    Task("read_author", "reading", _read("written_by")),
    Task("read_birthplace", "reading", _read("born_in")),
    Task("read_founding_year", "reading", _read("founded_year")),
    Task("know_birthplace", "knowledge", _know("born_in")),
    Task("know_author", "knowledge", _know("written_by")),
    Task("know_country", "knowledge", _know("lies_in")),
)
"""All tasks, by type."""


def tasks(
    world: World,
    n_per_task: int = 400,
    seed: int = 0,
    *,
    names: Sequence[str] | None = None,
    held_out: bool = False,
) -> list[InstructionItem]:
    """Up to `n_per_task` distinct items of each task (of those in `names`); fewer when a small world has no more.

    Where the list of answers is closed, no answer has more than its share.

    With `held_out`, instructions, sentences and questions are worded as no text to train on is. Raises UserError for an
    unknown task.
    """
    known = {task.name: task for task in TASKS}
    for name in names or ():
        if name not in known:
            raise UserError(f"there is no task {name!r}", where="tasks", remedy="choose among " + ", ".join(known))
    if n_per_task < 0 or seed < 0:
        raise UserError(f"cannot make {n_per_task} items from seed {seed}", where="tasks", remedy="give numbers ≥ 0")
    chosen = TASKS if names is None else tuple(known[name] for name in names)
    return [item for task in chosen for item in _items(world, task, n_per_task, seed, held_out)]


def _items(world: World, task: Task, n: int, seed: int, held_out: bool) -> list[InstructionItem]:
    source = _Source(world, Draws(world.seed, f"task {task.name} {seed} {held_out}"), held_out)
    usual = INSTRUCTIONS[task.name]
    wordings = usual.held_out if held_out else usual.usual
    seen: set[tuple[str, ...]] = set()
    share = -(-n // len(task.options)) if task.options else n
    given: Counter[str] = Counter()
    items: list[InstructionItem] = []
    misses = 0
    while len(items) < n and misses < _ATTEMPTS:
        instance = task.draw(source)
        key = () if instance is None else (*instance.fields.values(), instance.response)
        if instance is None or key in seen or given[instance.response] == share:
            misses += 1
            continue
        misses = 0
        seen.add(key)
        given[instance.response] += bool(task.options)
        wording = source.draws.below(len(wordings))
        facts, entities = instance.facts, instance.entities
        subjects = [int(world.columns.subject[f]) for f in facts]
        items.append(
            InstructionItem(
                f"{task.name}-{'h' if held_out else ''}{len(items):05d}",
                task.name,
                task.type,
                wordings[wording].format(**instance.fields),
                instance.response,
                {
                    "wording": wording,
                    "template_held_out": held_out,
                    "fields": instance.fields,
                    "facts": [f"f{f:07d}" for f in facts],
                    "entities": [f"e{e:07d}" for e in (*entities, *subjects)],
                    "mentions": [int(world.mentions[f]) for f in facts],
                    "options": list(task.options),
                },
            )
        )
    return items
