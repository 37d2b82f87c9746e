"""Arguments and wording that the commands which ask a model share."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tandem.lm.model import Model
    from tandem.types import Completion, Sampling, Usage

ADDRESSES = "embedded, local:DIR, hf:DIR, openai:MODEL, anthropic:MODEL, https://host/v1#MODEL, NAME, replay:FILE"


def which_model(parser: argparse._ActionsContainer) -> None:
    """Arguments that choose the model and how it computes."""
    model_address(parser)
    how_to_compute(parser)


def model_address(parser: argparse._ActionsContainer) -> None:
    """The argument that chooses the model."""
    parser.add_argument("--model", default="embedded", metavar="ADDRESS", help=f"{ADDRESSES} … (default: embedded)")


def how_to_compute(parser: argparse._ActionsContainer) -> None:
    """Arguments that say what a model may do instead of what it lacks, and how one of this machine computes."""
    add = parser.add_argument
    add(
        "--allow",
        action="append",
        default=[],
        metavar="POLICY",
        help="what to do where the model lacks something (repeatable): own-temperature, calls-for-samples, "
        "without-logprobs, without-seed, without-presence-penalty, cut-at-stop, text-as-chat, cut-left "
        "(a prompt that is too long loses its beginning)",
    )
    add("--precision", choices=["auto", "fp32", "bf16"], default="auto", help="of models of this machine")
    add("--device", help="cpu, cuda, cuda:1 (default: the best there is)")


def how_to_sample(
    parser: argparse._ActionsContainer, *, temperature: float, max_tokens: int = 256, logprobs: bool = True
) -> None:
    """Arguments that make a `Sampling`; `logprobs`: whether the command has a use for them."""
    add = parser.add_argument
    add(
        "--temperature",
        type=temperature_or_own,
        default=temperature,
        metavar="T",
        help=f"0 takes the likeliest token, “own” leaves it to the model (default: {temperature:g})",
    )
    add("--top-p", type=float, default=1.0, metavar="P", help="sample from the tokens that hold this probability")
    add("--max-tokens", type=int, default=max_tokens, metavar="N", help=f"longest answer, in tokens ({max_tokens})")
    add("--stop", action="append", default=[], metavar="TEXT", help="end the answer before this text; repeatable")
    add("--seed", type=int, default=0, metavar="N", help="seed of the sampling (default: 0)")
    if logprobs:
        add("--logprobs", action="store_true", help="give the tokens and their log-probabilities")
    else:
        parser.set_defaults(logprobs=False)


def what_it_may_take(parser: argparse.ArgumentParser | argparse._ArgumentGroup, what: str, default: str) -> None:
    """Arguments for the record of `what` (kept in a file that `default` names), and limits."""
    add = parser.add_argument
    add("--store", type=Path, metavar="FILE", help=f"where {what} are recorded (default: {default})")
    add("--retry-failed", action="store_true", help="ask again what was refused or failed before")
    add("--budget-money", type=float, metavar="X", help="stop before more than this is spent")
    add("--budget-tokens", type=int, metavar="N", help="stop before more tokens are read and written")
    add("--budget-calls", type=int, metavar="N", help="stop before more calls are made")
    add("--budget-seconds", type=float, metavar="S", help="send nothing after so many seconds")


def sampling_of(options: argparse.Namespace) -> Sampling:
    """The sampling that was asked for. Raises UserError, naming the option."""
    from tandem.errors import UserError
    from tandem.types import Sampling

    if options.max_tokens < 1:
        raise UserError(f"is {options.max_tokens}", where="--max-tokens", remedy="give at least 1")
    if options.n < 1:
        raise UserError(f"is {options.n}", where="--n", remedy="give at least 1")
    if not 0 < options.top_p <= 1:
        raise UserError(f"is {options.top_p:g}", where="--top-p", remedy="give a share above 0, at most 1")
    if "" in options.stop:
        raise UserError("is empty", where="--stop", remedy="give a text")
    return Sampling(
        temperature=options.temperature,
        top_p=options.top_p,
        max_tokens=options.max_tokens,
        stop=tuple(text.replace("\\n", "\n").replace("\\t", "\t") for text in options.stop),
        seed=options.seed,
        logprobs=options.logprobs,
    )


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings as one line on standard error, without file and line of our code."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("once", UserWarning)
        warnings.showwarning = show
        yield


def columns() -> int:
    """Width of the terminal that standard error is: standard output may be a file."""
    with contextlib.suppress(OSError, ValueError):
        return int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return 80


def cost_of(model: Model) -> str:
    """What was spent, or nothing where nothing is to be paid."""
    return f"cost {model.spent.money:.4g}" if model.spent.money else ""


def tell_notes(
    model: Model, completions: Sequence[Completion], sampling: Sampling, seconds: float, *, since: Usage | None = None
) -> None:
    """What was not as asked; on a terminal, also time and tokens, those `since` then."""
    from collections import Counter

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
        read, written, cached = (
            getattr(model.usage, name) - (getattr(since, name) if since else 0)
            for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
        )
        speed = f" · {written / seconds:.0f} tokens/s" if written and seconds else ""
        again = f" ({cached:,} from a cache)" if cached else ""
        parts = [f"{read:,} tokens read{again}, {written:,} written", duration(seconds) + speed]
        parts += [cost] if (cost := cost_of(model)) else []
        print("· " + " · ".join(parts), file=sys.stderr)


def temperature_or_own(text: str) -> float | None:
    """A temperature as it is written on the command line; None leaves it to the model."""
    if text == "own":
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"is {text}; 0 or more, or “own”")
    return value
