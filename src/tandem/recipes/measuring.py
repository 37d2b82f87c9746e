"""The last stage: what the model can do, before and after instruction tuning, on what it has not seen.

Three kinds of held-out conversations (instances, tasks, task types), answered by the majority answer, by the model
before tuning and by the model after it, all with the same prompts; multiple choice on the world; examples. Every item's
prompt, answers and verdicts stay in items.jsonl, sorted by id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tandem import decoder
from tandem.decoder import Decoder
from tandem.decoder.generate import generate
from tandem.decoder.score import score
from tandem.evaluate import answers, choices, comparisons
from tandem.evaluate.answers import AnswerItem, AnswerRecord
from tandem.recipes.learning import tuning_splits
from tandem.recipes.materials import encoder
from tandem.recipes.place import Place, write_json
from tandem.results import Example, to_json
from tandem.tokenizer import Tokenizer
from tandem.train import splits, templates
from tandem.train.conversations import Conversation
from tandem.types import Message, Question

BEFORE, AFTER, MAJORITY = "before tuning", "after tuning", "majority answer"
MENTIONS = ("never mentioned", "mentioned once", "mentioned twice", "mentioned 3 times", "mentioned 4 times or more")
"""Groups of multiple-choice items, by mentions in the training text of the least mentioned fact."""


def evaluate(place: Place, folder: Path) -> None:
    """Leave items.jsonl and measured.json (tables, figures and examples for the report)."""
    recipe = place.recipe
    last = f"train-{recipe.stage[-1].name}"
    models = {}
    for name, key in ((BEFORE, last), (AFTER, "tune")) if recipe.tuning else ((BEFORE, last),):
        with place.made(key) as made_there:
            models[name] = decoder.load(made_there / "model", device=place.device)
    made = encoder(place)
    measured: dict[str, Any] = {
        "choices": [],
        "answers": [],
        "comparisons": [],
        "outcomes": [],
        "examples": [],
        "left out": {},
    }
    items: list[dict[str, Any]] = []
    if recipe.world and recipe.evaluation.choices:
        _choices(place, models, made, measured, items)
    if recipe.tuning:
        _answers(place, models, made, measured, items)
    measured["examples"] += to_json(_prompts(place, models, made))
    write_json(folder / "measured.json", measured)
    lines = [json.dumps(item, sort_keys=True, ensure_ascii=False) for item in sorted(items, key=lambda i: i["id"])]
    (folder / "items.jsonl").write_text("".join(line + "\n" for line in lines))


def _choices(
    place: Place, models: dict[str, Decoder], made: Tokenizer, measured: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    """Multiple choice on the world: which option continues the statement?

    Statements are worded as passages word them; items are grouped by how often the passages mention the fact.
    """
    lines = place.lines("world", "choices.jsonl")
    limit = place.recipe.evaluation.choices
    assert limit is not None
    every = max(1, len(lines) // limit)  # spread over the file: half of it is worded as nothing in training is
    questions = []
    for q in lines[::every][:limit]:
        question = Question(q["id"], q["text"], tuple(q["answers"]), tuple(q["choices"]))
        group = MENTIONS[min(min(q["meta"]["mentions"]), len(MENTIONS) - 1)]
        questions.append(choices.of_question(question, q["meta"]["cloze"], group))
    for name, model in models.items():
        result = choices.choose(
            questions,
            made,
            lambda pairs, model=model: score(model, pairs),  # type: ignore[misc]
            begin=made.end,
            limit=model.shape.context,
        )
        measured["choices"].append(
            {"system": name, "table": to_json(choices.table(result, f"Multiple choice, {name}"))}
        )
        measured.setdefault("choice figures", {})[name] = to_json(result.accuracy("acc_norm"))
        items += [{"id": f"choice/{r.id}/{name}", "kind": "choice", "system": name} | asdict(r) for r in result.records]


def _answers(
    place: Place, models: dict[str, Decoder], made: Tokenizer, measured: dict[str, Any], items: list[dict[str, Any]]
) -> None:
    """Held-out conversations answered by every system."""
    recipe = place.recipe
    split = tuning_splits(place)
    majority = answers.Majority(_item(c) for c in split.train)
    for kind, held in split.held.items():
        tuning = recipe.tuning
        assert tuning is not None
        picked = _per_task(held, recipe.evaluation.per_task, recipe.seed)
        encoded = {c.id: templates.prompt(c.messages[:-1], tuning.template, made) for c in picked}
        room = min(model.shape.context for model in models.values())
        chosen = [c for c in picked if len(encoded[c.id]) < room]
        measured["left out"][kind] = len(picked) - len(chosen)
        if not chosen:
            continue
        asked = [_item(c) for c in chosen]
        systems: dict[str, Sequence[AnswerRecord]] = {MAJORITY: majority.answer(asked)}
        for name, model in models.items():
            systems[name] = _ask(place, model, made, [encoded[c.id] for c in chosen], asked)
        verdicts = {name: answers.verdicts(records) for name, records in systems.items()}
        right = {name: comparisons.accuracy(v) for name, v in verdicts.items()}
        measured["answers"].append(
            {
                "kind": kind,
                "figures": {name: asdict(interval) for name, interval in right.items()},
                "table": to_json(answers.by_task(asked, systems, f"Right answers: held-out {kind}")),
            }
        )
        measured["outcomes"].append(to_json(answers.outcomes(systems, f"What became of the answers: held-out {kind}")))
        pairs = [comparisons.compare(AFTER, verdicts[AFTER], other, verdicts[other]) for other in (MAJORITY, BEFORE)]
        measured["comparisons"] += [{"kind": kind} | asdict(pair) for pair in pairs]
        shown = {name: systems[name] for name in models}
        count = recipe.evaluation.examples if kind == "instances" else recipe.evaluation.examples // 2
        measured["examples"] += [to_json(e) for e in answers.examples(asked, shown, count)]
        for name, records in systems.items():
            items += [
                {"kind": f"held-out {kind}", "system": name} | asdict(r) | {"id": f"{kind}/{r.id}/{name}"}
                for r in records
            ]


def _item(conversation: Conversation) -> AnswerItem:
    *asked, answer = conversation.messages
    assert answer.role == "assistant"
    prompt = "\n".join(m.content for m in asked if m.role == "user")
    return AnswerItem(conversation.id, prompt, (answer.content,), conversation.task or "", conversation.type or "")


def _per_task(held: Sequence[Conversation], n: int, seed: int) -> list[Conversation]:
    """At most `n` conversations of each task."""
    tasks: dict[str, list[Conversation]] = {}
    for conversation in held:
        tasks.setdefault(conversation.task or "", []).append(conversation)
    return [c for _, some in sorted(tasks.items()) for c in splits.sample(some, min(n, len(some)), seed)]


def _ask(
    place: Place, model: Decoder, made: Tokenizer, prompts: Sequence[list[int]], asked: Sequence[AnswerItem]
) -> list[AnswerRecord]:
    tuning = place.recipe.tuning
    assert tuning is not None
    limit = place.recipe.evaluation.max_tokens
    ends = templates.ends(tuning.template, made)
    return answers.ask(
        asked,
        prompts,
        lambda ids: generate(model, ids, max_tokens=limit, stop_ids=ends),
        made.decode,
        ends=ends,
        max_tokens=limit,
        context=model.shape.context,
        extract=answers.first_line,
    )


def _prompts(place: Place, models: dict[str, Decoder], made: Tokenizer) -> list[Example]:
    """The user's own prompts, continued as plain text before tuning and answered after it."""
    found = []
    limit = place.recipe.evaluation.max_tokens
    for prompt in place.recipe.evaluation.prompts:
        outputs = []
        for name, model in models.items():
            tuning = place.recipe.tuning
            tuned = name == AFTER and tuning is not None
            ids = (
                templates.prompt((Message("user", prompt),), tuning.template, made)
                if tuned and tuning
                else made.encode(prompt)
            )
            (new,) = generate(model, [ids], max_tokens=limit, stop_ids={made.end})
            outputs.append((name, made.decode(new)))
        found.append(Example("Your prompt", prompt, tuple(outputs)))
    return found


__all__ = ["AFTER", "BEFORE", "MAJORITY", "evaluate"]
