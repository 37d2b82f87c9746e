"""Does a curriculum of lengths pay? Short-only, staged and long-only trainings at equal compute.

    python experiments/length_curriculum.py [--seeds 3] [--scale 1] [--work FOLDER]

XGen-7B was trained at 2,048, then 4,096, then 8,192 tokens; 128, 256, 512 stand for them here, with XGen's parts of the
tokens (800 : 400 : 300). Every arm gets the same FLOPs (6 × matrix parameters + 12 × layers × width × length a token,
the full attention square counted), so a shorter arm sees more tokens. Shorter rows also spread a batch over more
documents; a control tells that from what shorter attention does: rows of 512 in which a token sees only the 128 before
it, which costs as much as rows of 128. Measured on held-out text: loss by position in
documents at least twice the longest length long, loss on windows of the longest length, and cost.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import trials
from trials import Stage, Text, Training

from tandem.decoder import Shape
from tandem.errors import UserError
from tandem.evaluate.positions import loss_by_position
from tandem.recipes import published, schema
from tandem.recipes.losses import beginnings, losses_of
from tandem.results import Table
from tandem.text import quantity

LENGTHS = (128, 256, 512)
WINDOW = "short window"
"""The control: attention as short as short-only's, rows and so batches like long-only's."""
LAYERS, WIDTH, HEAD_WIDTH, MLP_WIDTH = 2, 128, 32, 352
TOKENS = 600_000
"""Tokens of the long-only arm: what they cost is every arm's budget."""
BATCH = 2048
"""Tokens per step. With one row of the longest length a step (512), long-only reads one document a step."""
PEAK = 8e-3
"""Better for the long-only arm than 4e-3, under a seed not used here."""
WARMUP = 0.05
"""Part of the steps."""
POSITION_TOKENS = 80_000
"""Held-out tokens measured by position."""


@dataclass(frozen=True)
class Design:
    """What is compared, at one scale."""

    shape: Shape
    """The decoder, the same in all arms; the control adds a window."""
    lengths: tuple[int, ...]
    """Of the curriculum, rising."""
    parts: tuple[float, ...]
    """Of the staged arm's tokens, by length."""
    batch: int
    """Tokens per step."""
    flops: float
    """Every arm's budget."""
    peak: float
    """Highest learning rate."""
    precision: str = "fp32"
    """fp32 or bf16."""

    def arms(self) -> dict[str, tuple[Stage, ...]]:
        """The stages of each arm."""
        return {
            "short only": self.stages(self.shape, self.lengths[:1], (1.0,)),
            "staged": self.stages(self.shape, self.lengths, self.parts),
            "long only": self.stages(self.shape, self.lengths[-1:], (1.0,)),
            WINDOW: self.stages(self.shape_of(WINDOW), self.lengths[-1:], (1.0,)),
        }

    def shape_of(self, arm: str) -> Shape:
        """The arm's decoder: the same but for the window of the control."""
        return dataclasses.replace(self.shape, window=self.lengths[0]) if arm == WINDOW else self.shape

    def stages(self, shape: Shape, lengths: Sequence[int], parts: Sequence[float]) -> tuple[Stage, ...]:
        """Steps at each length so that the FLOPs are the budget to half a step; the last length takes up rounding.

        Raises UserError when a length gets no step.
        """
        cost = [shape.flops_per_token(length) * self.batch for length in lengths]
        total = self.flops / sum(part * c for part, c in zip(parts, cost, strict=True))
        steps = [round(part * total) for part in parts[:-1]]
        spent = sum(n * c for n, c in zip(steps, cost[:-1], strict=True))
        steps.append(round((self.flops - spent) / cost[-1]))
        if min(steps) < 1:
            raise UserError(f"too few tokens for a step at each length: {steps}", where="--tokens", remedy="raise it")
        return tuple(Stage(length, n) for length, n in zip(lengths, steps, strict=True))

    def training(self, arm: str, seed: int) -> Training:
        """An arm under a seed."""
        stages = self.arms()[arm]
        warmup = max(1, round(WARMUP * sum(stage.steps for stage in stages)))
        return Training(self.shape_of(arm), stages, self.batch, self.peak, warmup, seed, self.precision)


def design(vocabulary: int, scale: int = 1, tokens: int = TOKENS, precision: str = "fp32") -> Design:
    """The comparison at a scale; XGen's parts of the tokens."""
    lengths = tuple(length * scale for length in LENGTHS)
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
        context=2 * lengths[-1],
    )
    steps = [tokens_b for _, tokens_b in xgen_steps()]
    parts = tuple(n / sum(steps) for n in steps)
    flops = tokens * scale**3 * shape.flops_per_token(lengths[-1])
    return Design(shape, lengths, parts, BATCH * scale, flops, PEAK / scale, precision)


