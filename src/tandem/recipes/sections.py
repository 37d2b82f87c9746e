"""The form of a recipe: every section, every key, its type, its default and where the default comes from.

A recipe is one TOML file that describes a run from raw text to an evaluated model. These models hold types and single
values; what must agree between values is in `check`, reading a file is in `schema`. After loading, keys that follow
from others (a context, a width of the MLP) are filled in, so that the executor finds nothing left open. Rejected:
settings as executed Python; a recipe must be readable by a planner, a differ and a person without running it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tandem.decoder.shape import RopeScaling, Shape
from tandem.recipes.quantities import Bytes, Tokens

LLAMA = "LLaMA"  # Touvron et al. 2023, arXiv 2302.13971, sections 2.2 and 2.3
XGEN_ROWS = 51_200
ROW_MULTIPLE = 64
NESTED = "mixture:"

Positive = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Above = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


def _names_or_count(given: object) -> object:
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        return given
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    raise ValueError("give a number, or a list of names in quotes")


NamesOrCount = Annotated[int | list[str], BeforeValidator(_names_or_count)]


def _default(value: Any, meaning: str, source: str = "") -> Any:
    return Field(default=value, description=meaning, json_schema_extra={"source": source} if source else None)


def _needed(meaning: str) -> Any:
    return Field(description=meaning)


class Section(BaseModel):
    """A table of a recipe: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


class World(Section):
    """The made-up world that passages, questions, choices and instruction tasks come from."""

    seed: int = _default(7, "the world is a function of this and `facts`")
    facts: Tokens = _default(20_000, "number of facts")


class Source(Section):
    """Raw text, by a name that mixtures use."""

    path: str = _needed(
        "a file, a folder, a glob; `python:code` or `python:docstrings` (Python's own library); `world:passages`. "
        "Relative to the folder the command runs in"
    )
    title: str = _default("", "name in tables and reports; empty takes the key")
    form: Literal["auto", "text", "lines", "code", "jsonl", "parquet"] = _default(
        "auto", "what the files are; `auto` goes by each file's name"
    )
    field: str = _default("text", "the field of a JSONL line or Parquet row that holds the text")
    limit: Bytes | None = _default(None, "read no more than this much raw text")
    validation: Annotated[float, Field(ge=0, lt=1)] = _default(
        0.01, "share of the documents held out of training, for the loss per source and per position"
    )
    keep_damaged: bool = _default(False, "keep what can be read of a truncated file; otherwise it is an error")


class Tokenizer(Section):
    """One of: trained on the sources (`vocabulary`), loaded (`load`), XGen's from GPT-2's ranks (`xgen`)."""

    vocabulary: Annotated[int, Field(ge=300)] | None = _default(
        None, "train a byte-level BPE of this many ids on the sources; at least 300"
    )
    load: str | None = _default(None, "a Hugging Face folder or a tokenizer.json")
    xgen: str | None = _default(None, "GPT-2's ranks as a file: build XGen's 50,313 ids in 51,200 rows")
    whitespace_runs: bool = _default(True, "give runs of spaces and tabs ids of their own (trained tokenizers)")
    sample: Bytes = _default(50_000_000, "train the tokenizer on no more than this much text, mixed as the sources are")


class RopeStretch(Section):
    """Rotary positions stretched past the length they were trained for; see `tandem.decoder.shape.RopeScaling`."""

    kind: Literal["linear", "dynamic", "yarn", "llama3"] = _needed("the rule")
    factor: Annotated[float, Field(ge=1)] = _needed("trained length × factor = usable length")
    original_context: Positive = _needed("the length they were trained for, in tokens")
    low_frequency: Above = _default(1.0, "`llama3` only")
    high_frequency: Above = _default(4.0, "`llama3` only")
    beta_fast: Above = _default(32.0, "`yarn` only")
    beta_slow: Above = _default(1.0, "`yarn` only")
    attention_factor: Above | None = _default(None, "`yarn` only; left out: 0.1 ln(factor) + 1")


