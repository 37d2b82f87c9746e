"""Do XGen's three choices train better or more smoothly? Each against its alternative, at two learning rates.

    python experiments/architecture.py [--seeds 3] [--scale 1] [--work FOLDER]

The reference has XGen's choices: attention and MLP one after the other, SwiGLU, RMSNorm. Each other arm changes one:
side by side on one norm (GPT-J), GELU with an MLP 1.5 times as wide (as many parameters), LayerNorm. Every arm is
trained at an ordinary learning rate and at a deliberately high one, where instability would show. Measured: held-out
loss, and spikes, counted as the training loop does (8 robust deviations above the last 128 steps) and more sensitively
(jumps: 3 above the last 32). Small batches differ, so the table says how high a jump had to rise to be seen.

Rejected: counting jumps of an arm's loss above the median of all arms on the same batch, which takes out the batch. An
arm that resembles the others then has a small deviation, so many jumps, whatever its stability.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import trials
from trials import Stage, Text, Training

from tandem.decoder import Shape
from tandem.results import Table

REFERENCE = "XGen's choices"
CHANGES: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    "parallel layers": {"parallel": True},
    "GELU": {"activation": "gelu"},
    "LayerNorm": {"norm": "layer"},
}
PUBLISHED = tuple(
    (f"{ours} rather than {theirs}", "fewer loss spikes")
    for ours, theirs in (("sequential", "parallel layers"), ("SwiGLU", "GELU"), ("RMSNorm", "LayerNorm"))
)
SOURCE = "Reported by XGen's authors for their own runs, without figures known to us."
LAYERS, WIDTH, HEAD_WIDTH, MLP_WIDTH = 4, 128, 32, 352
CONTEXT = 256
TOKENS = 128_000
BATCH = 512
RATES = {"ordinary": 4e-3, "high": 3e-2}
WARMUP = 0.05
"""Part of the steps."""
WINDOW = 32
"""Steps before a step that it is compared with."""
DEVIATIONS = 3.0
"""Robust deviations above their median that make a jump."""


@dataclass(frozen=True)
class Design:
    """What is compared, at one scale."""

    reference: Shape
    """The decoder with XGen's choices."""
    context: int
    """Tokens per row."""
    batch: int
    """Tokens per step."""
    steps: int
    """Optimiser steps, the same in all arms."""
    rates: Mapping[str, float]
    """Highest learning rates by name."""
    precision: str = "fp32"
    """fp32 or bf16."""

    def shape(self, arm: str) -> Shape:
        """An arm's decoder, with as many parameters as the reference to within 1 %."""
        changes = dict(CHANGES[arm])
        if changes.get("activation") == "gelu":  # two matrices instead of three
            changes["mlp_width"] = round(1.5 * self.reference.mlp_width)
        shape = dataclasses.replace(self.reference, **changes)
        assert abs(shape.parameters() / self.reference.parameters() - 1) < 0.01
        return shape

    def training(self, arm: str, rate: str, seed: int) -> Training:
        """An arm at a learning rate under a seed."""
        stages = (Stage(self.context, self.steps),)
        warmup = max(1, round(WARMUP * self.steps))
        return Training(self.shape(arm), stages, self.batch, self.rates[rate], warmup, seed, self.precision)


def design(vocabulary: int, scale: int = 1, tokens: int = TOKENS, precision: str = "fp32") -> Design:
    """The comparison at a scale."""
    heads = WIDTH * scale // HEAD_WIDTH
    shape = Shape(
        vocabulary=vocabulary,
        layers=LAYERS * scale,
        width=WIDTH * scale,
        heads=heads,
        kv_heads=heads,
        head_width=HEAD_WIDTH,
        mlp_width=MLP_WIDTH * scale,
        init_std=trials.init_std(WIDTH * scale),
        context=CONTEXT * scale,
    )
    rates = {name: rate / scale for name, rate in RATES.items()}
    batch = BATCH * scale
    return Design(shape, CONTEXT * scale, batch, round(tokens * scale**3 / batch), rates, precision)


