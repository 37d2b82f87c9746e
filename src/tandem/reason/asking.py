"""How anything is put to a model here: an instruction, worked exchanges, the case at hand, and the begun answer.

One layout for every prompt of every method. A model that continues plain text gets it as one text:

    INSTRUCTION                     a chat gets the instruction as system message, each exchange as two turns, and the
                                    cue with what is begun as the assistant's prefill
    GIVEN
    CUE WRITTEN                     (once for each exchange)

    GIVEN
    CUE BEGUN

A chat that cannot be prefilled is told in words where to go on. What a model lacks is adapted here and noted in the
trace: its own temperature, one call per sample, no log-probabilities, texts cut here instead of stopped there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tandem.errors import CallFailed
from tandem.together import together
from tandem.trace import note
from tandem.types import LM, Chat, Completion, Message, Prompt, Sampling, Text


@dataclass(frozen=True)
class Exchange:
    """One worked case in a prompt."""

    given: str
    """What is given."""
    written: str
    """What is written after the cue."""


def prompt(
    lm: LM, instruction: str, shots: Sequence[Exchange], given: str, cue: str, begun: str = "", *, chat: bool = False
) -> Prompt:
    """The case `given` after its worked exchanges; the model goes on after `cue` and `begun`.

    `chat` asks in conversation although the model continues plain text; a model that cannot is always asked so.
    """
    if lm.abilities.text and not (chat and lm.abilities.chat):
        cases = [_case(shot.given, cue, shot.written) for shot in shots]
        return Text("\n\n".join([*([instruction] if instruction else []), *cases, _case(given, cue, begun)]))
    turns = [Message("system", instruction)] if instruction else []
    for shot in shots:
        turns += [Message("user", shot.given), Message("assistant", _joined(cue, shot.written))]
    prefill = _joined(cue, begun) if begun or cue else ""
    if lm.abilities.prefill:
        return Chat((*turns, Message("user", given)), prefill)
    told = f"{given}\n\nGo on after this, without repeating it:\n{prefill}" if prefill else given
    return Chat((*turns, Message("user", told)))


def is_chat(put: Prompt) -> bool:
    """Whether the prompt is a conversation."""
    return isinstance(put, Chat)


async def draw(
    lm: LM,
    put: Prompt,
    *,
    max_tokens: int,
    stop: tuple[str, ...] = (),
    samples: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
) -> tuple[Completion, ...]:
    """`samples` completions, as far as possible as asked for; what was adapted stands in the trace.

    Texts in `stop` never stand in what comes back. Raises CallFailed where another number comes back: chains of which
    one was drawn and the rest was not would agree with each other always.
    """
    able, adapted = lm.abilities, []
    sampling = Sampling(temperature, 1.0, max_tokens, stop, seed, able.logprobs)
    if not able.temperature:
        sampling = replace(sampling, temperature=None)
        adapted.append("own temperature")
    if seed and not able.seed and temperature:
        sampling = replace(sampling, seed=0)
        adapted.append("no seed")
    if not able.logprobs:
        adapted.append("no log-probabilities")
    if stop and not able.stop:
        sampling = replace(sampling, stop=())
        adapted.append("cut here")
    one_by_one = samples > 1 and not able.many and sampling.temperature != 0
    if one_by_one:
        adapted.append("one call per sample")
    if adapted:
        note(adapted=adapted)
    if one_by_one:
        each = await together(lm.generate(put, sampling, range(i, i + 1)) for i in range(samples))
        came = tuple(one for some in each for one in some)
    else:
        came = await lm.generate(put, sampling, range(samples))
    if len(came) != samples:
        raise CallFailed(f"{samples} samples were asked for and {len(came)} came", kind="malformed", where=lm.name)
    return tuple(_cut(one, stop) for one in came) if stop and not able.stop else came


def _cut(one: Completion, stop: Sequence[str]) -> Completion:
    ends = [at for text in stop if (at := one.text.find(text)) >= 0]
    if not ends:
        return one
    text = one.text[: min(ends)]
    size = len(text.encode("utf-8", "replace"))
    kept = None if one.tokens is None else tuple(token for token in one.tokens if token.end <= size)
    return replace(one, text=text, tokens=kept, finish="stop" if one.finish == "length" else one.finish)


def one_line(text: str) -> str:
    """A text that can stand in a prompt as data: nothing in it begins a line."""
    return " ".join(text.split())


def _case(given: str, cue: str, written: str) -> str:
    return f"{given}\n{_joined(cue, written)}" if cue or written else given


def _joined(cue: str, written: str) -> str:
    return cue if not written else written if not cue else f"{cue}{'' if written[0].isspace() else ' '}{written}"