class Model(Section):
    """The decoder."""

    layers: Positive = _needed("number of blocks")
    width: Positive = _needed("width of the residual stream")
    heads: Positive = _needed("query heads")
    kv_heads: Positive | None = _default(None, "key and value heads; left out: as many as `heads`")
    head_width: Positive | None = _default(None, "width of a head; left out: width / heads")
    mlp_width: Positive | None = _default(
        None,
        "inner width of the MLP; left out: 8/3 × width (SwiGLU) or 4 × width (GELU), rounded up to a multiple of 256, "
        "of 64 below width 1,024",
        LLAMA,
    )
    vocabulary: Positive | None = _default(
        None, "rows of the embedding; left out: the tokenizer's ids, rounded up to a multiple of 64"
    )
    context: Positive | None = _default(None, "longest sequence, in tokens; left out: the longest stage's")
    rope_base: Above = _default(10_000.0, "base of the rotary wavelengths", LLAMA)
    rope_scaling: RopeStretch | None = _default(None, "stretched rotary positions; left out: plain")
    norm: Literal["rms", "layer"] = _default("rms", "RMSNorm or LayerNorm", LLAMA)
    norm_eps: Above = _default(1e-6, "added to the variance", LLAMA)
    activation: Literal["swiglu", "gelu"] = _default("swiglu", "the MLP's activation", LLAMA)
    parallel: bool = _default(False, "attention and MLP side by side instead of one after the other", LLAMA)
    qkv_bias: bool = _default(False, "biases on q, k and v", LLAMA)
    qk_norm: bool = _default(False, "normalise each query and key head", LLAMA)
    tied: bool = _default(False, "the output head is the embedding", LLAMA)
    init_std: Above = _default(0.02, "standard deviation of the initial weights")
    window: Positive | None = _default(None, "sliding attention over this many tokens; left out: all")
    documents: bool = _default(True, "attention stays inside a document; false lets it cross the boundaries of a row")
    precision: Literal["fp32", "bf16"] = _default(
        "fp32", "arithmetic of the products; bf16 keeps fp32 master weights, moments, norms and logits"
    )


class Part(Section):
    """A row of a mixture: its `share`, or its `tokens` seen as in the talk's tables."""

    share: Share | None = _default(None, "share of the tokens seen; all rows of a mixture sum to 1 ± 0.001")
    tokens: Tokens | None = _default(None, "tokens seen; share = tokens / sum of the table")
    epochs: Above | None = _default(None, "how often each token is seen: unique tokens = tokens seen / epochs")
    title: str = _default("", "name in tables; empty takes the source's title")


class Schedule(Section):
    """The learning rate over the optimiser steps: linear warm-up to `peak`, then a cosine to `final`."""

    peak: Above = _default(3e-4, "highest learning rate", LLAMA)
    warmup: Whole = _default(2_000, "steps of linear warm-up", LLAMA)
    final: Share = _default(0.1, "last learning rate as a fraction of `peak`; 1 keeps the rate constant", LLAMA)


class Optimizer(Section):
    """AdamW, and what happens to gradients before it."""

    beta1: Annotated[float, Field(ge=0, lt=1)] = _default(0.9, "decay of the first moment", LLAMA)
    beta2: Annotated[float, Field(ge=0, lt=1)] = _default(0.95, "decay of the second moment", LLAMA)
    eps: Above = _default(1e-8, "added to the root of the second moment; LLaMA's is not published", "Adam")
    decay: Annotated[float, Field(ge=0)] = _default(0.1, "weight decay, on matrices only", LLAMA)
    clip: Annotated[float, Field(ge=0)] = _default(1.0, "largest norm of the gradient; 0 does not clip", LLAMA)


class Training(Section):
    """How the work is cut, and what counts as a spike; the same for every stage and for tuning."""

    micro_tokens: Tokens | None = _default(
        None, "tokens per forward and backward pass; a batch is accumulated from them; left out: chosen by device"
    )
    checkpoint_seconds: Above = _default(60.0, "seconds between checkpoints")
    spike_deviations: Above = _default(
        8.0, "a loss this many robust deviations above the median of the last 128 steps is a spike"
    )
    skip_spikes: bool = _default(False, "leave the update of a spike out; otherwise it is only recorded")


