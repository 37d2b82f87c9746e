"""`tandem COMMAND …`: finds the command's file, runs it, and turns errors into messages and exit statuses.

Exit status 0 done, 1 the work failed, 2 the input cannot be used, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

from tandem.decoder.threads import sleep_while_idle
from tandem.errors import TandemError

COMMANDS = {
    "quickstart": "raw text → tokenizer → pre-training → instruction tuning → evaluation → report, in five minutes",
    "run": "execute a recipe, or continue the run it began",
    "plan": "what a recipe will take: tokens, parameters, FLOPs, memory, days, money",
    "ask": "put one question to any model: the embedded one, a folder, a server, an API",
    "answer": "answer questions: from memory, or checked against sources (Verify-and-Edit, Chain-of-Knowledge, ReAct)",
    "generate": "answer a file of prompts with any model; recorded, budgeted, resumed",
    "evaluate": "measure a model on benchmarks: choices, programs, judged chat, long inputs; intervals, resumed",
    "compare": "two or more runs on the same items: what changed, and could it be chance",
    "judge": "people say which of two systems' answers is better, blind, on a page of this machine",
    "metrics": "measure predictions in a file: exact match, F1, FEVER, BLEU, chrF++, ROUGE, pass@k, AUC, κ, α",
    "chat": "talk to any model: a run's folder, a model's folder, a server, an API",
    "tune": "instruction-tune a model on conversations, in full or with LoRA",
    "train": "tune an adapter for a part of a method: a writer of queries (SQL, SPARQL, plain questions)",
    "view": "look at runs in a browser: results, and every item, searched and filtered",
    "report": "make a run's report.html again",
    "world": "write a made-up world: passages, questions, choices, instruction tasks",
    "convert": "a GGUF file as a Hugging Face folder; an adapter merged into a model, or beside it",
    "tokenizer": "train, build or check a tokenizer",
    "corpus": "raw text → clean, de-duplicated, tokenised shards",
    "sandbox": "run a program nobody trusts; see what this machine can do to confine it",
    "index": "your documents as passages that can be looked up, with their places; search them",
    "answers": "recorded answers of models: look, count, export, import",
}

CONTINUE = {"answer", "evaluate", "generate", "judge", "quickstart", "run", "train", "tune"}
"""Commands that go on where they were stopped, unless they set `keeps` of their options to False."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the `tandem` script; returns the exit status."""
    sleep_while_idle()
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="tandem",
        description="Task and data engineering for language models.",
        epilog="`tandem COMMAND --help` tells more. Start with: tandem quickstart",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    chosen = arguments[0] if arguments and arguments[0] in COMMANDS else None
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == chosen:
            module = importlib.import_module(f"tandem.cli.{name}")
            module.configure(sub)
            sub.set_defaults(run=module.run)
    options = parser.parse_args(arguments)
    if options.version:
        from tandem import __version__

        print(f"tandem {__version__}")
        return 0
    if options.command is None:
        parser.print_help()
        return 0
    return guarded(options)


def guarded(options: argparse.Namespace) -> int:
    """Run the chosen command; a known error becomes its message and status, never a traceback."""
    try:
        status = int(options.run(options) or 0)
        sys.stdout.flush()
        return status
    except TandemError as e:
        print(f"tandem {options.command}: {e}", file=sys.stderr)
        return e.exit_status
    except KeyboardInterrupt:
        kept = ""
        if options.command in CONTINUE:
            keeps = getattr(options, "keeps", True)
            kept = (
                "what is finished is kept: the same command continues" if keeps else "nothing is kept without --store"
            )
        print(f"\ninterrupted{kept and f'; {kept}'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _close_output()
        return 0
    except OSError as e:
        place = f"{e.filename}: " if e.filename else ""
        print(f"tandem {options.command}: {place}{e.strerror or e}", file=sys.stderr)
        print("  → check the disk, the folder and its permissions, then run the same command again", file=sys.stderr)
        _close_output()
        return 1


def _close_output() -> None:
    """Let what is still to be printed go nowhere, so that leaving does not fail on it again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
