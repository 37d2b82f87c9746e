"""MT-bench asked: a model for its answers, a judge for its grades or its verdicts.

    answers = await answer(bench, model, sampling)        the second question comes after the first answer
    await grade(bench, answers, judge)                    1 to 10, a turn at a time
    await compare(bench, answers, others, judge)          A, B or tie, in both orders

With a store nothing is asked twice. What this does not do: give a grade to what cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tandem.evaluate.judged import prompts, reading
from tandem.evaluate.judged.asking import Lost, ask, check_chat
from tandem.evaluate.judged.mt_bench import OTHER, TEMPERATURES, TURNS, Answers, Bench, Conversation
from tandem.evaluate.judged.mt_grades import Compared, Grade, Graded, Verdict, Winner
from tandem.evaluate.judged.pair import Outcome
from tandem.lm.model import Model
from tandem.together import together
from tandem.types import Chat, Message, Sampling

ROOM = 2048
"""Tokens a judge may write."""


async def answer(bench: Bench, model: Model, sampling: Sampling) -> Answers:
    """A model's answers; the temperature is the category's, the rest of the sampling as given."""
    check_chat(model, "the model")
    texts: dict[str, tuple[str, ...]] = {}
    finishes: dict[str, tuple[str, ...]] = {}
    lost: dict[str, Lost] = {}

    async def one(question: Conversation) -> None:
        temperature = TEMPERATURES.get(question.category, OTHER)
        how = replace(sampling, temperature=None if sampling.temperature is None else temperature)
        messages: list[Message] = []
        said: list[str] = []
        ends: list[str] = []
        for turn in question.turns:
            messages.append(Message("user", turn))
            came = await ask(model, Chat(tuple(messages)), how)
            if isinstance(came, Lost):
                lost[question.id] = came
                break
            messages.append(Message("assistant", came.text))
            said.append(came.text)
            ends.append(came.finish)
        texts[question.id], finishes[question.id] = tuple(said), tuple(ends)

    await together([one(question) for question in bench.questions])
    return Answers(model.name, texts, lost, finishes)


async def grade(bench: Bench, answers: Answers, judge: Model, done: Callable[[], None] = lambda: None) -> Graded:
    """Grade every answer; `done` hears of each question."""
    check_chat(judge, "the judge")

    async def one(question: Conversation, turn: int) -> Grade:
        said = answers.texts[question.id]
        if len(said) < turn:
            why = answers.lost[question.id]
            return Grade(question, turn, None, why.outcome, f"no answer: {why.why}")
        prompt = prompts.single(question.turns[:turn], said[:turn], question.shown(turn))
        text, outcome = await _written(judge, prompt)
        score = reading.grade(text) if outcome == "preferred" else None
        if turn == TURNS:
            done()
        return Grade(
            question,
            turn,
            score,
            "unparsed" if outcome == "preferred" and score is None else outcome,
            text,
            said[turn - 1],
        )

    work = [one(question, turn) for question in bench.questions for turn in range(1, 1 + TURNS)]
    return Graded(answers.model, judge.name, tuple(await together(work)), answers)


async def compare(
    bench: Bench, answers: Answers, others: Answers, judge: Model, done: Callable[[], None] = lambda: None
) -> Compared:
    """Compare every answer with another's in both orders; `done` hears of each question."""
    check_chat(judge, "the judge")

    async def one(question: Conversation, turn: int) -> Verdict:
        mine, theirs = answers.texts[question.id], others.texts[question.id]
        if len(mine) < turn:
            why = answers.lost[question.id]
            return Verdict(question, turn, (None, None), (why.outcome, why.outcome), ("", ""), ("", theirs[turn - 1]))
        asked, references = question.turns[:turn], question.shown(turn)
        orders = ((mine, theirs), (theirs, mine))
        said = await together(
            [_written(judge, prompts.versus(asked, a[:turn], b[:turn], references)) for a, b in orders]
        )
        read = [reading.verdict(text) if outcome == "preferred" else None for text, outcome in said]
        first, second = (_winner(verdict, shown_first=n == 0) for n, verdict in enumerate(read))
        outcomes: list[Outcome] = [
            "unparsed" if outcome == "preferred" and verdict is None else outcome
            for (_, outcome), verdict in zip(said, read, strict=True)
        ]
        if turn == TURNS:
            done()
        texts = said[0][0], said[1][0]
        both = mine[turn - 1], theirs[turn - 1]
        return Verdict(question, turn, (first, second), (outcomes[0], outcomes[1]), texts, both)

    work = [one(question, turn) for question in bench.questions for turn in range(1, 1 + TURNS)]
    return Compared(answers.model, others.model, judge.name, tuple(await together(work)))


def _winner(verdict: reading.Winner | None, *, shown_first: bool) -> Winner | None:
    """Whose answer a verdict is for; `shown_first` where A is the model."""
    if verdict is None or verdict == "tie":
        return verdict
    return "model" if (verdict == "A") == shown_first else "other"


async def _written(judge: Model, prompt: Chat) -> tuple[str, Outcome]:
    """What the judge writes, and what became of it; `preferred` is an answer that can be read."""
    came = await ask(judge, prompt, Sampling(max_tokens=ROOM))
    if isinstance(came, Lost):
        return came.why, came.outcome
    return came.text, "refused" if came.finish in ("refusal", "filter") else "preferred"
