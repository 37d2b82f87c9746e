"""A world as files: one JSON Lines file per view, and `world.json` that says what they are.

    world.json       seed, sizes, counts of all kinds, version, the label `mechanism`
    entities.jsonl   id, kind, category, name, aliases
    facts.jsonl      id, subject, relation, object, since, until, status, mentions
    passages.jsonl   id, title, text, entity, mentions
    questions.jsonl  half of them in held-out wordings (`meta.template_held_out`); choices.jsonl likewise
    tasks.jsonl      instruction items in wordings that may be trained on: id, task, type, prompt, response, meta

The same seed and sizes give the same bytes on every platform. Held-out wordings stand in no file that is text to train
on (passages, tasks).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tandem.runs import disk_failure
from tandem.types import Question
from tandem.world.choices import choices
from tandem.world.instances import TASKS
from tandem.world.passages import Passage, passages
from tandem.world.questions import questions
from tandem.world.schema import RELATIONS, STATUSES
from tandem.world.tasks import tasks
from tandem.world.world import MECHANISM, VERSION, World


def write(
    world: World, folder: Path, *, n_questions: int = 1200, n_choices: int = 1000, n_per_task: int = 400, seed: int = 0
) -> dict[str, int]:
    """Write all views of a world into an existing folder; returns the number of lines of each, by view.

    Raises Failure when the disk is full.
    """
    try:
        counts = {
            "facts": write_lines(folder / "facts.jsonl", _facts(world)),
            "entities": write_lines(
                folder / "entities.jsonl", (asdict(e) | {"category": e.category} for e in world.entities)
            ),
            "passages": write_lines(folder / "passages.jsonl", map(passage_record, passages(world))),
            "questions": write_lines(
                folder / "questions.jsonl",
                (
                    _question(q)
                    for held_out in (False, True)
                    for q in questions(world, n=n_questions // 2, seed=seed, held_out=held_out)
                ),
            ),
            "choices": write_lines(
                folder / "choices.jsonl",
                (
                    _question(q)
                    for held_out in (False, True)
                    for q in choices(world, n_choices // 2, seed, held_out=held_out)
                ),
            ),
            "tasks": write_lines(folder / "tasks.jsonl", (asdict(item) for item in tasks(world, n_per_task, seed))),
        }
        about = {"label": MECHANISM, "version": VERSION, "seed": world.seed, "views_seed": seed, "counts": counts}
        details = json.dumps(about | summary(world), indent=2) + "\n"
        (folder / "world.json").write_text(details, encoding="utf-8")
    except OSError as e:
        raise disk_failure(e, folder) from e
    return counts


def summary(world: World) -> dict[str, Any]:
    """What a world holds: entities by kind, facts by relation and status, how often facts are mentioned."""
    c, mentions = world.columns, world.mentions
    often = {"0": mentions == 0, "1": mentions == 1, "2–3": (mentions > 1) & (mentions < 4), "4 or more": mentions > 3}
    relation, status = Counter(c.relation.tolist()), Counter(c.status.tolist())
    return {
        "entities_by_kind": dict(world.census.counts),
        "facts_by_relation": {r.name: relation[i] for i, r in enumerate(RELATIONS)},
        "facts_by_status": {name: status[i] for i, name in enumerate(STATUSES)},
        "facts_by_mentions": {name: int(rows.sum()) for name, rows in often.items()},
        "mentions": int(mentions.sum()),
        "tasks_by_type": {
            t: [task.name for task in TASKS if task.type == t] for t in dict.fromkeys(k.type for k in TASKS)
        },
    }


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> int:
    """A file of JSON Lines; returns the number of records."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as f:
        for record in records:
            f.write(_ENCODE(record) + "\n")
            count += 1
    return count


_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def _facts(world: World) -> Iterable[dict[str, Any]]:
    for fact, mentions in zip(world.facts, world.mentions.tolist(), strict=True):
        yield {**vars(fact), "mentions": mentions}


def passage_record(passage: Passage) -> dict[str, Any]:
    """A passage as a line of JSON."""
    return {**vars(passage), "mentions": [vars(m) for m in passage.mentions]}


def _question(question: Question) -> dict[str, Any]:
    return asdict(question)
