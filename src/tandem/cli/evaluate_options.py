"""Options of `tandem evaluate`, in groups by the kind of task that they are for."""

from __future__ import annotations

import argparse
from pathlib import Path

from tandem.cli.asking import how_to_compute, how_to_sample, model_address, what_it_may_take
from tandem.cli.sandbox import options as how_to_confine
from tandem.cli.training_text import training_text

CODE = ("humaneval", "mbpp", "mbpp_sanitized")
CHOICES = (
    "mmlu",
    "arc_challenge",
    "arc_easy",
    "hellaswag",
    "winogrande",
    "truthfulqa_mc1",
    "truthfulqa_mc2",
    "boolq",
    "piqa",
    "openbookqa",
    "medmcqa",
)
JUDGED = ("alpaca_eval", "alpaca_eval_1", "mt_bench")
LONG = (
    "qmsum",
    "qmsum_val",
    "loss_by_position",
    "evidence_documents",
    "evidence_pairs",
    "multiplication",
    "hops",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem evaluate`."""
    parser.usage = "tandem evaluate --tasks NAMES --data PATH … [--model ADDRESS] --out DIR [options]"
    add = parser.add_argument
    add("--tasks", required=True, metavar="NAMES", help="what to measure, commas between: names as in the groups below")
    add(
        "--data",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="files of the tasks' data, folders with them, NAME=FILE, or hub (docs/benchmarks.md)",
    )
    model_address(parser)
    add("--out", type=Path, metavar="DIR", help="run folder for results, items and a report; the same one goes on")
    add("--limit", type=int, metavar="N", help="the first N tasks or items only (of MMLU: of each subject)")
    _asking(parser)
    _choices(parser)
    _programs(parser)
    _judged(parser)
    _long(parser)
    training_text(parser.add_argument_group("items in the training text"))
    _limits(parser)


def _asking(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how the model is asked")
    add = group.add_argument
    add("--chat", action="store_true", help="in conversation (default: where the model cannot continue plain text)")
    how_to_sample(group, temperature=0.0, max_tokens=512, logprobs=False)
    how_to_compute(group)


def _choices(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("multiple choice", f"tasks: {', '.join(CHOICES)}, mmlu_SUBJECT")
    add = group.add_argument
    add("--shots", type=int, default=0, metavar="N", help="examples in a prompt; of multiplication and hops, too (0)")
    add("--requests", type=Path, metavar="FILE", help="only write every context and continuation; no model is asked")
    add("--answers", type=Path, metavar="FILE", help="score these log-probabilities instead: such a file, with logprob")


def _programs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("programs", f"tasks: {', '.join(CODE)}")
    add = group.add_argument
    add("--samples-per-task", dest="n", type=int, default=1, metavar="N", help="samples of each (default: 1)")
    add("--k", metavar="LIST", help="the k of pass@k, commas between (default: 1, 10, 100 as far as samples go)")
    add("--steps", type=int, default=1, metavar="N", help="2: refine once what fails the seen tests, and so on (1)")
    add("--seen", type=Path, metavar="FILE", help="seen tests of HumanEval (default: such a file among --data)")
    add("--split", default="test", metavar="NAME", help="of MBPP: test (11–510), validation, train, examples, all")
    add("--rerun", type=int, metavar="N", help="run every program N times more (default: once, those that pass)")
    add("--cpu", type=float, metavar="S", help="processor seconds a program may take (default: 3, of MBPP 6)")
    how_to_confine(add)
    add("--samples", type=Path, metavar="FILE", help="score these samples instead: task_id, completion a line; .gz too")
    add("--partial", action="store_true", help="of --samples: let tasks be missing")
    add("--gold", action="store_true", help="only run the known programs against their tests")


def _judged(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "judged by a model", f"tasks: {', '.join(JUDGED)}; FILE may be TASK=FILE where several need one"
    )
    add = group.add_argument
    add("--judge", metavar="ADDRESS", help="the model that judges; the same limits and policies hold for it")
    add("--outputs", type=Path, nargs="+", default=[], metavar="FILE", help="judge these outputs; no --model is asked")
    add("--baseline", type=Path, nargs="+", default=[], metavar="FILE", help="compare with these (default: --data's)")
    add("--judgments", type=Path, nargs="+", default=[], metavar="FILE", help="only take the figures of these")
    add("--pair", action="store_true", help="mt_bench: compare with --baseline in both orders, instead of grading")
    add("--coefficients", type=Path, metavar="FILE", help="of the length-controlled win rate, difficulties with them")
    add("--gamed", type=Path, nargs="+", default=[], metavar="FILE", help="judgments of gamed baselines, for its fit")
    add(
        "--length-control",
        choices=["given", "fit", "none"],
        help="take it from --coefficients, fit it, leave it out (default: given, where there are some, else fit)",
    )
    add("--join", choices=["row", "instruction"], default="row", help="how difficulties belong to instructions (row)")


def _long(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("long inputs and long chains", f"tasks: {', '.join(LONG)}")
    group.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="their settings: documents=20, TASK.KEY=VALUE (docs/long-inputs.md)",
    )


def _limits(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is recorded, and when to stop")
    what_it_may_take(group, "answers", "OUT.answers.db")