def thresholds(
    losses: Sequence[float], window: int = WINDOW, deviations: float = DEVIATIONS
) -> list[tuple[float, float]]:
    """For each step from `window` on: median of the `window` steps before it, and how far above it a jump begins.

    That is `deviations` robust deviations (1.4826 × the median distance from the median), at least 0.01 nats each.
    Where none of those steps was finite, both are NaN.
    """
    found = []
    for step in range(WINDOW, len(losses)):
        recent = [x for x in losses[step - WINDOW : step] if math.isfinite(x)]
        if not recent:
            found.append((math.nan, math.nan))
            continue
        median = statistics.median(recent)
        deviation = max(0.01, 1.4826 * statistics.median(abs(x - median) for x in recent))
        found.append((median, DEVIATIONS * deviation))
    return found


def jumps(losses: Sequence[float]) -> list[int]:
    """Steps whose loss lies beyond its threshold, or is not finite. The first `WINDOW` steps are not judged."""
    judged = zip(range(WINDOW, len(losses)), losses[WINDOW:], thresholds(losses), strict=True)
    return [step for step, loss, (median, height) in judged if not loss <= median + height]


def jump_height(losses: Sequence[float]) -> float:
    """How far above the recent median a jump had to rise to be counted, in nats: the median over all steps."""
    heights = [height for _, height in thresholds(losses) if math.isfinite(height)]
    return statistics.median(heights) if heights else math.nan


def highest_rise(losses: Sequence[float]) -> float:
    """The most by which a finite loss exceeds the median of the `WINDOW` steps before it, in nats."""
    rises = [loss - median for loss, (median, _) in zip(losses[WINDOW:], thresholds(losses), strict=True)]
    return max((rise for rise in rises if math.isfinite(rise)), default=math.nan)


def trial(
    plan: Design, arm: str, rate: str, seed: int, text: Text, device: torch.device
) -> tuple[dict[str, Any], float]:
    """Train and measure one arm at one rate under one seed: its figures without a clock, and the seconds it trained."""
    training = plan.training(arm, rate, seed)
    trained = trials.train(training, text, device)
    nats = trials.held_out_loss(trained.model, text, plan.context)
    trials.told(f"{arm}, {rate} rate, seed {seed}", trained, nats["mixture"])
    figures = {
        "arm": arm,
        "rate": rate,
        "seed": seed,
        "lost": trained.model is None,
        "held_out": nats,
        "spikes": [d["step"] for d in trained.decisions if d["kind"] == "spike"],
        "not_finite": [d["step"] for d in trained.decisions if d["kind"] == "not finite"],
        "jumps": jumps(trained.losses),
        "jump_height": jump_height(trained.losses),
        "highest_rise": highest_rise(trained.losses),
        "losses": [round(x, 4) for x in trained.losses],
    }
    return figures, trained.seconds


def run(plan: Design, text: Text, device: torch.device, seeds: int) -> tuple[list[dict[str, Any]], list[float]]:
    """All arms at all rates under all seeds; figures and seconds."""
    done = [
        trial(plan, arm, rate, seed, text, device) for seed in range(seeds) for rate in plan.rates for arm in CHANGES
    ]
    return [figures for figures, _ in done], [seconds for _, seconds in done]


# ── What is shown ───────────────────────────────────────────────────────────────────────────────────────────────────

MEASURES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "held_out": lambda f: f["held_out"]["mixture"],
    "spikes": lambda f: float(len(f["spikes"]) + len(f["not_finite"])),
    "jumps": lambda f: float(len(f["jumps"])),
    "jump_height": lambda f: f["jump_height"],
    "highest_rise": lambda f: f["highest_rise"],
}
"""What a trial's figures are summed up as."""


def by_seed(figures: Sequence[Mapping[str, Any]], arm: str, rate: str, measure: str) -> dict[int, float]:
    """A measure of an arm at a rate under each seed."""
    return {f["seed"]: MEASURES[measure](f) for f in figures if f["arm"] == arm and f["rate"] == rate}