class Stage(Section):
    """A part of pre-training with its own context length, mixture and token budget; stages run in order."""

    name: Name = _needed("name, unique in the recipe")
    mixture: str = _needed("name of a mixture")
    context: Positive = _needed("length of a row, in tokens")
    tokens: Tokens = _needed("tokens to see; rounded to whole batches")
    batch: Tokens = _default(
        4_194_304, "tokens per optimiser step: a multiple of context (LLaMA's 4M as 4 × 2^20)", LLAMA
    )
    schedule: Schedule | None = _default(
        None,
        "a schedule of its own over this stage's steps, keys left out as in [schedule]; left out, the stage shares the "
        "one schedule that runs over the steps of all such stages",
    )

    @property
    def steps(self) -> int:
        """Optimiser steps: tokens / batch to the nearest whole number."""
        return max(1, round(self.tokens / self.batch))

    @property
    def rows(self) -> int:
        """Rows per optimiser step: batch / context."""
        return self.batch // self.context


class Lora(Section):
    """Low-rank adapters instead of full tuning (Hu et al. 2021)."""

    rank: Positive = _default(16, "rank of the update")
    alpha: Above = _default(32.0, "the update is scaled by alpha / rank")
    dropout: Annotated[float, Field(ge=0, lt=1)] = _default(0.0, "dropout before the update")
    targets: Annotated[
        list[Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]], Field(min_length=1)
    ] = _default(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "the projections adapted"
    )


class HeldOut(Section):
    """What instruction tuning must not see, in three kinds: instances, tasks, task types."""

    instances: Annotated[float, Field(ge=0, lt=1)] = _default(0.1, "share of the instances of each task seen in tuning")
    tasks: NamesOrCount = _default(0, "whole tasks whose type is seen: their names, or how many, drawn by the seed")
    types: NamesOrCount = _default(0, "whole task types: their names, or how many, drawn by the seed")


class Tuning(Section):
    """Instruction tuning after the last stage, with loss on the responses only."""

    data: str = _needed("`world` (its instruction tasks), or a file: chat JSONL, Alpaca JSON, ShareGPT")
    items: Tokens | None = _default(None, "use at most this many conversations")
    template: Literal["xgen", "fastchat", "own"] = _default(
        "xgen", "`xgen` as on the talk's slide, `fastchat` as registered there, `own` the tokenizer's chat template"
    )
    epochs: Annotated[int, Field(ge=1)] = _default(3, "times each conversation is seen")
    context: Positive | None = _default(None, "length of a packed row, in tokens; left out: model.context")
    batch: Tokens | None = _default(None, "tokens per optimiser step, a multiple of context; left out: 16 rows")
    peak: Above = _default(2e-5, "highest learning rate")
    warmup: Annotated[float, Field(ge=0, lt=1)] = _default(0.03, "share of the steps that warm up")
    final: Share = _default(0.0, "last learning rate as a fraction of `peak`, reached by a cosine")
    decay: Annotated[float, Field(ge=0)] = _default(0.0, "weight decay")
    lora: Lora | None = _default(None, "tune low-rank adapters; left out: all weights")
    held_out: HeldOut = _default(HeldOut(), "what tuning does not see")


class Evaluation(Section):
    """What is measured at the end, besides the loss per source after each stage."""

    validation_tokens: Tokens = _default(200_000, "held-out tokens per source for losses")
    positions: bool = _default(True, "loss by token position at each stage's end")
    choices: Whole | None = _default(None, "multiple-choice items of the world; left out: 400 with a world, else 0")
    questions: Whole | None = _default(None, "questions of the world, open; left out: 200 with a world, else 0")
    per_task: Positive = _default(50, "instruction items per task and kind of held-out split")
    examples: Whole = _default(6, "prompts shown before and after tuning")
    prompts: list[str] = _default([], "your own prompts to show, before those of the world")
    max_tokens: Positive = _default(48, "longest answer, in tokens")


