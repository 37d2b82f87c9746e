"""Questions by how often passages mention what they ask for: never, 1 to 3, 4 to 15, 16 times and more.

For measuring whether a model knows what it knows: between the strata only the number of mentions differs. Each has
equally many questions of each relation, in the same wordings, and none is contested. How many that are is up to the
rarest stratum: about one fact in eighty is mentioned 16 times.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tandem.errors import UserError
from tandem.types import Question
from tandem.world.noise import Draws
from tandem.world.questions import ask, question, rivals
from tandem.world.schema import RELATIONS
from tandem.world.world import World

STRATA = ("never", "1–3", "4–15", "16+")
"""Names of the strata."""
BOUNDS = (0, 1, 4, 16)
"""Fewest mentions in each."""


def stratum(mentions: int) -> str:
    """The stratum of a number of mentions."""
    return STRATA[int(np.searchsorted(BOUNDS, mentions, side="right")) - 1]


def stratum_of(question: Question) -> str:
    """The stratum of any question with `meta.mentions`: that of the fact on its way that is mentioned least."""
    return stratum(min(question.meta["mentions"]))


def stratified(world: World, n: int = 400, seed: int = 0, *, held_out: bool = False) -> list[Question]:
    """At most `n` questions of one hop, equally many of each stratum; `meta.stratum` says which.

    Fewer when the world has too few facts of a stratum. Raises UserError for negative numbers.
    """
    if n < 0 or seed < 0:
        raise UserError(f"cannot make {n} questions from seed {seed}", where="strata", remedy="give numbers ≥ 0")
    draws = Draws(world.seed, f"strata {seed} {held_out}")
    fresh = {r.name: [_source(world, r.name, place, draws) for place in range(len(STRATA))] for r in RELATIONS}
    made: list[Question] = []
    open_ = list(fresh)
    while open_ and len(made) + len(STRATA) <= n:
        for relation in draws.shuffled(open_):
            facts = [draw() for draw in fresh[relation]]
            if None in facts:
                open_.remove(relation)
            elif len(made) + len(STRATA) <= n:
                made += [_question(world, fact, len(made) // 4, draws, held_out) for fact in facts if fact is not None]
    return made


def _source(world: World, relation: str, place: int, draws: Draws) -> Callable[[], int | None]:
    """Gives the facts of a relation and a stratum that hold and are not contested, each once, in random order."""
    facts, mentions = world.holding(relation), world.mentions
    upper = BOUNDS[place + 1] if place + 1 < len(BOUNDS) else int(mentions.max()) + 1
    held = facts[(mentions[facts] >= BOUNDS[place]) & (mentions[facts] < upper)]
    step = iter(draws.shuffled(held.tolist()))

    def draw() -> int | None:
        return next((fact for fact in step if not rivals(world, fact)), None)

    return draw


def _question(world: World, fact: int, number: int, draws: Draws, held_out: bool) -> Question:
    name = stratum(int(world.mentions[fact]))
    id_ = f"k{'h' if held_out else ''}{STRATA.index(name)}-{number:06d}"
    made = question(world, id_, ask(world, [fact], draws, held_out), [fact], draws, held_out)
    return Question(made.id, made.text, made.answers, context=made.context, meta={**made.meta, "stratum": name})
