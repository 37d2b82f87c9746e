"""`tandem ask "…"`: put one question to any model, and print its answer."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tandem.cli.asking import how_to_sample, sampling_of, which_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tandem.lm.model import Model
    from tandem.types import Completion, Prompt, Sampling


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem ask`."""
    add = parser.add_argument
    add("prompt", nargs="*", help="the question; without one (or with -) it is read from standard input")
    which_model(parser)
    add("--system", default="", metavar="TEXT", help="a system message in front of the question")
    add("--prefill", default="", metavar="TEXT", help="the beginning of the answer, which the model continues")
    add("--text", action="store_true", help="let the model continue the prompt as plain text, without a conversation")
    add("--n", type=int, default=1, metavar="N", help="draw so many answers (default: 1)")
    how_to_sample(parser, temperature=0.0)
    add("--store", metavar="FILE", help="record the answer in this file, or take it from there")


def run(options: argparse.Namespace) -> int:
    """Ask, print, and say on standard error what was not as asked."""
    import asyncio

    from tandem.cli.asking import plain_warnings

    prompt, sampling = _prompt(options), sampling_of(options)
    if options.n > 1 and sampling.temperature == 0:
        print("at temperature 0 all answers are the same; --temperature 0.8 draws different ones", file=sys.stderr)
    with plain_warnings():
        return asyncio.run(_ask(options, prompt, sampling))


def _prompt(options: argparse.Namespace) -> Prompt:
    """The question, as a conversation unless --text."""
    from tandem.errors import UserError
    from tandem.types import Chat, Message, Text

    words = " ".join(options.prompt)
    if words in ("", "-") and not (options.prompt and options.prompt != ["-"]):
        if sys.stdin.isatty():
            print("Type the question; Ctrl-D ends it.", file=sys.stderr)
        words = sys.stdin.read().rstrip("\n")
    if not words.strip():
        raise UserError("the question is empty", remedy='write it behind the command: tandem ask "…"')
    if options.text:
        for name in ("system", "prefill"):
            if getattr(options, name):
                raise UserError("goes with a conversation", where=f"--{name}", remedy="leave --text away, or put it in")
        return Text(words)
    system = (Message("system", options.system),) if options.system else ()
    return Chat((*system, Message("user", words)), options.prefill)


async def _ask(options: argparse.Namespace, prompt: Prompt, sampling: Sampling) -> int:
    import time

    from tandem.lm import connect
    from tandem.lm.growing import watching
    from tandem.store import Store

    store = Store(options.store) if options.store else None
    shown = _Shown(live=sys.stdout.isatty() and options.n == 1 and not options.logprobs)
    try:
        shown.wait(f"loading {options.model}")
        model = connect(
            options.model, store=store, allow=options.allow, precision=options.precision, device=options.device
        )
        async with model:
            shown.wait("waiting")
            begun = time.monotonic()
            with watching(shown.grow):
                completions = await model.generate(prompt, sampling, range(options.n))
            seconds = time.monotonic() - begun
            shown.end()
            _print(completions, shown.text, options.logprobs)
            _print_notes(model, completions, sampling, seconds)
    finally:
        shown.end()
        if store is not None:
            store.close()
    return 0 if all(completion.finish in ("stop", "length") for completion in completions) else 1


class _Shown:
    """What a terminal shows before the answer is complete: what is waited for, then the answer as far as it goes."""

    def __init__(self, live: bool) -> None:
        self.text = ""
        """What stands on standard output so far."""
        self._live = live
        self._waiting = False

    def wait(self, what: str) -> None:
        """A line on standard error that goes away again."""
        self.end()
        if sys.stderr.isatty():
            from tandem.cli.asking import columns

            # A line that wraps could not be taken away whole; of a long address the end tells most.
            room = columns() - 3
            what = what if len(what) <= room else f"…{what[len(what) - max(0, room - 1) :]}"
            print(f"{what} …"[: room + 2], end="", file=sys.stderr, flush=True)
            self._waiting = True

    def end(self) -> None:
        """Take the line away."""
        if self._waiting:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._waiting = False

    def grow(self, text: str) -> None:
        """Print what is new; white space at either end waits for what follows it."""
        text = _safe(text.strip())
        if self._live and len(text) > len(self.text):
            self.end()
            print(text[len(self.text) :], end="", flush=True)
            self.text = text


def _print(completions: Sequence[Completion], shown: str, logprobs: bool) -> None:
    """The answers, as far as they are not `shown` already."""
    for number, completion in enumerate(completions, 1):
        if len(completions) > 1:
            print(f"── {number} " + "─" * 20)
        print(_safe(completion.text.strip() or "(nothing)").removeprefix(shown))
        if logprobs and completion.tokens is not None:
            for token in completion.tokens:
                print(f"  {token.logprob:9.4f}  {token.text!r}")


def _safe(text: str) -> str:
    """The text, on a terminal without characters that could steer it."""
    from tandem.cli.answers import printable

    return printable(text) if sys.stdout.isatty() else text


def _print_notes(model: Model, completions: Sequence[Completion], sampling: Sampling, seconds: float) -> None:
    """What was not as asked; on a terminal, also tokens and time."""
    from collections import Counter

    from tandem.cli.asking import cost_of
    from tandem.text import duration

    finishes = Counter(completion.finish for completion in completions)
    for finish, n in finishes.items():
        which = "the answer" if len(completions) == 1 else f"{n} of {len(completions)} answers"
        if finish == "length":
            print(f"{which} reached {sampling.max_tokens} tokens; --max-tokens gives more room", file=sys.stderr)
        elif finish != "stop":
            print(f"{which}: {finish}", file=sys.stderr)
    for note, n in Counter(note for completion in completions for note in completion.notes).items():
        print(f"note: {note}" + (f" ({n} of {len(completions)})" if n < len(completions) else ""), file=sys.stderr)
    if sys.stderr.isatty():
        used = model.usage
        speed = f" · {used.completion_tokens / seconds:.0f} tokens/s" if used.completion_tokens and seconds else ""
        parts = [f"{used.prompt_tokens:,} tokens read, {used.completion_tokens:,} written", duration(seconds) + speed]
        parts += [cost] if (cost := cost_of(model)) else []
        print("· " + " · ".join(parts), file=sys.stderr)
