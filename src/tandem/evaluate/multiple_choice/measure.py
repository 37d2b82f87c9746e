"""One task asked of a model: everything at once, so that an engine shares what prompts have in common.

A model with a store asks for nothing twice, so a run that was killed goes on where it was. What this does not do: stand
in for scoring where a model has none; it is refused before anything is sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from tandem.errors import BudgetSpent, CallFailed, UserError
from tandem.evaluate.multiple_choice.scoring import Record, Scored, record
from tandem.evaluate.multiple_choice.task import Asked, Task
from tandem.lm.policies import check_scoring
from tandem.together import together
from tandem.types import LM, Text


async def run(task: Task, model: LM, done: Callable[[], None] = lambda: None) -> Scored:
    """Score every choice of every item; `done` hears of each item.

    Items whose call fails are missing in the result. Raises Unsupported where the model cannot score, UserError with
    the item where a choice alone does not fit into its context.
    """
    check_scoring(Text(""), model.abilities, name=model.name)
    missing: list[tuple[str, str]] = []

    async def one(asked: Asked) -> Record | None:
        try:
            logprobs = await _logprobs(asked, model)
        except (CallFailed, BudgetSpent) as e:
            missing.append((asked.item.id, str(e).splitlines()[0]))
            return None
        except UserError as e:
            where = f"{task.name}, item {asked.item.id}"
            raise type(e)(e.problem, where=f"{where}: {e.where}" if e.where else where, remedy=e.remedy) from None
        done()
        return record(asked, logprobs, task.benchmark.metrics, _cut(asked, model))

    found = await together(one(asked) for asked in task.asked)
    order = {asked.item.id: place for place, asked in enumerate(task.asked)}
    kept = tuple(one for one in found if one is not None)
    return Scored(task, kept, tuple(sorted(missing, key=lambda lost: order[lost[0]])))


async def _logprobs(asked: Asked, model: LM) -> list[float]:
    """Of each choice; those behind one context go in one call."""
    behind: dict[str, list[str]] = defaultdict(list)
    for context, continuation in asked.pairs:
        behind[context].append(continuation)
    calls = [model.score(Text(context), continuations, cut_left=True) for context, continuations in behind.items()]
    scores = [await calls[0]] if len(calls) == 1 else await together(calls)
    rest = {context: iter(each) for context, each in zip(behind, scores, strict=True)}
    return [next(rest[context]).logprob for context, _ in asked.pairs]


def _cut(asked: Asked, model: LM) -> int:
    """Tokens that were cut from the left of the longest prompt: counted only where it could be too long at all."""
    most = model.abilities.context
    longest = max((context + continuation for context, continuation in asked.pairs), key=len)
    if len(longest.encode("utf-8", "surrogatepass")) <= most:  # no token has less than a byte
        return 0
    return max(0, model.count(Text(longest)).tokens - (most + 1))
