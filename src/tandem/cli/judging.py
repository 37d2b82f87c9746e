"""Options of the tasks that a judge decides; `evaluate_judged` does what they say."""

from __future__ import annotations

import argparse
from pathlib import Path

JUDGED = ("alpaca_eval", "alpaca_eval_1", "mt_bench")


def judging(parser: argparse.ArgumentParser) -> None:
    """Arguments of the tasks that a judge decides (docs/judges.md)."""
    group = parser.add_argument_group(
        f"judged tasks ({', '.join(JUDGED)})", "FILE may be TASK=FILE where several need one"
    )
    add = group.add_argument
    add("--judge", metavar="ADDRESS", help="the model that judges; the same limits and policies hold for it")
    add("--outputs", type=Path, nargs="+", default=[], metavar="FILE", help="judge these outputs; no --model is asked")
    add(
        "--baseline",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="outputs to compare with (default: --data's)",
    )
    add(
        "--judgments", type=Path, nargs="+", default=[], metavar="FILE", help="only take the figures of these judgments"
    )
    add("--pair", action="store_true", help="mt_bench: compare with --baseline in both orders, instead of grading")
    add("--coefficients", type=Path, metavar="FILE", help="of the length-controlled win rate, difficulties with them")
    add("--gamed", type=Path, nargs="+", default=[], metavar="FILE", help="judgments of gamed baselines, for its fit")
    add(
        "--length-control",
        choices=["given", "fit", "none"],
        help="take it from --coefficients, fit it, leave it out (default: given, where there are some, else fit)",
    )
    add(
        "--join",
        choices=["row", "instruction"],
        default="row",
        help="difficulties by row number (default) or instruction",
    )