class Planning(Section):
    """Read by `tandem plan` only: where the run would go, and at what price."""

    device: str = _default("H200", "a name of the planner's table (docs/plan.md), or your own with the next two keys")
    tflops: Above | None = _default(None, "dense bf16 peak of a device, TFLOP/s; left out: from the table")
    memory_gib: Above | None = _default(None, "memory of a device, GiB; left out: from the table")
    devices: Positive = _default(1, "number of devices")
    price_per_hour: Above | None = _default(None, "price of one device for one hour, in dollars")
    mfu: Annotated[float, Field(gt=0, le=1)] = _default(
        0.4, "share of the peak that model FLOPs use (attention counted in full, recomputation not counted)"
    )
    parallel: Literal["ddp", "zero1", "zero2", "fsdp"] = _default(
        "fsdp", "what data-parallel devices divide: nothing, optimiser state, + gradients, + weights (ZeRO 1, 2, 3)"
    )
    tensor: Positive = _default(1, "devices that share each matrix product (tensor parallel)")
    rows: Positive = _default(1, "rows per device and pass")


class Provenance(Section):
    """Says of some settings where they come from; the plan prints it."""

    keys: Annotated[list[str], Field(min_length=1)] = _needed(
        "key paths; `*` stands for any characters, a stage goes by its name: `stage.*.context`"
    )
    status: Literal["published", "derived", "chosen"] = _needed(
        "published, derived from what is published, or chosen here"
    )
    source: str = _default("", "where it is published, or why it was chosen")
    table: str = _default(
        "", "a table of experiments/published.toml with which the plan compares a mixture or the stages"
    )


