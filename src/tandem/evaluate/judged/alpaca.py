"""AlpacaEval, versions 1 and 2: a model's outputs against a baseline's, judged by a model or on record.

    task = load("alpaca_eval", data)            the baseline's outputs are the instructions, too
    await measure(task, judge, model=model)     asks the model, then the judge, item by item
    from_judgments(recorded)                    no model at all

With a store nothing is asked twice. What this does not do: count what has no preference as a loss, or as anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from tandem.errors import UserError
from tandem.evaluate.judged import files, length_control, prompts, reading
from tandem.evaluate.judged.asking import Lost, ask, check_chat
from tandem.evaluate.judged.files import Judgments, Outputs, Recorded
from tandem.evaluate.judged.judge import Form, PairJudge
from tandem.evaluate.judged.length_control import Join, LengthControlled, Published, Rows
from tandem.evaluate.judged.pair import MISSING, Judgment, Pair, swapped, unswapped
from tandem.evaluate.judged.win_rate import WinRate, win_rate
from tandem.lm.model import Model
from tandem.together import together
from tandem.types import Chat, Message, Sampling

BASELINES: Mapping[Form, str] = {
    "alpaca_eval": "alpaca_eval_gpt4_turbo_outputs",
    "alpaca_eval_1": "alpaca_eval_text_davinci_003_outputs",
}
"""Usual names of the baselines' files."""
SAME = 1e-9
"""Recorded preferences are rounded to ten decimals; a difference beyond this is one."""
Control: TypeAlias = Literal["given", "fit", "none"]


@dataclass(frozen=True)
class Lengths:
    """How lengths are held apart."""

    control: Control = "fit"
    """Coefficients that are given, a fit, or not at all."""
    published: Published | None = None
    """Coefficients and difficulties, as far as they are given."""
    join: Join = "row"
    """How difficulties are joined."""
    gamed: tuple[Judgments, ...] = ()
    """Judgments of gamed runs of the baseline, for a fit."""

    def __post_init__(self) -> None:
        if self.control == "given" and (self.published is None or self.published.coefficients is None):
            raise UserError("no coefficients are given", where="length control", remedy=length_control.FORM)
        if self.control == "given" and self.published is not None and self.published.difficulty is None:
            problem = "coefficients are given without difficulties, which they need"
            raise UserError(problem, where=self.published.file, remedy=length_control.FORM)


@dataclass(frozen=True)
class Task:
    """What is asked and judged."""

    name: Form
    """Which version."""
    baseline: Outputs
    """The instructions, and what the baseline says to them."""
    limit: int | None = None
    """The first so many only."""

    @property
    def asked(self) -> tuple[files.Output, ...]:
        """The baseline's rows that are judged."""
        return self.baseline.rows[: self.limit]


@dataclass(frozen=True)
class Judged:
    """What came of it."""

    name: Form
    """Which version."""
    baseline: str
    """Who the baseline is."""
    model: str
    """Who is measured."""
    judge: str
    """Who judged, and in which form."""
    pairs: tuple[Pair, ...]
    """What was judged, in the data's order."""
    judgments: tuple[Judgment, ...]
    """Of each pair."""
    unanswered: tuple[tuple[int, Lost], ...] = ()
    """Rows the model has no output for."""
    controlled: LengthControlled | None = None
    """The length-controlled win rate."""
    notes: tuple[str, ...] = ()
    """What a reader has to know beside the figures."""
    recomputed: tuple[tuple[int, float, float | None], ...] | None = None
    """Of given judgments: (row, on record, out of the recorded log-probabilities), where these are on record."""
    lacking: int = 0
    """Of given judgments: instructions of the baseline that have none."""

    @property
    def rate(self) -> WinRate | None:
        """The win rate; None where nothing has a preference."""
        return win_rate([judgment.preference for judgment in self.judgments])

    @property
    def complete(self) -> bool:
        """Whether nothing is left that another run could mend."""
        lost = [one.outcome for _, one in self.unanswered] + [judgment.outcome for judgment in self.judgments]
        return not self.lacking and not any(outcome in MISSING for outcome in lost)

    @property
    def differing(self) -> tuple[tuple[int, float, float | None], ...]:
        """Rows whose recorded preference is not what the recorded log-probabilities give."""
        rows = self.recomputed or ()
        return tuple(row for row in rows if row[2] is None or not abs(row[2] - row[1]) <= SAME)


