"""Who teaches the small decoder of `knowing`: answers the prompts of our methods from what is known of a made-up world.

A teacher goes through the real methods with the real passages, and every prompt with what it writes after it is a pair
to learn from. Chains that it spoils on purpose, so that there is something to correct, are not learnt. The same teacher
is the *reader* of arms in which the decoder thinks and someone else reads: what looking things up is worth where
reading works. What this does not do: train, or measure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tandem.types import LM, Abilities, Completion, Count, Prompt, Question, Sampling, Score, Text, Usage
from tandem.world import World, passages, questions
from tandem.world.noise import Draws
from tandem.world.partition import units
from tandem.world.questions import ask, plain
from tandem.world.schema import RELATIONS
from tandem.world.templates import WORDINGS, sentence

FEWEST = 2
"""Mentions of each fact of a training question: what was never read can only be guessed, which is not to be learnt."""
SPOILT_PER = 2
"""One training chain in so many is spoilt before it is checked."""
TRIED = 6
"""Times that another wording of a training question is drawn."""
ABLE = Abilities(context=1 << 20, many=True, temperature=True, seed=True)
"""Of the teacher."""
_LINE = re.compile(r"^Passage \d+: (.*)$", re.MULTILINE)


def fact_number(id: str) -> int:
    """A fact's number."""
    return int(id[1:])


@dataclass(frozen=True, eq=False)
class Known:
    """A world with what the teacher and the measures need of it."""

    world: World
    """The world."""

    @cached_property
    def stated(self) -> dict[str, frozenset[int]]:
        """For each passage, as a prompt shows it, the facts that it states as they are."""
        return {
            f"{p.title}: {p.text}": frozenset(fact_number(m.fact) for m in p.mentions if not m.stale)
            for p in passages(self.world)
        }

    def spoilt(self, fact: int, draws: Draws) -> tuple[str, str]:
        """A wrong object of a fact's relation, and the sentence that states it."""
        world, c = self.world, self.world.columns
        name = RELATIONS[c.relation[fact]].name
        held = [int(f) for f in world.holding(name)]
        others = [f for f in (draws.choose(held) for _ in range(20)) if world.object_text(f) != world.object_text(fact)]
        wrong = world.object_text(others[0] if others else fact)
        return wrong, sentence(WORDINGS[name].plain, s=world.names[c.subject[fact]], o=wrong)

    def check(self, fact: int, draws: Draws) -> str:
        """A question that checks a fact."""
        return ask(self.world, [fact], draws)


def lessons(world: World, asked: Iterable[Question], n: int) -> list[Question]:
    """Training questions that touch no fact that tells of an asked one: of two hops, and of one hop in all wordings."""
    unit, mentions = units(world), world.mentions
    taken = {int(unit[fact_number(f)]) for q in asked for f in q.meta["facts"]}
    found = []
    for question in questions(world, hops=(1, 2), n=10 * n, seed=1):
        facts = [fact_number(f) for f in question.meta["facts"]]
        fits = min(int(mentions[f]) for f in facts) >= FEWEST and not question.meta["contested"]
        if fits and not taken & {int(unit[f]) for f in facts}:
            found.append(question)
    draws = Draws(world.seed, "wordings")
    texts = {question.text for question in found}
    for question in [q for q in found if q.meta["hops"] == 1]:
        for number in range(TRIED):
            text = ask(world, [fact_number(question.meta["facts"][0])], draws)
            if text not in texts:
                texts.add(text)
                found.append(replace(question, id=f"{question.id}-{number}", text=text))
    return Draws(world.seed, "lessons").shuffled(found)[:n]


