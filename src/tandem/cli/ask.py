"""`tandem ask "…"`: put one question to any model, and print its answer."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tandem.cli.asking import how_to_sample, sampling_of, which_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tandem.cli.shown import Shown
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

    from tandem.cli.asking import tell_notes
    from tandem.cli.shown import Shown
    from tandem.lm import connect
    from tandem.lm.growing import watching
    from tandem.store import Store

    store = Store(options.store) if options.store else None
    shown = Shown(live=options.n == 1 and not options.logprobs)
    try:
        shown.wait(f"loading {options.model}")
        model = connect(
            options.model, store=store, allow=options.allow, precision=options.precision, device=options.device
        )
        async with model:
            shown.wait("waiting")
            shown.stop = () if model.abilities.stop else sampling.stop
            begun = time.monotonic()
            with watching(shown.grow, stream=shown.live):
                completions = await model.generate(prompt, sampling, range(options.n))
            seconds = time.monotonic() - begun
            shown.end()
            _print(completions, shown, options.logprobs)
            tell_notes(model, completions, sampling, seconds)
    finally:
        shown.broken()
        if store is not None:
            store.close()
    return 0 if all(completion.finish in ("stop", "length") for completion in completions) else 1


def _print(completions: Sequence[Completion], shown: Shown, logprobs: bool) -> None:
    """The answers, as far as they are not shown already."""
    for number, completion in enumerate(completions, 1):
        if len(completions) > 1:
            print(f"── {number} " + "─" * 20)
        shown.finish(completion.text)
        if logprobs and completion.tokens is not None:
            for token in completion.tokens:
                print(f"  {token.logprob:9.4f}  {token.text!r}")
