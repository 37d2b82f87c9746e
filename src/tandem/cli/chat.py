"""`tandem chat RUN|DIR`: talk to a model; one question with --prompt, a conversation without."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tandem.decoder import Decoder
    from tandem.tokenizer import Tokenizer
    from tandem.types import Message


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem chat`."""
    add = parser.add_argument
    add("model", help="a run's folder, a Hugging Face folder (DIR or hf:DIR), or embedded")
    add("--prompt", help="ask this one question, print the answer, and exit")
    add("--system", help="a system message in front of the conversation")
    add("--adapter", help="a LoRA adapter folder to put on the model")
    add("--template", choices=["own", "xgen", "fastchat", "none"], help="chat form (default: the model's own)")
    add("--temperature", type=float, default=0.0, help="0 takes the most likely token (default: 0)")
    add("--top-p", type=float, default=1.0, help="sample from the tokens that hold this probability (default: 1)")
    add("--max-tokens", type=int, default=256, help="longest answer, in tokens (default: 256)")
    add("--seed", type=int, default=0, help="seed of the sampling (default: 0)")
    add("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")


def run(options: argparse.Namespace) -> int:
    """Load the model once, then answer until the input ends."""
    from tandem import decoder
    from tandem import tokenizer as tokenizers
    from tandem.decoder import adapters
    from tandem.errors import UserError
    from tandem.lm.locate import locate
    from tandem.recipes.execute import choose_device
    from tandem.types import Message

    if options.max_tokens < 1:
        raise UserError(f"is {options.max_tokens}", where="--max-tokens", remedy="give at least 1")
    folder = locate(options.model)
    made = tokenizers.load(folder)
    model = decoder.load(folder, device=choose_device(options.device))
    if options.adapter:
        adapters.load(model, options.adapter)
    model.eval()
    template = options.template or ("own" if made.chat_template else "none")
    if template == "none" and not options.template:
        print("This model has no chat template: it continues your text as it is.", file=sys.stderr)
    messages = [Message("system", options.system)] if options.system else []
    if options.prompt is not None:
        answer(options, model, made, template, [*messages, Message("user", options.prompt)])
        return 0
    talking = sys.stdin.isatty()
    if talking:
        print(f"{folder} · /new starts again, Ctrl-D ends", file=sys.stderr)
    while (line := _ask(talking)) is not None:
        if line == "/new":
            messages = messages[:1] if options.system else []
        elif line:
            messages.append(Message("user", line))
            try:
                messages.append(Message("assistant", answer(options, model, made, template, messages)))
            except (UserError, KeyboardInterrupt) as e:  # the question is dropped, the conversation goes on
                if not talking:
                    raise
                messages.pop()
                print(f"\n{str(e) or 'stopped'}", file=sys.stderr)
    return 0


def _ask(talking: bool) -> str | None:
    """The next line, without white space around it; None at the end of the input."""
    try:
        return input("» " if talking else "").strip()
    except EOFError:
        return None
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return None


def answer(
    options: argparse.Namespace, model: Decoder, made: Tokenizer, template: str, messages: Sequence[Message]
) -> str:
    """Print the answer as it comes; older turns are left out when the conversation outgrows the model's context."""
    from tandem.decoder.generate import stream
    from tandem.errors import UserError
    from tandem.train import templates

    system = [m for m in messages if m.role == "system"]
    turns = [m for m in messages if m.role != "system"]
    room = model.shape.context - min(options.max_tokens, model.shape.context // 2)
    while True:
        if template == "none":
            ids, ends = made.encode(turns[-1].content), frozenset({made.end})
        else:
            ids, ends = templates.prompt([*system, *turns], template, made), templates.ends(template, made)
        if len(ids) <= room:
            break
        if len(turns) == 1:
            raise UserError(
                f"{len(ids):,} tokens do not fit into the model's context of {model.shape.context:,}",
                remedy="ask something shorter",
            )
        turns = turns[2:]
    new: list[int] = []
    shown = ""
    sampling = {"temperature": options.temperature, "top_p": options.top_p, "seed": options.seed}
    for token in stream(model, ids, max_tokens=options.max_tokens, stop_ids=ends, **sampling):
        new.append(token)
        text = made.decode(new)
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):  # a character may need several tokens
            print(text[len(shown) :].lstrip() if not shown else text[len(shown) :], end="", flush=True)
            shown = text
    print()
    return made.decode(new).strip()
