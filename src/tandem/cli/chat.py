"""`tandem chat MODEL`: talk to any model; one question with --prompt, a conversation without.

One model, loaded once, answers the whole conversation: on our own engine each turn reads only what is new in it. What
this does not do: record (`tandem ask --store` and `tandem generate` do).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.cli.asking import ADDRESSES, how_to_compute, temperature_or_own

if TYPE_CHECKING:
    import asyncio

    from tandem.cli.shown import Shown
    from tandem.lm.model import Model
    from tandem.types import Completion, Message, Prompt, Sampling


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem chat`."""
    add = parser.add_argument
    add("model", help=f"the folder of a run or a model, or an address: {ADDRESSES}")
    add("--prompt", help="ask this one question, print the answer, and exit")
    add("--system", default="", metavar="TEXT", help="a system message in front of the conversation")
    add("--adapter", metavar="DIR", help="a LoRA adapter folder to put on the model")
    add("--template", choices=["own", "xgen", "fastchat", "none"], help="chat form (default: the model's own)")
    add(
        "--temperature", type=temperature_or_own, default=0.0, metavar="T", help="0 takes the likeliest token (default)"
    )
    add("--top-p", type=float, default=1.0, metavar="P", help="sample from the tokens that hold this probability")
    add("--max-tokens", type=int, default=256, metavar="N", help="longest answer, in tokens (default: 256)")
    add("--seed", type=int, default=0, metavar="N", help="seed of the sampling (default: 0)")
    parser.set_defaults(n=1, stop=[], logprobs=False)
    how_to_compute(parser)


def run(options: argparse.Namespace) -> int:
    """Load the model once, then answer until the input ends."""
    import asyncio

    from tandem.cli.asking import plain_warnings, sampling_of
    from tandem.cli.shown import Shown

    sampling, shown = sampling_of(options), Shown()
    with plain_warnings():
        shown.wait(f"loading {options.model}")
        model = _model(options)
        shown.end()
        talk = Conversation(model, sampling, system=options.system, plain=_plain(options, model))
        with asyncio.Runner() as loop:
            try:
                if options.prompt is not None:
                    return 0 if _answer(loop, talk, options.prompt, shown) else 1
                return _converse(loop, talk, options.model, shown)
            finally:
                loop.run(model.close())


class Conversation:
    """What was said so far, and the model that answers."""

    def __init__(self, model: Model, sampling: Sampling, *, system: str = "", plain: bool = False) -> None:
        """With `plain` each turn stands alone, and the model continues it as a text."""
        self.model, self.sampling = model, sampling
        self._system, self._plain = system, plain
        self._said: tuple[Message, ...] = ()

    def forget(self) -> None:
        """Begin again."""
        self._said = ()

    async def say(self, words: str) -> Completion:
        """The answer to the next turn; only once it is there are the two part of the conversation.

        Older turns are left out when the conversation outgrows the context; a single turn is cut under a policy only.
        """
        from tandem.types import Message

        said = (*self._said, Message("user", words))
        (completion,) = await self.model.generate(self._prompt(said), self.sampling)
        self._said = (*said, Message("assistant", completion.text.strip()))
        return completion

    def _prompt(self, said: tuple[Message, ...]) -> Prompt:
        from tandem.lm.cutting import recent, room
        from tandem.lm.meter import worst_read
        from tandem.types import Chat, Message, Text

        if self._plain:
            return Text(said[-1].content)
        whole = Chat(((Message("system", self._system),) if self._system else ()) + said)
        most = room(self.model.abilities.context, self.sampling.max_tokens)
        return recent(whole, most, lambda prompt: worst_read(self.model.count(prompt)))


def _model(options: argparse.Namespace) -> Model:
    """The model of a folder or an address."""
    from tandem.lm import connect
    from tandem.lm.addresses import ADAPTER

    address = f"local:{options.model}" if Path(options.model).is_dir() else options.model
    if options.adapter:
        address += f"{ADAPTER}{options.adapter}"
    template = None
    if options.template in ("xgen", "fastchat"):
        from tandem.train.templates import CHAT_TEMPLATES

        template = CHAT_TEMPLATES[options.template]
    allow, precision, device = options.allow, options.precision, options.device
    return connect(address, allow=allow, precision=precision, device=device, template=template)


def _plain(options: argparse.Namespace, model: Model) -> bool:
    """Whether the model continues plain texts; one that has no other way says so."""
    from tandem.errors import UserError

    tokenizer = getattr(getattr(model.backend, "wording", None), "tokenizer", None)  # of models of this machine
    able = model.abilities.chat and (tokenizer is None or tokenizer.chat_template is not None)
    if options.template == "none" or (options.template is None and not able):
        if options.system:
            raise UserError(
                "goes with a conversation", where="--system", remedy="choose a --template, or leave it away"
            )
        if options.template is None:
            print("This model has no chat template: it continues your text as it is.", file=sys.stderr)
        return True
    return False


def _converse(loop: asyncio.Runner, talk: Conversation, name: str, shown: Shown) -> int:
    """Answer line by line. At a terminal a turn that fails is dropped, and the conversation goes on."""
    from tandem.errors import TandemError

    talking = sys.stdin.isatty()
    if talking:
        print(f"{name} · /new starts again, Ctrl-D ends", file=sys.stderr)
    fine = True
    while (line := _line(talking)) is not None:
        if line == "/new":
            talk.forget()
        elif line:
            try:
                fine = _answer(loop, talk, line, shown) and fine
            except (TandemError, KeyboardInterrupt) as e:
                if not talking:
                    raise
                print(str(e) or "stopped", file=sys.stderr)
    return 0 if fine else 1


def _line(talking: bool) -> str | None:
    """The next line, without white space around it; None at the end of the input."""
    try:
        return input("» " if talking else "").strip()
    except EOFError:
        return None
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return None


def _answer(loop: asyncio.Runner, talk: Conversation, words: str, shown: Shown) -> bool:
    """Print an answer as it comes, and what was not as asked; whether there was one."""
    import contextvars
    import time

    from tandem.cli.asking import tell_notes
    from tandem.lm.growing import watching

    before, begun = talk.model.usage, time.monotonic()
    try:
        shown.wait("waiting")
        with watching(shown.grow, stream=shown.live):
            completion = loop.run(talk.say(words), context=contextvars.copy_context())  # a runner keeps its first one
        shown.finish(completion.text)
    finally:
        shown.broken()
    tell_notes(talk.model, [completion], talk.sampling, time.monotonic() - begun, since=before)
    return completion.finish in ("stop", "length")
