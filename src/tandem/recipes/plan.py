"""What a recipe will take, computed from its numbers alone: tokens, parameters, FLOPs, memory, days, money.

FLOPs of training are 6 per weight that multiplies and token, plus attention, counted for the full square of the
attention matrix; the causal half is given beside it. An MFU says how much of a device's peak these model FLOPs (full
square, recomputation not counted) use, so both must be read with that convention. What this does not do: touch a file
of the corpus or a device, or plan the tuning, whose tokens the data decide. Rejected: rounding on the way; figures are
rounded only where they are printed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

from tandem.corpus.mixture import seen
from tandem.decoder.shape import Shape
from tandem.errors import UserError
from tandem.recipes import agreement, comparison, devices, memory, missing, provenance, published
from tandem.recipes.answers import ANSWER_TOKENS, METHODS
from tandem.recipes.devices import Accelerator
from tandem.recipes.memory import Memory, Parallel
from tandem.recipes.planned import AnswersPlan, Cost, Implied, MixturePlan, MixtureRow, Plan, SourcePlan, StagePlan
from tandem.recipes.recipe import Recipe

HOUR = 3_600


def plan(recipe: Recipe) -> Plan:
    """Compute a plan. Raises `UserError` when the rows of the embedding are unknown, for want of the tokenizer."""
    shape = recipe.shape(_vocabulary(recipe))
    planning = recipe.plan
    device = devices.accelerator(planning)
    data = planning.devices // planning.tensor
    rate = planning.devices * device.tflops * 1e12 * planning.mfu
    stages = tuple(_stage(recipe, i, shape, rate) for i in range(len(recipe.stage)))
    tokens = sum(stage.tokens for stage in stages)
    flops = math.fsum(stage.flops for stage in stages)
    lengths = sorted({stage.context for stage in stages})

    def on_one(length: int, parallel: Parallel) -> Memory:
        return memory.estimate(
            shape,
            context=length,
            rows=planning.rows,
            precision=recipe.model.precision,
            parallel=parallel,
            data=data,
            tensor=planning.tensor,
        )

    mixtures = tuple(_mixture(recipe, name) for name in recipe.mixture)
    prices = list(devices.TPU_V4_PRICES)
    if device.name == "TPU-v4" and planning.price_per_hour is not None:
        prices.append(("given", planning.price_per_hour))
    paid = published.number("xgen-run", "price per 1T tokens", "Value")
    warnings = [*agreement.unused(recipe)]
    warnings += _missing(recipe)
    if data > 1 and any(stage.rows < data for stage in stages):
        warnings.append(f"a batch has fewer rows than the {data} data-parallel devices: some would be idle")
    return Plan(
        name=recipe.name,
        title=recipe.title or recipe.name,
        notes=tuple(recipe.notes),
        warnings=tuple(warnings),
        mixtures=mixtures,
        sources=_sources(recipe, mixtures, tokens),
        stages=stages,
        shape=shape,
        parameters=shape.parameters(),
        matmul_parameters=shape.matmul_parameters(),
        tokens=tokens,
        flops=flops,
        flops_causal=math.fsum(stage.tokens * stage.flops_per_token_causal for stage in stages),
        flops_longest=tokens * shape.flops_per_token(lengths[-1]),
        precision=recipe.model.precision,
        parallel=planning.parallel,
        data=data,
        tensor=planning.tensor,
        pass_rows=planning.rows,
        memory=tuple((length, on_one(length, planning.parallel)) for length in lengths),
        alternatives=tuple((parallel, on_one(lengths[-1], parallel)) for parallel in get_args(Parallel)),
        cost=_cost(recipe, device, flops, rate, tokens),
        paid_per_trillion=paid,
        implied=tuple(_implied(shape, lengths, terms, price, paid) for terms, price in prices),
        settings=tuple(provenance.settings(recipe)),
        comparisons=tuple(comparison.comparisons(recipe, mixtures, stages)),
        answers=_answers(recipe),
    )


def _answers(recipe: Recipe) -> AnswersPlan | None:
    answers = recipe.answers
    if answers is None:
        return None
    chains = answers.questions * answers.samples
    longest = answers.max_tokens * max(answers.hops) + ANSWER_TOKENS  # a chain that was cut is asked for its answer
    return AnswersPlan(
        answers.model,
        answers.precision,
        answers.questions,
        tuple(METHODS),
        chains,
        chains * longest + answers.questions * ANSWER_TOKENS,
    )


def _missing(recipe: Recipe) -> list[str]:
    keys = [problem.key for problem in missing.files(recipe)]
    sources = [key for key in keys if key[0] == "sources"]
    names = [".".join(map(str, key)) for key in keys if key not in sources]
    if len(sources) > 3:
        names.insert(0, f"the paths of {len(sources)} of {len(recipe.sources)} sources")
    else:
        names[:0] = [".".join(map(str, key)) for key in sources]
    return [f"a plan needs no data, a run does: nothing is there yet for {', '.join(names)}"] if names else []


def _vocabulary(recipe: Recipe) -> int:
    if recipe.model.vocabulary is not None:
        return recipe.model.vocabulary
    assert recipe.tokenizer.load is not None, "other tokenizers say how many rows they need"
    if not Path(recipe.tokenizer.load).exists():
        raise UserError(
            f"the tokenizer '{recipe.tokenizer.load}' is not there, so the rows of the embedding are unknown",
            where="model.vocabulary",
            remedy="say how many rows there will be: --set model.vocabulary=50_304",
        )
    from tandem import tokenizer

    return tokenizer.load(Path(recipe.tokenizer.load)).vocabulary


def _stage(recipe: Recipe, index: int, shape: Shape, rate: float) -> StagePlan:
    stage = recipe.stage[index]
    per_token = shape.flops_per_token(stage.context)
    return StagePlan(
        name=stage.name,
        mixture=stage.mixture,
        context=stage.context,
        tokens=stage.tokens,
        batch=stage.batch,
        rows=stage.rows,
        steps=stage.steps,
        seen=stage.steps * stage.batch,
        flops_per_token=per_token,
        flops_per_token_causal=shape.flops_per_token(stage.context, causal=True),
        flops=stage.tokens * per_token,
        seconds=stage.tokens * per_token / rate,
        tokens_per_second=rate / per_token,
    )


def _mixture(recipe: Recipe, name: str) -> MixturePlan:
    using = [stage for stage in recipe.stage if stage.mixture == name]
    table = recipe.table(name)
    total = float(table.total or sum(stage.tokens for stage in using))
    rows = []
    for row in table.rows:
        share = table.shares[row.name]
        tokens = row.tokens or share * total
        unique = tokens / row.epochs if row.epochs else None
        rows.append(MixtureRow(row.name, row.title, share, tokens, row.epochs, unique))
    return MixturePlan(name, tuple(stage.name for stage in using), tuple(rows), total)


def _sources(recipe: Recipe, mixtures: tuple[MixturePlan, ...], tokens: int) -> tuple[SourcePlan, ...]:
    read = seen([(recipe.shares(stage.mixture), stage.tokens) for stage in recipe.stage])
    unique: dict[str, float] = {}
    for mixture in mixtures:
        for row in mixture.rows:
            if row.unique is not None:
                unique[row.name] = max(unique.get(row.name, 0.0), row.unique)
    found = []
    for name, source in recipe.sources.items():
        n = read.get(name, 0.0)
        epochs = n / unique[name] if name in unique else None
        found.append(SourcePlan(name, source.title or name, n, n / tokens, unique.get(name), epochs))
    return tuple(found)


def _cost(recipe: Recipe, device: Accelerator, flops: float, rate: float, tokens: int) -> Cost:
    planning, seconds = recipe.plan, flops / rate
    hours = seconds * planning.devices / HOUR
    price = planning.price_per_hour
    money = hours * price if price is not None else None
    return Cost(
        device=device,
        devices=planning.devices,
        mfu=planning.mfu,
        seconds=seconds,
        device_hours=hours,
        price=price,
        money=money,
        per_trillion=money / tokens * 1e12 if money is not None else None,
    )


def _implied(shape: Shape, lengths: list[int], terms: str, price: float, paid: float) -> Implied:
    tpu = next(device for device in devices.KNOWN if device.name == "TPU-v4")
    bought = paid / price * HOUR * tpu.tflops * 1e12
    return Implied(terms, price, tpu.tflops, tuple(1e12 * shape.flops_per_token(length) / bought for length in lengths))
