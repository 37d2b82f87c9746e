"""Do XGen's three choices train better or more smoothly? Each against its alternative, at two learning rates.

    python experiments/architecture.py [--seeds 3] [--scale 1] [--work FOLDER]

The reference has XGen's choices: attention and MLP one after the other, SwiGLU, RMSNorm. Each other arm changes one:
side by side on one norm (GPT-J), GELU with an MLP 1.5 times as wide (as many parameters), LayerNorm. Every arm is
trained at an ordinary learning rate and at a deliberately high one, where instability would show. Measured: held-out
loss, and spikes, counted in three ways: as the training loop does (8 robust deviations above the last 128 steps); more
sensitively (jumps: 3 above the last 32); and as jumps beyond the batch. Small batches differ more than small spikes
rise, but under one seed all arms see the same batches: the last count is of jumps in what an arm's loss lies above the
median of all arms on the same batch. It sees what one arm does and the others do not; noise alone makes a few.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
CLAIM = "Fewer loss spikes with sequential layers, SwiGLU and RMSNorm: reported by XGen's authors for their own runs."
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


def jumps(losses: Sequence[float], window: int = WINDOW, deviations: float = DEVIATIONS) -> list[int]:
    """Steps whose loss lies more than `deviations` robust deviations above the median of the `window` steps before.

    The robust deviation is 1.4826 × the median distance from the median; at least 0.01 nats. A loss that is not finite
    is a jump. The first `window` steps are not judged.
    """
    found = []
    for step in range(window, len(losses)):
        recent = [x for x in losses[step - window : step] if math.isfinite(x)]
        if not math.isfinite(losses[step]) or not recent:
            found.append(step)
            continue
        median = statistics.median(recent)
        deviation = max(0.01, 1.4826 * statistics.median(abs(x - median) for x in recent))
        if losses[step] > median + deviations * deviation:
            found.append(step)
    return found


def beyond_batch(figures: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """For each trial the jumps of its loss above the median of all arms on the same batch (same seed and rate)."""
    found = []
    for f in figures:
        beside = [g["losses"] for g in figures if g["seed"] == f["seed"] and g["rate"] == f["rate"]]
        found.append(
            jumps([loss - _median(other[step : step + 1] for other in beside) for step, loss in enumerate(f["losses"])])
        )
    return found


def _median(losses: Iterable[Sequence[float]]) -> float:
    known = [x for some in losses for x in some if math.isfinite(x)]  # a lost arm ends early
    return statistics.median(known) if known else math.nan


def highest_rise(losses: Sequence[float], window: int = WINDOW) -> float:
    """The most by which a step's loss exceeds the median of the `window` steps before it, in nats."""
    rises = [
        losses[step] - statistics.median(losses[step - window : step])
        for step in range(window, len(losses))
        if all(math.isfinite(x) for x in losses[step - window : step + 1])
    ]
    return max(rises, default=math.nan)


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
        "highest_rise": highest_rise(trained.losses),
        "losses": [round(x, 4) for x in trained.losses],
    }
    return figures, trained.seconds


def run(plan: Design, text: Text, device: torch.device, seeds: int) -> tuple[list[dict[str, Any]], list[float]]:
    """All arms at all rates under all seeds; figures and seconds."""
    done = [
        trial(plan, arm, rate, seed, text, device) for seed in range(seeds) for rate in plan.rates for arm in CHANGES
    ]
    figures = [figures for figures, _ in done]
    for f, steps in zip(figures, beyond_batch(figures), strict=True):
        f["jumps_beyond_batch"] = steps
    return figures, [seconds for _, seconds in done]


# ── What is shown ───────────────────────────────────────────────────────────────────────────────────────────────────

MEASURES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "held_out": lambda f: f["held_out"]["mixture"],
    "spikes": lambda f: float(len(f["spikes"]) + len(f["not_finite"])),
    "jumps": lambda f: float(len(f["jumps"])),
    "jumps_beyond_batch": lambda f: float(len(f["jumps_beyond_batch"])),
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
                    _counts(figures, arm, rate, "jumps_beyond_batch"),
                    trials.shown(added["jumps_beyond_batch"], 1, sign=True) if added else "",
                    trials.shown(mean["highest_rise"], 2),
                )
            )
        shown.append(
            Table(
                f"{rate.capitalize()} learning rate: {peak:g}",
                ("arm", "held out", "added", "spikes", "jumps", "beyond batch", "added", "highest rise"),
                tuple(rows),
                note=f"Held out, rise: nats per token. Mean ± 95 % t interval over {n} seeds; added: against XGen's "
                "choices within seeds, * excludes 0. Spikes (as the loop records them) and jumps: by seed.",
            )
        )
    shown.append(Table("Published beside it", ("claim",), ((CLAIM,),), note=trials.LABEL))
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
        "published": CLAIM,
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
