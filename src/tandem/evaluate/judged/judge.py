"""A model as a judge of two answers: which one is better, and how sure is it?

    judge = PairJudge(model)
    await judge.prefer(question, first, second)      # probability that the second is better

The published judges of AlpacaEval in our own words. `alpaca_eval` names the answers m and M and takes the preference
from how likely the judge finds either name: exactly where the model scores continuations, else from the likeliest
tokens in the place of the first, as published, else from the probability of the token that it writes (all that is not
its own counts for the other name), else from what it writes. `alpaca_eval_1` asks for a ranked list. Each pair is
judged in one order, drawn as published from the instruction, or in both.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Literal, TypeAlias, get_args

from tandem.errors import BudgetSpent, CallFailed, UserError
from tandem.evaluate.judged import prompts, reading
from tandem.evaluate.judged.asking import Lost, ask, score
from tandem.evaluate.judged.pair import Judgment, swapped, unswapped
from tandem.lm.model import Model
from tandem.together import together
from tandem.types import Chat, Completion, Question, Sampling, Token

Form: TypeAlias = Literal["alpaca_eval", "alpaca_eval_1"]
ANSWER = {"alpaca_eval": 8, "alpaca_eval_1": 100}
"""Tokens that a judge may write: the name itself may come after a space or a quotation mark."""
LIKELIEST = 5
"""Tokens that the published judge looks at in the place of the first."""


class PairJudge:
    """A `Judge`: one model, one form of question."""

    def __init__(self, model: Model, form: Form = "alpaca_eval", *, both_orders: bool = False) -> None:
        """Judge with `model`; with `both_orders` every pair is judged twice and the preferences are averaged.

        Raises UserError on a form that is unknown.
        """
        if form not in get_args(Form):
            raise UserError(f"no judge has the form {form!r}", remedy=f"one of {', '.join(get_args(Form))}")
        self.model, self.form, self.both_orders = model, form, both_orders
        self.tally: Counter[str] = Counter()
        """Judgments by outcome."""

    @property
    def how(self) -> str:
        """What its preferences rest on, where everything goes well."""
        if self.form == "alpaca_eval_1":
            return "text"
        able = self.model.abilities
        if able.scoring:
            return "scores"
        return "likeliest tokens" if able.alternatives else "own token" if able.logprobs else "text"

    async def prefer(self, question: Question, first: str, second: str) -> float:
        """Probability that `second` is better; NaN where the judge's answer cannot be read (`tally` counts it).

        Raises CallFailed and BudgetSpent where there is no answer, Unsupported where the model takes no conversation.
        """
        judgment = await self.judge(question.text, first, second)
        if judgment.outcome == "failed":
            raise CallFailed(judgment.note, kind=judgment.note.partition(":")[0], where=self.model.name)
        if judgment.outcome == "not asked":
            raise BudgetSpent(judgment.note, where=self.model.name)
        return math.nan if judgment.preference is None else judgment.preference - 1

    async def judge(self, instruction: str, first: str, second: str) -> Judgment:
        """What the judge says; a preference of 1 is `first`, 2 is `second`."""
        if self.both_orders:
            one, other = await together([self._once(instruction, first, second, swap) for swap in (False, True)])
            judgment = _mean(one, other)
        else:
            judgment = await self._once(instruction, first, second, swapped(instruction))
        self.tally[judgment.outcome] += 1
        return judgment

    async def _once(self, instruction: str, first: str, second: str, swap: bool) -> Judgment:
        shown = (second, first) if swap else (first, second)
        if self.how == "scores":
            prompt = prompts.letter(instruction, *shown)
            scores = await score(self.model, prompt, prompts.LETTERS)
            if isinstance(scores, Lost):
                return Judgment(None, scores.outcome, swap, note=scores.why)
            a, b = (one.logprob for one in scores)
            return _judged(reading.from_logprobs(a, b), swap, "scores", "", {"m": a, "M": b})
        ranked = self.form == "alpaca_eval_1"
        prompt = (prompts.ranking if ranked else prompts.letter)(instruction, *shown)
        likeliest = min(LIKELIEST, self.model.abilities.alternatives) if self.how == "likeliest tokens" else 0
        sampling = Sampling(
            max_tokens=ANSWER[self.form], logprobs=self.how in ("likeliest tokens", "own token"), alternatives=likeliest
        )
        answer = await ask(self.model, prompt, sampling)
        if isinstance(answer, Lost):
            return Judgment(None, answer.outcome, swap, note=answer.why)
        if answer.finish in ("refusal", "filter"):
            return Judgment(None, "refused", swap, "text", answer.text, note=answer.finish)
        if ranked:
            return _judged(reading.from_ranks(answer.text, prompts.RANKED), swap, "text", answer.text)
        return _from_letter(answer, swap)

    def question(self, instruction: str, first: str, second: str) -> Chat:
        """What the judge is asked, for a person to read."""
        shown = (second, first) if swapped(instruction) else (first, second)
        return (prompts.ranking if self.form == "alpaca_eval_1" else prompts.letter)(instruction, *shown)


def _from_letter(answer: Completion, swap: bool) -> Judgment:
    """The preference in an answer that should be m or M: the likeliest tokens, its own token, else the letter."""
    names = _likeliest(answer.tokens or ())
    if names:
        shown = reading.from_logprobs(*map(names.get, prompts.LETTERS))
        return _judged(shown, swap, "likeliest tokens", answer.text, names)
    letter = reading.from_letter(answer.text)
    token = _named(answer.tokens or ())
    if letter is None or token is None:
        return _judged(letter, swap, "text", answer.text)
    own = min(token.logprob, 0.0)
    rest = math.log1p(-math.exp(own)) if own < 0 else -math.inf
    a, b = (own, rest) if letter == 1 else (rest, own)
    logprobs = {name: lp for name, lp in zip(prompts.LETTERS, (a, b), strict=True) if lp > -math.inf}
    return _judged(reading.from_logprobs(a, b), swap, "own token", answer.text, logprobs)


def _likeliest(tokens: tuple[Token, ...]) -> dict[str, float]:
    """Log-probabilities of the names among the likeliest first tokens; of one that occurs twice, the likelier."""
    first = next((token for token in tokens if token.text.strip()), None)
    found: dict[str, float] = {}
    for text, logprob in first.alternatives if first else ():
        name = text.strip()
        if name in prompts.LETTERS:
            found[name] = max(logprob, found.get(name, -math.inf))
    return found


def _named(tokens: tuple[Token, ...]) -> Token | None:
    """The token that is the name, where it is a token of its own."""
    first = next((token for token in tokens if token.text.strip()), None)
    return first if first is not None and first.text.strip() in prompts.LETTERS else None


def _judged(shown: float | None, swap: bool, how: str, text: str, logprobs: dict[str, float] | None = None) -> Judgment:
    """A preference between first and second shown as a judgment."""
    if shown is None:
        return Judgment(None, "unparsed", swap, how, text, logprobs, "the answer names neither")
    return Judgment(unswapped(shown, swap), "preferred", swap, how, text, logprobs)


def _mean(one: Judgment, other: Judgment) -> Judgment:
    """Both orders as one judgment; without a preference where one of them has none."""
    for judgment in (one, other):
        if judgment.preference is None:
            return judgment
    assert one.preference is not None and other.preference is not None
    text = " | ".join(dict.fromkeys(filter(None, (one.text, other.text))))
    return Judgment((one.preference + other.preference) / 2, "preferred", how=f"{one.how}, both orders", text=text)