def xgen_steps() -> list[tuple[int, float]]:
    """XGen's lengths and tokens at each, in billions, as published."""
    return [(int(length), float(tokens)) for length, tokens in published.table("xgen-context-steps").rows]


def saved(shape: Shape, steps: Sequence[tuple[int, float]]) -> float:
    """Part of the FLOPs a curriculum saves against as many tokens at its last length throughout, by arithmetic."""
    spent = sum(tokens * shape.flops_per_token(length) for length, tokens in steps)
    throughout = sum(tokens for _, tokens in steps) * shape.flops_per_token(steps[-1][0])
    return 1 - spent / throughout


def trial(plan: Design, arm: str, seed: int, text: Text, device: torch.device) -> tuple[dict[str, Any], float]:
    """Train and measure one arm under one seed: its figures without a clock, and the seconds it trained."""
    training = plan.training(arm, seed)
    trained = trials.train(training, text, device)
    longest, own = plan.lengths[-1], training.stages[-1].context
    nats = trials.held_out_loss(trained.model, text, longest)
    trials.told(f"{arm}, seed {seed}", trained, nats["mixture"])
    rows = list(beginnings(list(text.held_out.values()), 2 * longest, POSITION_TOKENS))
    buckets = loss_by_position(rows, losses_of(trained.model)) if trained.model else []
    figures = {
        "arm": arm,
        "seed": seed,
        "stages": [[stage.context, stage.steps] for stage in training.stages],
        "tokens": training.tokens,
        "flops": training.flops,
        "lost": trained.model is None,
        "held_out": nats,
        "held_out_own_length": nats if own == longest else trials.held_out_loss(trained.model, text, own),
        "positions": [{"first": b.first, "last": b.last, "nats": b.nats.value, "tokens": b.tokens} for b in buckets],
        "decisions": trained.decisions,
    }
    return figures, trained.seconds


def run(plan: Design, text: Text, device: torch.device, seeds: int) -> tuple[list[dict[str, Any]], list[float]]:
    """All arms under all seeds, seed by seed; figures and seconds."""
    done = [trial(plan, arm, seed, text, device) for seed in range(seeds) for arm in plan.arms()]
    return [figures for figures, _ in done], [seconds for _, seconds in done]


# ── What is shown ───────────────────────────────────────────────────────────────────────────────────────────────────


def by_seed(figures: Sequence[Mapping[str, Any]], arm: str, key: str) -> dict[int, float]:
    """The mixture's loss of an arm under each seed."""
    return {f["seed"]: f[key]["mixture"] for f in figures if f["arm"] == arm}


def bucket_by_seed(figures: Sequence[Mapping[str, Any]], arm: str, last: int) -> dict[int, float]:
    """The loss of an arm in the bucket that ends at `last`, under each seed."""
    found = {f["seed"]: [b["nats"] for b in f["positions"] if b["last"] == last] for f in figures if f["arm"] == arm}
    return {seed: nats[0] for seed, nats in found.items() if nats}