def load(name: Form, data: Sequence[Path], *, baseline: Path | None = None, limit: int | None = None) -> Task:
    """The instructions and the baseline's outputs, out of a file or out of a folder of data."""
    if limit is not None and limit < 1:
        raise UserError(f"is {limit}", where="--limit", remedy="give at least 1")
    file = baseline or files.find(data, name, BASELINES[name], files.OUTPUTS)
    return Task(name, files.outputs(file), limit)


def given(task: Task, file: Path) -> Outputs:
    """A model's outputs out of a file. Raises UserError unless they answer the baseline's instructions in order."""
    found = files.outputs(file)
    files.aligned(task.baseline, [(one.instruction, one.where) for one in found.rows], str(file))
    return found


async def measure(
    task: Task,
    judge: PairJudge,
    *,
    model: Model | None = None,
    sampling: Sampling = Sampling(max_tokens=512),  # noqa: B008 — frozen
    outputs: Outputs | None = None,
    lengths: Lengths | None = None,
    names: tuple[str, str] | None = None,
    done: Callable[[], None] = lambda: None,
) -> Judged:
    """Judge the model's outputs, which are given or asked for; `done` hears of each item.

    `names` are those of model and judge for people; without, they are the models' own.

    Raises Unsupported where the model or the judge lacks what is asked of it, before anything is sent.
    """
    assert (model is None) != (outputs is None), "either a model or its outputs"
    check_chat(judge.model, "the judge")
    if model is not None:
        check_chat(model, "the model")

    async def one(row: int) -> tuple[Pair, Judgment] | Lost:
        mine = task.asked[row]
        finish = ""
        if outputs is not None:
            text = outputs.rows[row].text
        else:
            assert model is not None
            answer = await ask(model, Chat((Message("user", mine.instruction),)), sampling)
            if isinstance(answer, Lost):
                return answer
            text, finish = answer.text, answer.finish
        pair = Pair(row, mine.instruction, mine.text, text, mine.dataset, finish)
        judgment = await judge.judge(pair.instruction, pair.baseline, pair.output)
        done()
        return pair, judgment

    came = await together([one(row) for row in range(len(task.asked))])
    there = [one for one in came if not isinstance(one, Lost)]
    judged = Judged(
        task.name,
        task.baseline.generator,
        outputs.generator if outputs else names[0] if names else model.name if model else "",
        names[1] if names else judge.model.name,
        tuple(pair for pair, _ in there),
        tuple(judgment for _, judgment in there),
        tuple((row, one) for row, one in enumerate(came) if isinstance(one, Lost)),
        notes=(f"judged by {judge.how}, prompts {prompts.VERSION}", *_answers([pair for pair, _ in there])),
    )
    return controlled(judged, lengths or Lengths(), [row.instruction for row in task.baseline.rows])


def from_judgments(
    name: Form,
    recorded: Judgments,
    *,
    baseline: Outputs | None = None,
    lengths: Lengths | None = None,
    limit: int | None = None,
) -> Judged:
    """The figures of judgments on record; with the baseline it is checked that they are about its outputs."""
    rows = recorded.rows[:limit]
    pairs, judgments, again = [], [], []
    for n, row in enumerate(rows):
        pairs.append(Pair(n, row.instruction, row.baseline, row.output, row.dataset))
        swap = swapped(row.instruction)
        logprobs = row.logprobs and dict(zip(prompts.LETTERS, row.logprobs, strict=True))
        known = {letter: lp for letter, lp in (logprobs or {}).items() if lp is not None} if logprobs else None
        judgments.append(Judgment(row.preference, row.outcome, swap, "recorded", row.text, known))
        if row.logprobs is not None and row.preference is not None:
            shown = reading.from_logprobs(*row.logprobs)
            again.append((n, row.preference, None if shown is None else unswapped(shown, swap)))
    judged = Judged(
        name,
        recorded.baseline,
        recorded.model,
        recorded.judge,
        tuple(pairs),
        tuple(judgments),
        notes=(f"judgments of {recorded.file}",),
        recomputed=tuple(again) if again else None,
        lacking=_lacking(baseline, rows, limit) if baseline else 0,
    )
    order = [row.instruction for row in (baseline or recorded).rows]
    return controlled(judged, lengths or Lengths(), order)