class Recipe(Section):
    """A run, from raw text to an evaluated model."""

    name: Name = _needed("name of the run; its folder is called so")
    title: str = _default("", "heading of the report")
    notes: list[str] = _default([], "sentences that the plan prints")
    seed: int = _default(0, "everything drawn at random is a function of this")
    world: World | None = _default(None, "a made-up world")
    sources: Annotated[dict[Name, Source], Field(min_length=1)] = _needed("raw text by name")
    tokenizer: Tokenizer = _needed("the tokenizer")
    model: Model = _needed("the decoder")
    mixture: Annotated[dict[Name, dict[str, Part]], Field(min_length=1)] = _needed(
        "mixtures by name; a row is a source or, as `mixture:NAME`, the data of another mixture"
    )
    stage: Annotated[list[Stage], Field(min_length=1)] = _needed("stages of pre-training, in order")
    schedule: Schedule = _default(Schedule(), "the one learning-rate schedule over all stages without their own")
    optimizer: Optimizer = _default(Optimizer(), "the optimiser")
    training: Training = _default(Training(), "how the work is cut")
    tuning: Tuning | None = _default(None, "instruction tuning; left out: none")
    evaluation: Evaluation = _default(Evaluation(), "what is measured")
    plan: Planning = _default(Planning(), "where the run would go; `tandem plan` only")
    provenance: list[Provenance] = _default([], "which settings are published")

    @model_validator(mode="after")
    def _fill(self) -> Self:
        """Give every key that follows from others its value; keys that cannot be derived stay None for `check`."""
        model, longest = self.model, max(stage.context for stage in self.stage)
        filled: dict[str, Any] = {
            "kv_heads": model.kv_heads or model.heads,
            "head_width": model.head_width or max(1, model.width // model.heads),
            "mlp_width": model.mlp_width or _mlp_width(model.width, model.activation),
            "context": model.context or longest,
            "vocabulary": model.vocabulary or _rows(self.tokenizer),
        }
        stages = [
            stage
            if stage.schedule is None
            else _with(stage, schedule=_with(self.schedule, **stage.schedule.model_dump(exclude_unset=True)))
            for stage in self.stage
        ]
        update: dict[str, Any] = {"model": _with(model, **filled), "stage": stages}
        update["evaluation"] = _with(
            self.evaluation,
            choices=_first(self.evaluation.choices, 400 if self.world else 0),
            questions=_first(self.evaluation.questions, 200 if self.world else 0),
        )
        if self.tuning is not None:
            context = self.tuning.context or filled["context"]
            update["tuning"] = _with(self.tuning, context=context, batch=self.tuning.batch or 16 * context)
        self.__dict__.update(update)  # frozen for everyone else; this is still construction
        return self

    def shape(self, vocabulary: int | None = None) -> Shape:
        """The decoder's shape; `vocabulary` overrides the rows, for a tokenizer only known at run time.

        Raises `UserError` naming the key of [model] whose size does not fit.
        """
        m = self.model
        rows = vocabulary or m.vocabulary
        assert rows and m.kv_heads and m.head_width and m.mlp_width and m.context, "filled in on loading"
        stretch = RopeScaling(**m.rope_scaling.model_dump()) if m.rope_scaling else None
        return Shape(
            vocabulary=rows,
            layers=m.layers,
            width=m.width,
            heads=m.heads,
            kv_heads=m.kv_heads,
            head_width=m.head_width,
            mlp_width=m.mlp_width,
            context=m.context,
            rope_base=m.rope_base,
            rope_scaling=stretch,
            norm=m.norm,
            norm_eps=m.norm_eps,
            activation=m.activation,
            parallel=m.parallel,
            qkv_bias=m.qkv_bias,
            qk_norm=m.qk_norm,
            tied=m.tied,
            init_std=m.init_std,
            window=m.window,
        )

    def shares(self, mixture: str) -> dict[str, float]:
        """Share of each source in a mixture, nested mixtures taken apart; sums to 1, order of the recipe."""
        shares: dict[str, float] = {}
        for name, share in self.rows(mixture):
            inner = self.shares(name.removeprefix(NESTED)) if name.startswith(NESTED) else {name: 1.0}
            for source, part in inner.items():
                shares[source] = shares.get(source, 0.0) + share * part
        return shares

    def rows(self, mixture: str) -> Iterator[tuple[str, float]]:
        """Rows of a mixture as written, each with its share; the shares sum to 1."""
        parts = self.mixture[mixture]
        weights = {name: float(part.tokens or part.share or 0.0) for name, part in parts.items()}
        total = math.fsum(weights.values())
        for name, weight in weights.items():
            yield name, weight / total

    def seen_before(self, stage: int) -> dict[str, int]:
        """Tokens of each source seen before the stage of this index: where its next epoch goes on."""
        seen = dict.fromkeys(self.sources, 0)
        for earlier in self.stage[:stage]:
            for source, share in self.shares(earlier.mixture).items():
                seen[source] += round(share * earlier.steps * earlier.batch)
        return seen

    def span(self, stage: int) -> tuple[Schedule, int, int]:
        """Schedule of the stage of this index, the stage's first step within it, and the schedule's length in steps.

        A stage with its own schedule starts it at 0; all others share one, in order.
        """
        own = self.stage[stage].schedule
        if own is not None:
            return own, 0, self.stage[stage].steps
        shared = [(i, s.steps) for i, s in enumerate(self.stage) if s.schedule is None]
        return self.schedule, sum(n for i, n in shared if i < stage), sum(n for _, n in shared)


def _mlp_width(width: int, activation: str) -> int:
    wanted = 8 * width / 3 if activation == "swiglu" else 4 * width
    multiple = 256 if width >= 1024 else 64
    return math.ceil(wanted / multiple) * multiple


def _rows(tokenizer: Tokenizer) -> int | None:
    if tokenizer.xgen is not None:
        return XGEN_ROWS
    if tokenizer.vocabulary is not None:
        return math.ceil(tokenizer.vocabulary / ROW_MULTIPLE) * ROW_MULTIPLE
    return None


def _with(section: AnySection, **update: Any) -> AnySection:
    """A copy with other values; unlike `model_copy(update=…)` they do not count as written by the user."""
    copy = section.model_copy()
    copy.__dict__.update(update)
    return copy


def _first(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given
