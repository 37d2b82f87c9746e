"""Three ways to hold conversations out, by how much of a test item was seen in training (the talk, life cycle slide).

    instances   the task was trained on, this instance was not
    tasks       the task was never seen, others of its type were
    types       the whole type of task was never seen

Everything follows from hashes of (seed, content): not from the order of the items, nor from a random state. Nothing
held out shares its opening prompt (letter case and white space aside) with a training item: where the same prompt
stands in two parts, the part that is farthest from training keeps it, and the other copies are removed and counted.

What this does not do: near-duplicates. A paraphrase of a held-out prompt may stand in training; de-duplicate before.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tandem.errors import UserError
from tandem.train.conversations import Conversation

UNNAMED = "(unnamed)"


@dataclass(frozen=True)
class Splits:
    """The parts, each in the order of the items given."""

    train: tuple[Conversation, ...]
    """To learn from."""
    instances: tuple[Conversation, ...]
    """Unseen instances of tasks in `train`."""
    tasks: tuple[Conversation, ...]
    """Unseen tasks whose type is in `train`."""
    types: tuple[Conversation, ...]
    """Tasks of types that are not in `train`."""
    removed: tuple[Conversation, ...]
    """Copies of a prompt that stands in a part farther from training."""
    held_tasks: tuple[str, ...]
    """Names of the tasks held out."""
    held_types: tuple[str, ...]
    """Names of the types held out."""

    @property
    def held(self) -> Mapping[str, tuple[Conversation, ...]]:
        """The held-out parts by name, nearest to training first."""
        return {"instances": self.instances, "tasks": self.tasks, "types": self.types}


def held_out(
    items: Sequence[Conversation],
    *,
    instances: float = 0.1,
    tasks: int | Iterable[str] = 0,
    types: int | Iterable[str] = 0,
    seed: int,
) -> Splits:
    """Split conversations into training and three kinds of held-out parts.

    `instances` is the share of each training task's prompts that is held out (rounded, at least one where the task
    has two or more, never all). `tasks` and `types` are names, or how many to choose by seed. Each type in training
    keeps at least one training task. Raises UserError when that cannot be met, on unknown names, on a task that
    belongs to two types, and on an empty list.
    """
    if not items:
        raise UserError("no conversation to split", where="tuning.data")
    if not 0 <= instances < 1:
        raise UserError(
            f"the share of held-out instances lies in [0, 1), not {instances}", where="tuning.held_out.instances"
        )
    type_of = _types_of_tasks(items)
    held_types = _choose_types(type_of, types, 0 if not isinstance(tasks, int) else tasks, seed)
    held_tasks = _choose_tasks({t: k for t, k in type_of.items() if k not in held_types}, tasks, held_types, seed)

    natural = [
        "types" if _type(item) in held_types else "tasks" if _task(item) in held_tasks else "train" for item in items
    ]
    prompts = [_prompt(item) for item in items]
    where: dict[str, str] = {}
    owners: dict[str, set[str]] = defaultdict(set)
    for item, part, prompt in zip(items, natural, prompts, strict=True):
        where[prompt] = max(part, where.get(prompt, part), key=_FARNESS.__getitem__)
        owners[prompt].add(_task(item))
    of_task: dict[str, list[str]] = defaultdict(list)
    for prompt, names in owners.items():
        if where[prompt] == "train" and len(names) == 1:  # a prompt that two tasks share stays in training
            of_task[next(iter(names))].append(prompt)
    for openings in of_task.values():
        where |= dict.fromkeys(_held_instances(openings, instances, seed), "instances")

    parts: dict[str, list[Conversation]] = {name: [] for name in (*_FARNESS, "removed")}
    for item, home, prompt in zip(items, natural, prompts, strict=True):
        belongs = where[prompt] == home or (where[prompt] == "instances" and home == "train")
        parts[where[prompt] if belongs else "removed"].append(item)
    for type in sorted(set(type_of.values()) - held_types - {_type(item) for item in parts["train"]}):
        raise UserError(
            f"nothing of type {type!r} is left to train on: its prompts all stand in held-out tasks or types too",
            where="tuning.held_out",
            remedy="hold out other tasks or types, or remove the repeated prompts",
        )
    return Splits(
        **{name: tuple(found) for name, found in parts.items()},
        held_tasks=tuple(sorted(held_tasks)),
        held_types=tuple(sorted(held_types)),
    )


_FARNESS = {"train": 0, "instances": 1, "tasks": 2, "types": 3}


def sample(items: Sequence[Conversation], n: int, seed: int) -> tuple[Conversation, ...]:
    """At most n items, those with the smallest hash of (seed, opening, id); in the order given."""
    chosen = sorted(range(len(items)), key=lambda i: (_hash(seed, "sample", _prompt(items[i]), items[i].id), i))[:n]
    return tuple(items[i] for i in sorted(chosen))


def _held_instances(openings: Sequence[str], share: float, seed: int) -> list[str]:
    if share == 0 or len(openings) < 2:
        return []
    n = min(max(1, round(share * len(openings))), len(openings) - 1)
    return sorted(openings, key=lambda o: (_hash(seed, "instance", o), o))[:n]


def _types_of_tasks(items: Sequence[Conversation]) -> dict[str, str]:
    type_of: dict[str, str] = {}
    for item in items:
        known = type_of.setdefault(_task(item), _type(item))
        if known != _type(item):
            raise UserError(
                f"task {_task(item)!r} belongs to two types, {known!r} and {_type(item)!r}",
                where=item.id,
                remedy="give the tasks of each type names of their own",
            )
    return type_of


def _choose_types(type_of: Mapping[str, str], wanted: int | Iterable[str], n_tasks: int, seed: int) -> set[str]:
    """Types to hold out: named, or chosen so that one type and `n_tasks` spare tasks remain."""
    size: dict[str, int] = defaultdict(int)
    for type in type_of.values():
        size[type] += 1
    if not isinstance(wanted, int):
        chosen = _named(wanted, size, "types")
        if len(chosen) == len(size):
            raise UserError("all types are held out: nothing is left to train on", where="tuning.held_out.types")
        return chosen
    chosen = set()
    for type in sorted(size, key=lambda t: (_hash(seed, "type", t), t)):
        if len(chosen) == wanted:
            break
        others = sorted(size[t] - 1 for t in size if t not in chosen and t != type)
        to_come = wanted - len(chosen) - 1
        if len(others) - to_come >= 1 and sum(others[to_come:]) >= n_tasks:
            chosen.add(type)
    if len(chosen) < wanted:
        raise UserError(
            f"cannot hold out {wanted} types and {n_tasks} tasks of {len(size)} types with {len(type_of)} tasks "
            "in all: a type must be left, and each type left keeps a training task",
            where="tuning.held_out.types",
            remedy='lower the numbers, or give the data more "task" and "type" labels',
        )
    return chosen


def _choose_tasks(type_of: Mapping[str, str], wanted: int | Iterable[str], held_types: set[str], seed: int) -> set[str]:
    """Tasks to hold out: named, or chosen by seed, spread over the types, one task of each type staying."""
    left: dict[str, int] = defaultdict(int)
    for type in type_of.values():
        left[type] += 1
    if not isinstance(wanted, int):
        chosen = _named(wanted, type_of, "tasks", f" outside the held-out types {sorted(held_types)}")
        for task in chosen:
            left[type_of[task]] -= 1
        for type, n in sorted(left.items()):
            if n == 0:
                raise UserError(
                    f"all tasks of type {type!r} are held out: that makes it a held-out type",
                    where="tuning.held_out.tasks",
                    remedy="leave one task of the type, or hold the type out",
                )
        return chosen
    spare = sum(n - 1 for n in left.values())
    if wanted > spare:
        raise UserError(
            f"cannot hold out {wanted} tasks: each of {len(left)} types keeps a training task, {spare} are to spare",
            where="tuning.held_out.tasks",
            remedy='lower the number, or give the data more "task" and "type" labels',
        )
    chosen, taken = set(), dict.fromkeys(left, 0)
    while len(chosen) < wanted:
        task = min(
            (t for t in type_of if t not in chosen and left[type_of[t]] > 1),
            key=lambda t: (taken[type_of[t]], _hash(seed, "task", t), t),
        )
        chosen.add(task)
        taken[type_of[task]] += 1
        left[type_of[task]] -= 1
    return chosen


def _named(wanted: Iterable[str], known: Mapping[str, object], what: str, outside: str = "") -> set[str]:
    names = {wanted} if isinstance(wanted, str) else set(wanted)
    for name in sorted(names - set(known)):
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"no such name among the {what}{outside}: {name!r}",
            where=f"tuning.held_out.{what}",
            remedy=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}",
        )
    return names


def _prompt(item: Conversation) -> str:
    """What makes two prompts the same: the opening, letter case and white space aside."""
    return " ".join(item.opening.casefold().split())


def _task(item: Conversation) -> str:
    return UNNAMED if item.task is None else item.task


def _type(item: Conversation) -> str:
    return UNNAMED if item.type is None else item.type


def _hash(seed: int, *parts: str) -> bytes:
    return hashlib.blake2b("\0".join((str(seed), *parts)).encode(), digest_size=8).digest()
