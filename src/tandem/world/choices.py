"""Multiple-choice items: a question, options of the right kind, and a sentence that an option completes.

Wrong options are objects that the same relation has elsewhere, drawn as often as they occur there, so that what is
common tells nothing about what is right; none is, was, or is falsely said to be an object of the same subject. The
right option's place is drawn evenly. `meta` is a question's, and

    cloze           a sentence to be completed with an option ("The birthplace of Tavi Kelmard is")
    cloze_held_out  the same in a held-out wording
    answer          index of the right option
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tandem.errors import UserError
from tandem.types import Question
from tandem.world.noise import Draws
from tandem.world.questions import questions
from tandem.world.schema import RELATIONS
from tandem.world.templates import WORDINGS, sentence
from tandem.world.world import World

_ATTEMPTS = 400


def choices(
    world: World,
    n: int = 1000,
    seed: int = 0,
    *,
    options: int = 4,
    hops: Sequence[int] = (1,),
    held_out: bool = False,
) -> list[Question]:
    """`n` distinct items with `options` options each; fewer when a small world has no more.

    Raises UserError for fewer than two options or more than ten.
    """
    if not 2 <= options <= 10:
        raise UserError(f"items with {options} options are not made", where="options", remedy="choose 2 to 10")
    made = []
    draws = Draws(world.seed, f"choices {seed} {options} {held_out}")
    for question in questions(world, hops, n, seed, held_out=held_out):
        item = _item(world, question, options, draws)
        if item is not None:
            made.append(item)
    return made


def _item(world: World, question: Question, options: int, draws: Draws) -> Question | None:
    c = world.columns
    fact = int(question.meta["facts"][-1][1:])
    same_subject = world.facts_of(int(c.subject[fact]))
    barred = {int(c.object[f]) for f in same_subject if c.relation[f] == c.relation[fact]}
    name = RELATIONS[c.relation[fact]].name
    elsewhere = world.holding(name)
    right_kind = world.kind(int(c.object[fact])) if RELATIONS[c.relation[fact]].to_entity else None
    wrong: list[int] = []
    for _ in range(_ATTEMPTS):
        if len(wrong) == options - 1:
            break
        other = int(elsewhere[draws.below(len(elsewhere))])
        value = int(c.object[other])
        if value not in barred and value not in wrong and (right_kind is None or world.kind(value) == right_kind):
            wrong.append(value)
    if len(wrong) < options - 1:
        return None
    place = draws.below(options)
    values = [*wrong[:place], int(c.object[fact]), *wrong[place:]]
    return replace(
        question,
        id=question.id.replace("q", "c", 1),
        choices=tuple(world.value(int(c.relation[fact]), v) for v in values),
        meta={
            **question.meta,
            "cloze": _cloze(world, question, WORDINGS[name].plain),
            "cloze_held_out": _cloze(world, question, WORDINGS[name].held_out[-1]),
            "answer": place,
        },
    )


def _cloze(world: World, question: Question, template: str) -> str:
    """A statement that ends with its object, without the object."""
    c = world.columns
    facts = [int(f[1:]) for f in question.meta["facts"]]
    about = world.names[c.subject[facts[0]]]
    for fact in facts[:-1]:
        about = WORDINGS[RELATIONS[c.relation[fact]].name].phrase.format(s=about)
    assert template.endswith("{o}."), template
    return sentence(template.removesuffix("{o}.").rstrip(), s=about)