def controlled(judged: Judged, lengths: Lengths, order: Sequence[str]) -> Judged:
    """With the length-controlled win rate, where there is one; why there is none stands in its notes."""
    published = lengths.published
    if lengths.control == "none" or judged.rate is None or judged.name == "alpaca_eval_1":
        return judged
    difficulty = None
    if published is not None and published.difficulty is not None:
        difficulty = length_control.difficulties(published, judged.pairs, lengths.join, order)
    if lengths.control == "given":
        assert published is not None and difficulty is not None
        _same_names(published, judged)
        return _with(judged, length_control.given(published, difficulty))
    if judged.rate.n < length_control.LEAST:
        few = f"no length-controlled win rate: {judged.rate.n} judged rows are too few for a fit"
        return _with(judged, None, few)
    rows = Rows(judged.pairs, [judgment.preference for judgment in judged.judgments], difficulty)
    gamed = [_gamed(one, lengths, order) for one in lengths.gamed]
    return _with(judged, length_control.fitted(rows, gamed))


def _gamed(recorded: Judgments, lengths: Lengths, order: Sequence[str]) -> Rows:
    pairs = [Pair(n, row.instruction, row.baseline, row.output) for n, row in enumerate(recorded.rows)]
    difficulty = None
    if lengths.published is not None and lengths.published.difficulty is not None:
        difficulty = length_control.difficulties(lengths.published, pairs, lengths.join, order)
    return Rows(pairs, [row.preference for row in recorded.rows], difficulty, gamed=True)


def _with(judged: Judged, found: LengthControlled | None, *notes: str) -> Judged:
    return replace(judged, controlled=found, notes=(*judged.notes, *notes))


def _same_names(published: Published, judged: Judged) -> None:
    """Raise UserError where coefficients are of another model, or against another baseline."""
    for what, mine, theirs in (
        ("model", judged.model, published.model),
        ("baseline", judged.baseline, published.baseline),
    ):
        if theirs and theirs != mine:
            problem = f"holds coefficients of the {what} {theirs!r}, and this is {mine!r}"
            remedy = "leave the coefficients to a fit (--length-control fit), or give this model's"
            raise UserError(problem, where=published.file, remedy=remedy)


def _lacking(baseline: Outputs, rows: Sequence[Recorded], limit: int | None) -> int:
    """How many instructions have no judgment. Raises UserError where a judgment is not about this baseline."""
    known = {row.instruction: row.text for row in baseline.rows}
    for row in rows:
        if row.instruction not in known:
            problem = f"judges {row.instruction!r:.80}, which is none of the baseline's instructions"
            raise UserError(problem, where=row.where, remedy=f"give the judgments against {baseline.file}")
        if known[row.instruction] != row.baseline:
            problem = f"output_1 is not the baseline's output to {row.instruction!r:.80}"
            raise UserError(problem, where=row.where, remedy=f"give the judgments against {baseline.file}")
    there = {row.instruction for row in rows}
    return sum(one.instruction not in there for one in baseline.rows[:limit])


def _answers(pairs: Sequence[Pair]) -> list[str]:
    """What is odd about the model's outputs."""
    empty = sum(not pair.output.strip() for pair in pairs)
    cut = sum(pair.finish == "length" for pair in pairs)
    refused = sum(pair.finish in ("refusal", "filter") for pair in pairs)
    counted = ((empty, "empty"), (cut, "cut at the token limit"), (refused, "refused by the model's provider"))
    return [f"{n} of {len(pairs)} outputs are {what}" for n, what in counted if n]
