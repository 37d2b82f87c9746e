"""What to do instead, when a model lacks what it is asked for: only by a policy that was allowed by name.

Nothing is dropped in silence. What a model does not declare is an `Unsupported` before anything is sent, unless a
policy says what to do; a policy that was applied is part of the recorded request (its answers are other answers), of
each completion's notes and of the tally. What this does not do: send, or repair answers, except that texts a model
cannot stop at are cut off here; prompts are cut by `cutting`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from tandem.errors import Unsupported, UserError
from tandem.lm.cutting import Length, fitted, room
from tandem.lm.growing import within
from tandem.types import Abilities, Chat, Completion, Finish, Message, Prompt, Sampling

Policy: TypeAlias = Literal[
    "own-temperature",
    "calls-for-samples",
    "without-logprobs",
    "without-seed",
    "without-presence-penalty",
    "cut-at-stop",
    "text-as-chat",
    "cut-left",
]

WHAT: Mapping[Policy, str] = {
    "own-temperature": "leave temperature and nucleus to the model",
    "calls-for-samples": "make one call per sample",
    "without-logprobs": "do without log-probabilities",
    "without-seed": "draw samples that no seed repeats",
    "without-presence-penalty": "do without the presence penalty",
    "cut-at-stop": "let the model write on, and cut the answer at the stop text",
    "text-as-chat": "send a plain prompt as the user's only message",
    "cut-left": "cut the beginning of a prompt that is too long",
}
"""What each policy does."""


@dataclass(frozen=True)
class Settled:
    """A question as it is sent, and as it is recorded."""

    prompt: Prompt
    """What is sent."""
    sampling: Sampling
    """How it is sent: without what the model lacks."""
    keyed: Sampling
    """How it is recorded: a seed that cannot be sent still tells one series of samples from another."""
    policies: tuple[Policy, ...]
    """The policies that were applied, in order of the alphabet."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The policies as they are recorded."""
        return tuple(recorded(policy, self.keyed) for policy in self.policies)

    @property
    def greedy(self) -> bool:
        """Whether one answer serves all samples."""
        return self.sampling.temperature == 0


def recorded(policy: Policy, sampling: Sampling) -> str:
    """A policy as it is recorded: where a prompt is cut depends on max_tokens, which is keyed nowhere else."""
    return f"{policy}:{sampling.max_tokens}" if policy == "cut-left" else policy


def allowing(policy: Policy) -> str:
    """How a policy is allowed, as a remedy in a message."""
    return f'--allow {policy}, in Python allow=("{policy}",), to {WHAT[policy]}'


def chosen(names: Iterable[str]) -> frozenset[Policy]:
    """Policies by their names. Raises UserError on one that does not exist."""
    found: set[Policy] = set()
    for name in names:
        if name not in get_args(Policy):
            raise UserError(f"no policy is named {name!r}", remedy=f"choose from {', '.join(get_args(Policy))}")
        found.add(name)  # type: ignore[arg-type]
    return frozenset(found)


