"""A model that follows rules: for tests, examples and docs, where what is said has to be known beforehand.

A rule fits a prompt by what it contains or by a regular expression; the first rule that fits, and that has what is
asked for (answers, or scores of continuations), decides. Sample i gets the rule's answer i, and the list begins again
after its last. Rules can also wait, refuse and fail. A token is a word with the white space before it.

What this does not do: pretend. A prompt that no rule fits is an error, never an empty answer. Rejected: functions as
rules; a file could not hold them, and the name could not be a hash of them.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tandem.errors import CallFailed, UserError
from tandem.lm.excerpt import excerpt, readable
from tandem.lm.policies import allowing
from tandem.text import fingerprint
from tandem.types import Abilities, Completion, Count, Finish, Prompt, Sampling, Score, Token, Usage

CONTEXT = 32_768
"""Tokens (words) of prompt and answer, unless the abilities say otherwise."""
REMEMBERED = 10_000
"""Calls that `Scripted.calls` keeps, the latest."""

ABLE = Abilities(
    context=CONTEXT,
    chat=True,
    prefill=True,
    many=True,
    temperature=True,
    seed=True,
    logprobs=True,
    scoring=True,
    presence_penalty=True,
    ignore_end=True,
)
"""What a scripted model can be asked for, unless told otherwise: everything."""

_WORD = re.compile(r"\s*\S+|\s+\Z")
_GROUP = re.compile(r"\\(\d|g<\w+>)")


@dataclass(frozen=True)
class Said:
    """One scripted answer."""

    text: str
    """What is said; `\\1` and `\\g<name>` stand for groups of the rule's expression."""
    finish: Finish = "stop"
    """Why it ends; `refusal` and `filter` make a refusal of it."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each word (with the white space before it); none: the rule's `logprob` for each."""


@dataclass(frozen=True)
class Rule:
    """What to say to the prompts it fits; a rule without a condition fits every prompt."""

    answers: tuple[str | Said, ...] = ()
    """Answers by sample index, beginning again after the last; at temperature 0 always the first."""
    contains: tuple[str, ...] = ()
    """Texts that must all stand in the prompt (a turn of a conversation reads `role: content`)."""
    matches: str = ""
    """A regular expression that must be found in the prompt; `.` crosses lines."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Log-probability of continuations, by their text."""
    unlisted: float | None = None
    """Log-probability of a continuation that `scores` does not list; None makes it an error."""
    logprob: float = -1.0
    """Log-probability of every word of an answer that does not give its own."""
    delay: float = 0.0
    """Seconds to wait before anything is said."""
    fails: str = ""
    """Kind of failure to raise instead of answering: rate-limit, server, timeout, connection …"""
    times: int = 0
    """The first so many calls of each prompt fail, later ones are answered; 0 with `fails`: all fail."""


