"""A plan as tables: what `tandem plan` prints, every figure rounded here and nowhere before.

Each function makes one table or none. What this does not do: compute, or know a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator

from tandem.recipes import memory
from tandem.recipes.planned import AnswersPlan, MixturePlan, Plan
from tandem.recipes.provenance import Setting
from tandem.results import Cell, Table
from tandem.text import count, duration

GIB = 1 << 30
DAY = 86_400
NOTHING = "–"
_UNITS = ((1e9, "B"), (1e6, "M"), (1e3, "K"))


def tables(plan: Plan) -> Iterator[Table]:
    """All tables of a plan, in reading order."""
    for mixture in plan.mixtures:
        yield _mixture(mixture)
    if len(plan.mixtures) > 1:
        yield _sources(plan)
    yield _stages(plan)
    yield _model(plan)
    yield _flops(plan)
    yield _memory(plan)
    yield _alternatives(plan)
    yield _cost(plan)
    if plan.answers is not None:
        yield _answers(plan.answers)
    if plan.comparisons:
        yield _paid(plan)
        yield _comparisons(plan)
    yield _settings(plan)


def _mixture(mixture: MixturePlan) -> Table:
    size, unit = _unit(mixture.tokens)
    rows: list[tuple[Cell, ...]] = [
        (row.title, _amount(row.tokens, size), _number(row.epochs), _amount(row.unique, size), f"{100 * row.share:.2f}")
        for row in mixture.rows
    ]
    rows.append(("Total", _amount(mixture.tokens, size), "", "", f"{100 * sum(row.share for row in mixture.rows):.2f}"))
    used = f"stages {', '.join(mixture.stages)}" if mixture.stages else "inside other mixtures only"
    return Table(
        f"Mixture '{mixture.name}' ({used})",
        ("Data", f"Tokens ({unit})", "Epochs", f"Unique ({unit})", "Share (%)"),
        tuple(rows),
        "Tokens are tokens seen; unique tokens = seen / epochs; share = seen / total.",
    )


def _sources(plan: Plan) -> Table:
    size, unit = _unit(plan.tokens)
    rows: list[tuple[Cell, ...]] = [
        (s.title, _amount(s.tokens, size), _number(s.epochs), _amount(s.unique, size), f"{100 * s.share:.2f}")
        for s in plan.sources
    ]
    rows.append(("Total", _amount(plan.tokens, size), "", "", f"{100 * sum(s.share for s in plan.sources):.2f}"))
    return Table(
        "Sources over the whole run",
        ("Source", f"Tokens ({unit})", "Epochs", f"Unique ({unit})", "Share (%)"),
        tuple(rows),
        "Nested mixtures taken apart: their epochs add to a source's own.",
    )


def _stages(plan: Plan) -> Table:
    size, unit = _unit(plan.tokens)
    rows: list[tuple[Cell, ...]] = [
        (s.name, s.mixture, count(s.context), _amount(s.tokens, size), count(s.batch), count(s.rows), count(s.steps))
        for s in plan.stages
    ]
    steps = sum(s.steps for s in plan.stages)
    rows.append(("Total", "", "", _amount(plan.tokens, size), "", "", count(steps)))
    seen = sum(s.seen for s in plan.stages)
    return Table(
        "Stages",
        ("Stage", "Mixture", "Context", f"Tokens ({unit})", "Batch", "Rows", "Steps"),
        tuple(rows),
        f"Batch in tokens, rows per batch. Whole batches make it {count(seen)} tokens instead of {count(plan.tokens)}.",
    )


def _model(plan: Plan) -> Table:
    shape = plan.shape
    heads = f"{shape.heads} of {shape.head_width}"
    if shape.kv_heads != shape.heads:
        heads += f", {shape.kv_heads} for keys and values"
    rows: tuple[tuple[Cell, ...], ...] = (
        ("Parameters", count(plan.parameters)),
        ("… in matrix products (output head, not embedding)", count(plan.matmul_parameters)),
        ("… per layer", count(shape.layer_parameters())),
        ("Layers, width", f"{shape.layers}, {count(shape.width)}"),
        ("Heads", heads),
        ("MLP", f"{count(shape.mlp_width)} {'SwiGLU' if shape.activation == 'swiglu' else 'GELU'}"),
        ("Vocabulary (rows)", count(shape.vocabulary)),
        ("Context", count(shape.context)),
    )
    return Table("Model", ("", ""), rows)


def _flops(plan: Plan) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for context in sorted({s.context for s in plan.stages}):
        here = [s for s in plan.stages if s.context == context]
        full, causal = here[0].flops_per_token, here[0].flops_per_token_causal
        products = 6 * plan.matmul_parameters
        rows.append(
            (
                count(context),
                _giga(full),
                _giga(causal),
                f"{100 * (1 - products / full):.0f} / {100 * (1 - products / causal):.0f}",
                f"{sum(s.flops for s in here):.3e}",
            )
        )
    rows.append(("Total", "", "", "", f"{plan.flops:.3e}"))
    saved = 1 - plan.flops / plan.flops_longest
    curriculum = (
        f" All tokens at the longest context: {plan.flops_longest:.3e}; the stages save {100 * saved:.0f} %."
        if len(rows) > 2
        else ""
    )
    return Table(
        "FLOPs of training",
        ("Context", "G/token, full", "G/token, causal", "Attention (%)", "FLOPs, full"),
        tuple(rows),
        "Convention: 6 × parameters in matrix products + 12 × layers × width of all heads × context for the full "
        "square of the attention matrix; causal counts half of that square. Attention: its share, full / causal. "
        f"Total with the causal half: {plan.flops_causal:.3e}. Recomputation is not counted.{curriculum}",
    )


def _memory(plan: Plan) -> Table:
    estimates = [estimate for _, estimate in plan.memory]
    size, unit = _memory_unit(plan)
    parts = (
        ("Weights", "weights"),
        ("fp32 master", "master"),
        ("AdamW's moments", "moments"),
        ("Gradients, in bf16" if plan.precision == "bf16" else "Gradients", "gradients_bf16"),
        ("Gradients, in fp32", "gradients_fp32"),
        ("Gathered blocks", "gathered"),
        ("Activations, recomputed", "activations_recomputed"),
        ("Activations, kept", "activations"),
        (f"Logits, chunks of {count(memory.LOSS_CHUNK)}", "logits_chunked"),
        ("Logits, full", "logits_full"),
    )
    rows: list[tuple[Cell, ...]] = [
        (label, *(_part(size, getattr(e, part)) for e in estimates))
        for label, part in parts
        if any(getattr(e, part) for e in estimates) and (plan.precision == "bf16" or part != "gradients_fp32")
    ]
    low, high = ("bf16 gradients, ", "fp32 gradients, ") if plan.precision == "bf16" else ("", "")
    rows.append((f"Least: {low}recomputed, chunks", *(_part(size, e.least) for e in estimates)))
    rows.append((f"Fast: {high}kept, chunks", *(_part(size, e.kept) for e in estimates)))
    rows.append((f"Most: {high}kept, full logits", *(_part(size, e.most) for e in estimates)))
    device = plan.cost.device
    state = "16 to 18 bytes a weight" if plan.precision == "bf16" else "16 bytes a weight"
    return Table(
        f"Memory per device, {unit} ({_division(plan)})",
        ("", *(f"at {count(context)}" for context, _ in plan.memory)),
        tuple(rows),
        f"{device.name} has {device.memory_gib:g} GiB. State: {state} before division. "
        f"{_plural(plan.pass_rows, 'row')} per device and pass. Formulas: docs/plan.md; leave 5 to 10 % free.",
    )


def _alternatives(plan: Plan) -> Table:
    size, unit = _memory_unit(plan)
    room = plan.cost.device.memory_gib * GIB
    names = {
        "ddp": "ddp (all copied)",
        "zero1": "zero1 (optimiser)",
        "zero2": "zero2 (+ gradients)",
        "fsdp": "fsdp (+ weights)",
    }
    rows: list[tuple[Cell, ...]] = [
        (
            names[parallel],
            _part(size, e.least),
            "yes" if e.least <= room else "no",
            _part(size, e.kept),
            "yes" if e.kept <= room else "no",
        )
        for parallel, e in plan.alternatives
    ]
    return Table(
        f"Ways to divide over {_plural(plan.cost.devices, 'device')}, at {count(plan.memory[-1][0])}",
        ("Divided", f"Least, {unit}", "fits", f"Fast, {unit}", "fits"),
        tuple(rows),
        f"tensor parallel {plan.tensor}, data parallel {plan.data}.",
    )


def _cost(plan: Plan) -> Table:
    cost = plan.cost
    rows: list[tuple[Cell, ...]] = [
        ("Devices", f"{cost.devices} × {cost.device.name}"),
        ("Peak, dense bf16", f"{cost.device.tflops:g} TFLOP/s each ({cost.device.source})"),
        ("MFU (assumed)", f"{100 * cost.mfu:g} %"),
    ]
    for stage in plan.stages:
        speed = f"{count(stage.tokens_per_second / cost.devices)} tokens/s a device"
        rows.append((f"Stage {stage.name}", f"{_time(stage.seconds)}, {speed}"))
    rows.append(("Pre-training", _time(cost.seconds)))
    rows.append(("Device-hours", count(cost.device_hours) if cost.device_hours >= 10 else f"{cost.device_hours:.2f}"))
    if cost.price is None or cost.money is None or cost.per_trillion is None:
        rows.append(("Money", "give a price: --price DOLLARS (one device, one hour)"))
    else:
        rows.append(("Money", f"${_dollars(cost.money)} at ${cost.price:g} a device-hour"))
        rows.append(("… per 1T tokens", f"${_dollars(cost.per_trillion)}"))
    if plan.comparisons:
        rows.append(("… in the talk", f"${_dollars(plan.paid_per_trillion)} per 1T tokens, on TPU-v4"))
    return Table(
        "Time and money",
        ("", ""),
        tuple(rows),
        "MFU is of the full-square FLOPs above. Pre-training alone: no restarts, evaluation or tuning.",
    )


def _answers(answers: AnswersPlan) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = (
        ("Model", f"{answers.model}, {answers.precision}"),
        ("Questions", count(answers.questions)),
        ("Answered by", ", ".join(answers.methods)),
        ("Chains", f"{count(answers.chains)}, shared by the methods that vote"),
        ("Tokens written", f"at most {count(answers.written)}, and what checking the steps takes"),
    )
    return Table(
        "Answers", ("", ""), rows, "On the device of the run; without the embedded model the stage is left out."
    )


def _paid(plan: Plan) -> Table:
    lengths = [context for context, _ in plan.memory]
    return Table(
        f"What ${_dollars(plan.paid_per_trillion)} per 1T tokens implies on TPU-v4",
        ("Price of a chip and hour", "$", *(f"MFU at {count(length)}" for length in lengths)),
        tuple((i.terms, f"{i.price:.2f}", *(f"{100 * mfu:.0f} %" for mfu in i.mfu)) for i in plan.implied),
        f"MFU = FLOPs of 1T tokens × price / (dollars × 3,600 s × {plan.implied[0].tflops:g} TFLOP/s), full square. "
        "Above 100 %: cannot be.",
    )


def _comparisons(plan: Plan) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for c in plan.comparisons:
        rows.append((c.table, f"{c.figures - len(c.differences)} of {c.figures} printed figures as computed"))
        for d in c.differences:
            rows.append((f"  {d.figure}", f"printed {d.printed:,.2f}, computed {d.computed:,.2f}"))
    return Table("Published tables against this plan", ("Table", "Arithmetic"), tuple(rows), "At two decimals.")


def _settings(plan: Plan) -> Table:
    grouped: dict[tuple[str, str], list[str]] = {}
    for setting in plan.settings:
        texts = grouped.setdefault((setting.status, setting.source), [])
        text = _setting(setting)
        if text not in texts:
            texts.append(text)
    order = ("published", "derived", "chosen", "default")
    rows: list[tuple[Cell, ...]] = []
    for (status, source), texts in sorted(grouped.items(), key=lambda item: order.index(item[0][0])):
        rows.append((f"{status}: {source}" if source else status, ", ".join(texts)))
    return Table(
        "Where the settings come from",
        ("From", "Settings"),
        tuple(rows),
        "default: not in the recipe; LLaMA = Touvron et al. 2023, arXiv 2302.13971; Adam = arXiv 1412.6980.",
    )


def _setting(setting: Setting) -> str:
    if setting.key.startswith("mixture."):
        return ".".join(setting.key.split(".")[:2])
    value = setting.value
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int):
        value = f"{value / 1e9:g}B" if value >= 10**9 else count(value)
    return f"{setting.key}={value}"


def _unit(tokens: float) -> tuple[float, str]:
    return next(((size, unit) for size, unit in _UNITS if tokens >= size), (1.0, "1"))


def _amount(tokens: float | None, size: float) -> str:
    return NOTHING if tokens is None else f"{tokens / size:,.2f}"


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _giga(flops: float) -> str:
    return f"{flops / 1e9:.1f}" if flops >= 1e10 else f"{flops / 1e9:.3f}"


def _memory_unit(plan: Plan) -> tuple[int, str]:
    return (GIB, "GiB") if max(e.most for _, e in plan.memory) >= GIB else (1 << 20, "MiB")


def _part(size: int, n_bytes: float) -> str:
    return f"{n_bytes / size:,.1f}"


def _time(seconds: float) -> str:
    return f"{seconds / DAY:,.1f} days" if seconds >= 2 * DAY else duration(seconds)


def _dollars(amount: float) -> str:
    return count(amount) if amount >= 100 else f"{amount:.2f}"


def _division(plan: Plan) -> str:
    return f"{plan.parallel}, data {plan.data} × tensor {plan.tensor}"