# ── The teacher ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class Teacher:
    """Answers the prompts of our methods from what it knows of the world, and keeps what is worth learning."""

    known: Known
    """The world."""
    taught: Mapping[str, Question]
    """Training questions by their text."""
    spoils: bool = False
    """Whether some chains are spoilt."""
    pairs: dict[str, str] = field(default_factory=dict)
    """Prompts with what is to be written after them."""
    name: str = "teacher"
    abilities: Abilities = ABLE

    def __post_init__(self) -> None:
        draws = Draws(self.known.world.seed, "teacher")
        self.right: dict[str, list[str]] = {}
        self.chains: dict[str, list[str]] = {}
        self.spoilt: set[str] = set()
        self.checks: dict[str, str] = {}
        self.facts: dict[str, int] = {}
        self.objects: dict[str, str] = {}
        for number, (text, question) in enumerate(self.taught.items()):
            facts = [fact_number(f) for f in question.meta["facts"]]
            chain = [plain(self.known.world, fact) for fact in facts]
            for fact, right in zip(facts, chain, strict=True):
                self._about(right, fact, self.known.world.object_text(fact), draws)
            self.right[text] = list(chain)
            self.facts[text] = facts[-1]
            if self.spoils and number % SPOILT_PER == 0:
                place = number // SPOILT_PER % len(chain)
                wrong, chain[place] = self.known.spoilt(facts[place], draws)
                self._about(chain[place], facts[place], wrong, draws)
                self.spoilt.add(text)
            self.chains[text] = chain

    def _about(self, said: str, fact: int, object_: str, draws: Draws) -> None:
        check = self.known.check(fact, draws)
        self.facts[said] = self.facts[check] = fact
        self.objects[said] = object_
        self.checks.setdefault(said, check)

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """What a good answer to the prompt is; the same for all samples."""
        assert isinstance(prompt, Text)
        written, learn = self._written(prompt.text)
        if learn:
            self.pairs[prompt.text] = written
        return tuple(Completion(written, "stop", None, Usage(0, 0), self.name) for _ in samples)

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """No method asks for it here."""
        raise AssertionError("the teacher scores nothing")

    def count(self, prompt: Prompt) -> Count:
        """Nothing is too long for it."""
        return Count(0, exact=False)

    def _written(self, prompt: str) -> tuple[str, bool]:
        lines = prompt.splitlines()
        last = lines[-1]
        question = next((line[10:] for line in reversed(lines) if line.startswith("Question: ")), "")
        step = next((line[6:] for line in reversed(lines) if line.startswith("Step: ")), "")
        if last == "Check:":
            return f" {self.checks.get(step, question)}", True
        if last == "Finding:":
            fact = self.facts[next(line[7:] for line in reversed(lines) if line.startswith("Check: "))]
            return f" {plain(self.known.world, fact)}" if self._told(prompt, fact) else " unknown", True
        if last == "Corrected:":
            fact = self.facts.get(step, self.facts[question])
            return f" {plain(self.known.world, fact)}" if self._told(prompt, fact) else f" {step}", True
        written = [line.split(" ", 1)[1] for line in lines[lines.index("Steps:") + 1 : -1]] if "Steps:" in lines else []
        if last == "Answer:":
            return f" {self.objects[written[-1]] if written else self.taught[question].answers[0]}", True
        chain = (self.right if written else self.chains)[question][len(written) :]
        rest = "".join(f"\n{n}. {text}" for n, text in enumerate(chain[1:], len(written) + 2))
        begun = f" {chain[0]}" if chain else ""
        ended = f"{begun}{rest}\nAnswer: {self.objects[(chain or written)[-1]]}"
        return ended, bool(chain) if written else question not in self.spoilt

    def _told(self, prompt: str, fact: int) -> bool:
        """Whether a passage of the prompt states a fact."""
        return any(fact in self.known.stated.get(line, ()) for line in _LINE.findall(prompt))


def looks_up(prompt: str) -> bool:
    """Whether a prompt is about a step that is to be checked, or about what was found."""
    return prompt.splitlines()[-1] in ("Check:", "Finding:", "Corrected:")


@dataclass(eq=False)
class Assisted:
    """A model that thinks, and a teacher that writes its checks and reads what they find.

    A step that the teacher never wrote is checked by the question itself: for questions of one hop.
    """

    thinks: LM
    """Writes chains and answers."""
    reads: Teacher
    """Writes checks, findings and corrections."""

    def __post_init__(self) -> None:
        self.name, self.abilities = self.thinks.name, self.thinks.abilities

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """Whoever it is for."""
        reading = isinstance(prompt, Text) and looks_up(prompt.text)
        return await (self.reads if reading else self.thinks).generate(prompt, sampling, samples)

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """The model's."""
        return await self.thinks.score(context, continuations, cut_left=cut_left)

    def count(self, prompt: Prompt) -> Count:
        """The model's."""
        return self.thinks.count(prompt)
