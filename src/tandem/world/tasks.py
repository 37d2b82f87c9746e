"""Instruction tasks made of a world's facts: short prompts, short answers, eight types with three or four tasks each.

Every answer follows from the facts, and `meta` says from which. Answers are bare (no full stop) except where a sentence
is to be rewritten. The types:

    classification   say of what kind a name, a sentence or a question is
    extraction       copy something out of a sentence
    comparison       say which of two is earlier, older, a town: first or second
    verification     yes or no: is it so
    rewriting        without the name, in another voice
    transformation   of names, lists and dates
    reading          answer a question from two sentences that look alike
    knowledge        answer it from what passages taught, without any text: hard for small models, and meant to be

An item records its type, its task, which wording it uses, and which entities and facts it rests on; splitting by
instance, task or type is left to others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tandem.errors import UserError
from tandem.world.instances import TASKS, Task
from tandem.world.instructions import INSTRUCTIONS
from tandem.world.material import Material
from tandem.world.noise import Draws
from tandem.world.world import World

_ATTEMPTS = 200


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
    material = Material(world, Draws(world.seed, f"task {task.name} {seed} {held_out}"), held_out)
    usual = INSTRUCTIONS[task.name]
    wordings = usual.held_out if held_out else usual.usual
    seen: set[tuple[str, ...]] = set()
    share = -(-n // len(task.options)) if task.options else n
    given: Counter[str] = Counter()
    items: list[InstructionItem] = []
    misses = 0
    while len(items) < n and misses < _ATTEMPTS:
        instance = task.draw(material)
        key = () if instance is None else (*instance.fields.values(), instance.response)
        if instance is None or key in seen or given[instance.response] == share:
            misses += 1
            continue
        misses = 0
        seen.add(key)
        given[instance.response] += bool(task.options)
        wording = material.draws.below(len(wordings))
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