class Scripted:
    """A back end that answers by rules. Its name is a hash of them."""

    def __init__(
        self, rules: Sequence[Rule] | Mapping[str, str | Sequence[str]], *, abilities: Abilities = ABLE
    ) -> None:
        """Follow `rules` in order; a mapping is short for rules by what the prompt contains ("" fits every prompt).

        Raises UserError on a rule that can never do anything: no answers, scores or failure, a bad expression.
        """
        if isinstance(rules, Mapping):
            rules = [
                Rule((said,) if isinstance(said, str) else tuple(said), (key,) if key else ())
                for key, said in rules.items()
            ]
        self.rules = tuple(rules)
        self.abilities = abilities
        self._expressions = [_checked(rule, f"rule {n}") for n, rule in enumerate(self.rules, 1)]
        content = {"abilities": asdict(abilities), "rules": [asdict(rule) for rule in self.rules]}
        self.name = f"scripted-{fingerprint(content)}"
        self.calls: deque[tuple[Prompt, Sampling, range]] = deque(maxlen=REMEMBERED)
        """What `generate` was asked, in order; for tests."""
        self._failed: Counter[tuple[int, Prompt]] = Counter()

    @classmethod
    def read(cls, file: str | Path) -> Scripted:
        """The rules of a TOML or JSON file. Raises UserError with the file and the key on anything it may not hold."""
        from tandem.lm.rules import read

        rules, abilities = read(Path(file))
        return cls(rules, abilities=abilities)

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """What the first fitting rule says, one answer per sample index.

        Raises UserError when no rule fits or the prompt exceeds the context, CallFailed when the rule fails.
        """
        self.calls.append((prompt, sampling, samples))
        read = self._fitting_in(prompt)
        place, found = self._rule(prompt, "answers")
        await self._happen(place, prompt)
        rule = self.rules[place]
        return tuple(
            self._completion(rule, found, 0 if sampling.temperature == 0 else index, sampling, read, cached=number > 0)
            for number, index in enumerate(samples)
        )

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """What the first fitting rule with scores lists; the likeliest it lists counts as greedy.

        Raises UserError when no rule fits, or the rule does not list a continuation.
        """
        if not cut_left:
            self._fitting_in(context)
        number, _ = self._rule(context, "scores")
        await self._happen(number, context)
        rule = self.rules[number]
        scores = []
        for continuation in continuations:
            logprob = rule.scores.get(continuation, rule.unlisted)
            if logprob is None:
                raise UserError(
                    f"rule {number + 1} gives no log-probability for the continuation {continuation!r}",
                    where=self.name,
                    remedy="list it under `scores`, or give `unlisted`",
                )
            greedy = continuation in rule.scores and logprob == max(rule.scores.values())
            scores.append(Score(logprob, max(1, len(words(continuation))), greedy))
        return tuple(scores)

    def count(self, prompt: Prompt) -> Count:
        """Words of the prompt, exactly: words are this model's tokens."""
        return Count(len(words(readable(prompt))), exact=True)

    async def close(self) -> None:
        """Nothing is held."""

    def _fitting_in(self, prompt: Prompt) -> int:
        length = self.count(prompt).tokens
        if length >= self.abilities.context:
            raise UserError(
                f"a prompt of {length:,} tokens leaves no room in a context of {self.abilities.context:,}",
                where=self.name,
                remedy=f"shorten it, or {allowing('cut-left')}",
            )
        return length

    def _rule(self, prompt: Prompt, wanted: str) -> tuple[int, re.Match[str] | None]:
        """Number of the first rule that fits and has what is wanted, and the match of its expression."""
        text = readable(prompt)
        for number, (rule, expression) in enumerate(zip(self.rules, self._expressions, strict=True)):
            always_fails = bool(rule.fails) and not rule.times
            if not (getattr(rule, wanted) or always_fails or (wanted == "scores" and rule.unlisted is not None)):
                continue
            found = expression.search(text) if expression else None
            if all(part in text for part in rule.contains) and (expression is None or found):
                return number, found
        raise UserError(
            f"no rule with {wanted} fits the prompt “{excerpt(prompt)}”",
            where=self.name,
            remedy="add a rule for it, or one without a condition at the end",
        )

    async def _happen(self, number: int, prompt: Prompt) -> None:
        """Wait and fail as the rule says."""
        rule = self.rules[number]
        if rule.delay:
            await asyncio.sleep(rule.delay)
        if rule.fails and (not rule.times or self._failed[number, prompt] < rule.times):
            self._failed[number, prompt] += 1
            raise CallFailed(f"rule {number + 1} fails on purpose", kind=rule.fails, where=self.name)

    def _completion(
        self, rule: Rule, found: re.Match[str] | None, index: int, sampling: Sampling, read: int, *, cached: bool
    ) -> Completion:
        said = rule.answers[index % len(rule.answers)]
        if isinstance(said, str):
            said = Said(said)
        text = _GROUP.sub(lambda group: found.expand(group.group()), said.text) if found else said.text
        finish = said.finish
        ends = [at for stop in sampling.stop if (at := text.find(stop)) >= 0]
        if ends:
            text, finish = text[: min(ends)], "stop"
        spoken = words(text)
        written = len(spoken)
        if written > (room := min(sampling.max_tokens, self.abilities.context - read)):
            spoken, written, finish = spoken[:room], room, "length"
            text = "".join(spoken)
        tokens: list[Token] = []
        for n, word in enumerate(spoken if sampling.logprobs else []):
            start = tokens[-1].end if tokens else 0
            logprob = said.logprobs[n] if n < len(said.logprobs) else rule.logprob
            tokens.append(Token(word, logprob, start, start + len(word.encode(errors="replace"))))
        return Completion(
            text,
            finish,
            tuple(tokens) if sampling.logprobs else None,
            Usage(read, written, cached_tokens=read if cached else 0),
            self.name,
        )


def words(text: str) -> list[str]:
    """The words of a text, each with the white space before it; together they are the text."""
    return _WORD.findall(text)


def _checked(rule: Rule, where: str) -> re.Pattern[str] | None:
    """The rule's compiled expression. Raises UserError on what cannot work."""
    speaks = bool(rule.answers or rule.scores) or rule.unlisted is not None
    problem = (
        "has neither answers nor scores nor a failure"
        if not (speaks or rule.fails)
        else f"delay is {rule.delay:g} seconds"
        if not 0 <= rule.delay < math.inf
        else f"times is {rule.times}"
        if rule.times < 0
        else "times is given, but nothing fails"
        if rule.times and not rule.fails
        else "fails a few times, but then has neither answers nor scores"
        if rule.times and not speaks
        else "a log-probability is above 0 or not a number"
        if not all(p <= 0 for p in _logprobs(rule))
        else None
    )
    if problem:
        raise UserError(problem, where=where, remedy="mend the rule; docs/models.md lists what a rule may hold")
    for said in rule.answers:
        if (
            isinstance(said, Said)
            and said.logprobs
            and not rule.matches
            and len(said.logprobs) != len(words(said.text))
        ):
            raise UserError(
                f"{len(said.logprobs)} log-probabilities for the {len(words(said.text))} words of {said.text!r}",
                where=where,
                remedy="give one for each word (a word includes the white space before it)",
            )
    if not rule.matches:
        return None
    try:
        return re.compile(rule.matches, re.DOTALL)
    except re.error as e:
        raise UserError(
            f"is not a regular expression: {e}", where=f"{where}, matches", remedy="escape what is meant literally"
        ) from None


def _logprobs(rule: Rule) -> list[float]:
    given = [p for said in rule.answers if isinstance(said, Said) for p in said.logprobs]
    return [*given, *rule.scores.values(), rule.logprob, *([] if rule.unlisted is None else [rule.unlisted])]