def settle(
    prompt: Prompt,
    sampling: Sampling,
    samples: Collection[int],
    abilities: Abilities,
    allowed: Collection[str] = (),
    *,
    name: str = "the model",
    length: Length | None = None,
) -> Settled:
    """What to send to a model of these abilities; `length` tells the tokens of a prompt, where it may be cut.

    Raises Unsupported, naming the ability, the model and the policy that would allow it; UserError on a sampling that
    no model could follow.
    """
    _check(sampling)
    applied: list[Policy] = []

    def lacks(ability: str, asked: str, policy: Policy | None = None, otherwise: str = "") -> None:
        """Apply the policy, or raise."""
        if policy is not None and policy in allowed:
            applied.append(policy)
            return
        remedy = allowing(policy) if policy else otherwise
        raise Unsupported(f"does not have the ability {ability!r}: {asked}", where=name, remedy=remedy)

    sent, keyed = prompt, sampling
    if isinstance(prompt, Chat):
        if not abilities.chat:
            lacks("chat", "a conversation was asked for", otherwise="give it a plain text to continue")
        if prompt.prefill and not abilities.prefill:
            lacks("prefill", "a begun answer was to be continued", otherwise="ask without prefill")
    elif not abilities.text:
        lacks("text", "a plain text was to be continued", "text-as-chat")
        sent = Chat((Message("user", prompt.text),))
    if not abilities.temperature and (sampling.temperature is not None or sampling.top_p != 1):
        asked = f"temperature {sampling.temperature} and top_p {sampling.top_p} were asked for"
        lacks("temperature", asked, "own-temperature")
        keyed = replace(keyed, temperature=None, top_p=1.0)
    if sampling.presence_penalty and not abilities.presence_penalty:
        asked = f"presence_penalty {sampling.presence_penalty} was asked for"
        lacks("presence_penalty", asked, "without-presence-penalty")
        keyed = replace(keyed, presence_penalty=0.0)
    if sampling.ignore_end and not abilities.ignore_end:
        lacks("ignore_end", "it was to write past its end mark", otherwise="ask without ignore_end")
    if sampling.logprobs and not abilities.logprobs:
        lacks("logprobs", "log-probabilities were asked for", "without-logprobs")
        keyed = replace(keyed, logprobs=False, alternatives=0)
    elif sampling.alternatives > abilities.alternatives:
        asked = f"the {sampling.alternatives} likeliest tokens of each place were asked for"
        lacks("alternatives", asked, otherwise=f"ask for {abilities.alternatives}")
    way = keyed
    if sampling.seed and keyed.temperature != 0 and not abilities.seed:
        lacks("seed", f"seed {sampling.seed} was asked for", "without-seed")
    if not abilities.seed:
        way = replace(way, seed=0)
    if sampling.stop and not abilities.stop:
        lacks("stop", "stop texts were asked for", "cut-at-stop")
        way = replace(way, stop=())
    # Where it is allowed it is applied to one sample as well: how many are asked for must not tell answers apart.
    several = len(samples) > 1 or "calls-for-samples" in allowed
    if several and keyed.temperature != 0 and not abilities.many:
        lacks("many", f"{len(samples)} samples were asked for", "calls-for-samples")
    if (
        length is not None
        and "cut-left" in allowed
        and length(sent) > (most := room(abilities.context, way.max_tokens))
    ):
        sent = _cut_left(sent, most, length, name)
        applied.append("cut-left")
    return Settled(sent, way, keyed, tuple(sorted(applied)))


def _cut_left(prompt: Prompt, most: int, length: Length, name: str) -> Prompt:
    if shorter := fitted(prompt, most, length):
        return shorter
    raise UserError(
        f"a prompt of {length(prompt):,} tokens leaves no room in {most:,}, whatever of it may be cut",
        where=name,
        remedy="shorten the system message or the begun answer, or use a model with a longer context",
    )


def check_scoring(context: Prompt, abilities: Abilities, *, name: str = "the model") -> None:
    """Raise Unsupported when continuations of `context` cannot be scored; no policy stands in for this."""
    lacking = [] if abilities.scoring else ["scoring"]
    if isinstance(context, Chat):
        lacking += [] if abilities.chat else ["chat"]
        lacking += [] if abilities.prefill or not context.prefill else ["prefill"]
    if lacking:
        problem = f"does not have the ability {lacking[0]!r}: continuations were to be scored"
        raise Unsupported(problem, where=name, remedy="use a local model; no policy stands in for this")


def cut(completion: Completion, stop: Collection[str]) -> Completion:
    """An answer up to the first stop text in it; its usage stays, it was written."""
    ends = [at for text in stop if text and (at := completion.text.find(text)) >= 0]
    if not ends:
        return completion
    text = completion.text[: min(ends)]
    tokens = None if completion.tokens is None else within(completion.tokens, text)
    finish: Finish = "stop" if completion.finish == "length" else completion.finish
    return replace(completion, text=text, tokens=tokens, finish=finish)


def _check(sampling: Sampling) -> None:
    """Refuse what no model could follow."""
    t, p = sampling.temperature, sampling.top_p
    if t is not None and not (math.isfinite(t) and t >= 0):
        raise UserError(f"cannot be {t}", where="temperature", remedy="0 or a positive number, or none at all")
    if not 0 < p <= 1:
        raise UserError(f"cannot be {p}", where="top_p", remedy="above 0 and at most 1")
    if sampling.alternatives < 0 or (sampling.alternatives and not sampling.logprobs):
        raise UserError(
            f"cannot be {sampling.alternatives}", where="alternatives", remedy="0, or with logprobs a positive number"
        )
    if sampling.max_tokens < 1:
        raise UserError(f"cannot be {sampling.max_tokens}", where="max_tokens", remedy="at least 1")
    if isinstance(sampling.stop, str) or not all(sampling.stop):
        raise UserError(f"cannot be {sampling.stop!r}", where="stop", remedy="a tuple of texts, none of them empty")
    if not math.isfinite(sampling.presence_penalty):
        raise UserError(f"cannot be {sampling.presence_penalty}", where="presence_penalty", remedy="a finite number")