def summary(plan: Design, figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and what each change adds within seeds, with 95 % t intervals; lost trials counted."""
    found: dict[str, Any] = {}
    for rate in plan.rates:
        found[rate] = {}
        for arm in CHANGES:
            means = {m: trials.over_seeds(by_seed(figures, arm, rate, m).values()) for m in MEASURES}
            added = {
                m: trials.paired(by_seed(figures, arm, rate, m), by_seed(figures, REFERENCE, rate, m)) for m in MEASURES
            }
            lost = sum(f["lost"] for f in figures if f["arm"] == arm and f["rate"] == rate)
            found[rate][arm] = {"mean": means, "added": None if arm == REFERENCE else added, "lost": lost}
    return found


def tables(plan: Design, found: Mapping[str, Any], figures: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Sizes, one table a rate, and what is published."""
    base = plan.reference.parameters()
    sizes = Table(
        "Arms",
        ("arm", "MLP width", "parameters", "against the reference", "MFLOP a token"),
        tuple(
            (
                arm,
                plan.shape(arm).mlp_width,
                f"{plan.shape(arm).parameters():,}",
                f"{plan.shape(arm).parameters() / base - 1:+.2%}",
                f"{plan.shape(arm).flops_per_token(plan.context) / 1e6:.2f}",
            )
            for arm in CHANGES
        ),
    )
    n = len({f["seed"] for f in figures})
    shown = [sizes]
    for rate, peak in plan.rates.items():
        rows = []
        for arm, row in found[rate].items():
            mean, added = row["mean"], row["added"]
            rows.append(
                (
                    arm + (f" ({row['lost']} lost)" if row["lost"] else ""),
                    trials.shown(mean["held_out"]),
                    trials.shown(added["held_out"], sign=True) if added else "",
                    _counts(figures, arm, rate, "spikes"),
                    _counts(figures, arm, rate, "jumps"),
                    trials.shown(mean["jump_height"], 2),
                    trials.shown(mean["highest_rise"], 2),
                )
            )
        shown.append(
            Table(
                f"{rate.capitalize()} learning rate: {peak:g}",
                ("arm", "held out", "added", "spikes", "jumps", "seen from", "highest rise"),
                tuple(rows),
                note=f"Held out, seen from, rise: nats per token, mean ± 95 % t interval over {n} seeds; added: "
                "against XGen's choices within seeds, * excludes 0. Spikes (as the loop records them) and jumps: by "
                "seed; seen from: how far above the last steps a jump had to rise.",
            )
        )
    shown.append(Table("Published beside it", ("choice", "effect"), PUBLISHED, note=f"{SOURCE} {trials.LABEL}"))
    return shown


def _counts(figures: Sequence[Mapping[str, Any]], arm: str, rate: str, measure: str) -> str:
    return " ".join(f"{n:.0f}" for n in by_seed(figures, arm, rate, measure).values())


def main() -> None:
    options = trials.parser("architecture", __doc__).parse_args()
    began = time.monotonic()
    with trials.prepared(options) as (text, device):
        plan = design(text.vocabulary, options.scale, options.tokens or TOKENS, options.precision)
        figures, seconds = run(plan, text, device, options.seeds)
    found = summary(plan, figures)
    for table in tables(plan, found, figures):
        trials.print_table(table)
    print(f"\n{plan.steps * plan.batch:,} tokens a trial, {sum(seconds) / len(seconds):.0f} seconds on this machine")
    facts = {
        "experiment": "XGen's choices of architecture",
        "label": trials.LABEL,
        "published": {"claims": PUBLISHED, "source": SOURCE},
        "design": plan.__dict__ | {"reference": plan.reference.__dict__},
        "parameters": {arm: plan.shape(arm).parameters() for arm in CHANGES},
        "tokens": plan.steps * plan.batch,
        "text": text.facts(),
        "summary": found,
    }
    clock = trials.machine(device, time.monotonic() - began) | {"training_seconds": [round(s, 1) for s in seconds]}
    trials.write(trials.out_path(options), facts, figures, clock)
    print(f"written: {trials.out_path(options)}")


if __name__ == "__main__":
    trials.ended(main)
