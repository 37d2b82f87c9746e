"""What an instruction task is made from: facts and entities drawn from a world, put into sentences and questions.

This draws and words; which draws make an instance of which task is said in `instances`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.world.history import OUTDATED
from tandem.world.noise import Draws
from tandem.world.schema import RELATIONS, Kind
from tandem.world.templates import WORDINGS, sentence, statements
from tandem.world.world import World


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
    """Entities it rests on, besides the subjects of the facts."""


@dataclass(frozen=True)
class Material:
    """A world with the draws of one task."""

    world: World
    """Where facts come from."""
    draws: Draws
    """What is drawn with."""
    held_out: bool
    """Whether sentences and questions are worded as no text to train on is."""

    def fact(self, *relations: str, ended: bool = False, known: bool = False) -> int | None:
        """A fact of one of the relations that holds now, or that has ended; `known` ones are mentioned in passages."""
        name = self.draws.choose(relations)
        held = self.world.ended(name) if ended else self.world.holding(name)
        fact = int(held[self.draws.below(len(held))]) if len(held) else None
        return None if fact is None or (known and self.world.mentions[fact] == 0) else fact

    def two(self, relation: str) -> tuple[int, int] | None:
        """Two facts of a relation with different subjects and different objects."""
        one, other = self.fact(relation), self.fact(relation)
        c = self.world.columns
        if one is None or other is None or c.subject[one] == c.subject[other] or c.object[one] == c.object[other]:
            return None
        return one, other

    def entity(self, *kinds: Kind) -> int:
        """An entity of one of the kinds."""
        numbers = self.world.numbers(self.draws.choose(kinds))
        return numbers[self.draws.below(len(numbers))]

    def subject(self, fact: int) -> str:
        """Name of a fact's subject."""
        return self.world.names[int(self.world.columns.subject[fact])]

    def object(self, fact: int) -> str:
        """A fact's object in words."""
        return self.world.object_text(fact)

    def value(self, fact: int) -> int:
        """A fact's object as a number."""
        return int(self.world.columns.object[fact])

    def relation(self, fact: int) -> str:
        """Name of a fact's relation."""
        return RELATIONS[int(self.world.columns.relation[fact])].name

    def template(self, fact: int, barred: str) -> str:
        """A wording that fits a fact and has no place for `barred`."""
        ended = bool(self.world.columns.status[fact] == OUTDATED)
        fit = statements(self.relation(fact), ended=ended, held_out=self.held_out)
        return self.draws.choose([t for t in fit if barred not in t])

    def fill(self, template: str, fact: int, subject: str | None = None) -> str:
        """A wording filled with a fact, its subject named otherwise if so wished."""
        c = self.world.columns
        dates = {"since": str(c.since[fact]), "until": str(c.until[fact])}
        return sentence(template, s=self.subject(fact) if subject is None else subject, o=self.object(fact), **dates)

    def say(self, fact: int) -> str:
        """A sentence for a fact, without the year in which it began unless it has ended."""
        ended = self.world.columns.status[fact] == OUTDATED
        return self.fill(self.template(fact, "{}" if ended else "{since}"), fact)

    def say_both(self, one: int, other: int) -> str:
        """Two facts of one relation in the same wording."""
        template = self.template(one, "{since}")
        return f"{self.fill(template, one)} {self.fill(template, other)}"

    def ask(self, fact: int) -> str:
        """A question for a fact's object."""
        w = WORDINGS[self.relation(fact)]
        return sentence(self.draws.choose(w.held_out_questions if self.held_out else w.questions), s=self.subject(fact))