def summary(plan: Design, figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds and paired differences, with 95 % t intervals."""
    arms = list(plan.arms())
    lasts = sorted({b["last"] for f in figures for b in f["positions"]})
    pairs = [("staged", "long only"), ("staged", "short only"), ("short only", "long only")]
    pairs += [(WINDOW, "long only"), ("short only", WINDOW)]
    return {
        "held_out": {arm: trials.over_seeds(by_seed(figures, arm, "held_out").values()) for arm in arms},
        "held_out_own_length": {
            arm: trials.over_seeds(by_seed(figures, arm, "held_out_own_length").values()) for arm in arms
        },
        "held_out_differences": {
            f"{a} - {b}": trials.paired(by_seed(figures, a, "held_out"), by_seed(figures, b, "held_out"))
            for a, b in pairs
        },
        "positions": {
            str(last): {arm: trials.over_seeds(bucket_by_seed(figures, arm, last).values()) for arm in arms}
            for last in lasts
        },
        "position_differences": {
            str(last): {
                f"{a} - {b}": trials.paired(bucket_by_seed(figures, a, last), bucket_by_seed(figures, b, last))
                for a, b in pairs
            }
            for last in lasts
        },
    }


def tables(
    plan: Design, found: Mapping[str, Any], figures: Sequence[Mapping[str, Any]], seconds: Sequence[float]
) -> list[Table]:
    """Loss, loss by position, cost, and what is published."""
    arms = list(plan.arms())
    n = len({f["seed"] for f in figures})
    how = f"Nats per token; mean ± 95 % t interval over {n} seeds. Differences are within seeds; * excludes 0."
    longest = plan.lengths[-1]
    differences = found["held_out_differences"]
    loss = Table(
        "Held-out loss at equal compute",
        ("arm", f"windows of {longest}", "windows of its own length", "minus long only"),
        tuple(
            (
                arm,
                trials.shown(found["held_out"][arm]),
                trials.shown(found["held_out_own_length"][arm]),
                "" if arm == "long only" else trials.shown(differences[f"{arm} - long only"], sign=True),
            )
            for arm in arms
        ),
        note=how,
    )
    rows = []
    for last, means in found["positions"].items():
        a_row = next(b for f in figures for b in f["positions"] if str(b["last"]) == last)
        name = last if a_row["first"] == a_row["last"] else f"{a_row['first']}–{last}"
        apart = found["position_differences"][last]
        rows.append(
            (
                name,
                *("" if means[arm] is None else f"{means[arm].value:.3f}" for arm in arms),
                trials.shown(apart["staged - long only"], sign=True),
                trials.shown(apart["staged - short only"], sign=True),
            )
        )
    position = Table(
        "Held-out loss by position",
        ("tokens seen", *arms, "staged − long", "staged − short"),
        tuple(rows),
        note="By how many tokens of its document a token is predicted from; beginnings of held-out documents of more "
        f"than {rows_length(figures):,} tokens. {how}",
    )
    cost_rows = []
    for arm in arms:
        training = plan.training(arm, 0)
        own = [s for f, s in zip(figures, seconds, strict=True) if f["arm"] == arm]
        lengths = ", ".join(f"{stage.context} × {stage.steps}" for stage in training.stages)
        cost_rows.append(
            (arm, lengths, quantity(training.tokens), f"{training.flops / 1e12:.3f}", f"{sum(own) / len(own):.0f}")
        )
    cost = Table(
        "Cost",
        ("arm", "length × steps", "tokens", "TFLOP", "seconds"),
        tuple(cost_rows),
        note=f"Per trial; {plan.batch:,} tokens a step. Seconds of training, mean over seeds, on this machine.",
    )
    ours = [(stage.context, stage.steps * plan.batch) for stage in plan.arms()["staged"]]
    xgen = xgen_steps()
    claims = Table(
        "By arithmetic: FLOPs saved against as many tokens at the last length throughout",
        ("curriculum", "lengths and tokens", "saved"),
        (
            ("XGen-7B", ", ".join(f"{n} × {t:g}B" for n, t in xgen), f"{saved(xgen_shape(), xgen):.1%}"),
            ("here", ", ".join(f"{n} × {t / 1000:.0f}K" for n, t in ours), f"{saved(plan.shape, ours):.1%}"),
        ),
        note=f"XGen's steps: {published.table('xgen-context-steps').source}. {trials.LABEL}",
    )
    return [loss, position, cost, claims]


def rows_length(figures: Sequence[Mapping[str, Any]]) -> int:
    """Upper end of the farthest bucket measured."""
    return max((b["last"] for f in figures for b in f["positions"]), default=0)


def xgen_shape() -> Shape:
    """XGen-7B's published shape."""
    return schema.load("xgen-7b").shape()


def main() -> None:
    options = trials.parser("length_curriculum", __doc__).parse_args()
    began = time.monotonic()
    with trials.prepared(options) as (text, device):
        plan = design(text.vocabulary, options.scale, options.tokens or TOKENS, options.precision)
        figures, seconds = run(plan, text, device, options.seeds)
    found = summary(plan, figures)
    for table in tables(plan, found, figures, seconds):
        trials.print_table(table)
    facts = {
        "experiment": "length curriculum at equal compute",
        "label": trials.LABEL,
        "flop_convention": "6 × matrix parameters + 12 × layers × width × length a token, full attention square",
        "parameters": plan.shape.parameters(),
        "design": plan.__dict__ | {"shape": plan.shape.__dict__},
        "text": text.facts(),
        "published": {"xgen_steps_billion_tokens": xgen_steps(), "xgen_saved": saved(xgen_shape(), xgen_steps())},
        "saved": saved(plan.shape, [(s.context, s.steps * plan.batch) for s in plan.arms()["staged"]]),
        "summary": found,
    }
    clock = trials.machine(device, time.monotonic() - began)
    by_arm = {arm: [round(s, 1) for f, s in zip(figures, seconds) if f["arm"] == arm] for arm in plan.arms()}
    trials.write(trials.out_path(options), facts, figures, clock | {"training_seconds": by_arm})
    print(f"\nwritten: {trials.out_path(options)}")


if __name__ == "__main__":
    trials.ended(main)
