"""The sections of a recipe: every key, its type, its default and where the default comes from.

Types and single values only; what must agree between values is in `agreement`, the whole is in `recipe`, reading a file
is in `schema`. The descriptions here are the reference page (docs/recipes.md) and half of every error message. What
this does not do: derive a value from another. Rejected: settings as executed Python; a recipe must be readable by a
planner, a differ and a person without running it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tandem.recipes.quantities import Bytes, Tokens

LLAMA = "LLaMA"  # Touvron et al. 2023, arXiv 2302.13971, sections 2.2 and 2.3

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
"""Some of a kind: their names, or how many of them."""


def default(value: Any, meaning: str, source: str = "") -> Any:
    """A key that may be left out: its value then, what it means, and whose default it is where it is not ours."""
    return Field(default=value, description=meaning, json_schema_extra={"source": source} if source else None)


def needed(meaning: str) -> Any:
    """A key that may not be left out, and what it means."""
    return Field(description=meaning)


class Section(BaseModel):
    """A table of a recipe: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class World(Section):
    """The made-up world that passages, questions, choices and instruction tasks come from."""

    seed: int = default(7, "the world is a function of this and `facts`")
    facts: Tokens = default(20_000, "number of facts")


class Source(Section):
    """Raw text, by a name that mixtures use."""

    path: str = needed(
        "a file, a folder, a glob; `python:code` or `python:docstrings` (Python's own library); `world:passages`. "
        "Relative to the folder the command runs in"
    )
    title: str = default("", "name in tables and reports; empty takes the key")
    form: Literal["auto", "text", "lines", "code", "jsonl", "parquet"] = default(
        "auto", "what the files are; `auto` goes by each file's name"
    )
    field: str = default("text", "the field of a JSONL line or Parquet row that holds the text")
    limit: Bytes | None = default(None, "read no more than this much raw text")
    validation: Annotated[float, Field(ge=0, lt=1)] = default(
        0.01, "share of the documents held out of training, for the loss per source and per position"
    )
    keep_damaged: bool = default(False, "keep what can be read of a truncated file; otherwise it is an error")


class Tokenizer(Section):
    """One of: trained on the sources (`vocabulary`), loaded (`load`), XGen's from GPT-2's ranks (`xgen`)."""

    vocabulary: Annotated[int, Field(ge=300)] | None = default(
        None, "train a byte-level BPE of this many ids on the sources; at least 300"
    )
    load: str | None = default(None, "a Hugging Face folder or a tokenizer.json")
    xgen: str | None = default(None, "GPT-2's ranks as a file: build XGen's 50,313 ids in 51,200 rows")
    whitespace_runs: bool = default(True, "give runs of spaces and tabs ids of their own (trained tokenizers)")
    sample: Bytes = default(50_000_000, "train the tokenizer on no more than this much text, mixed as the sources are")


class RopeStretch(Section):
    """Rotary positions stretched past the length they were trained for; see `tandem.decoder.shape.RopeScaling`."""

    kind: Literal["linear", "dynamic", "yarn", "llama3"] = needed("the rule")
    factor: Annotated[float, Field(ge=1)] = needed("trained length × factor = usable length")
    original_context: Positive = needed("the length they were trained for, in tokens")
    low_frequency: Above = default(1.0, "`llama3` only")
    high_frequency: Above = default(4.0, "`llama3` only")
    beta_fast: Above = default(32.0, "`yarn` only")
    beta_slow: Above = default(1.0, "`yarn` only")
    attention_factor: Above | None = default(None, "`yarn` only; left out: 0.1 ln(factor) + 1")


class Model(Section):
    """The decoder."""

    layers: Positive = needed("number of blocks")
    width: Positive = needed("width of the residual stream")
    heads: Positive = needed("query heads")
    kv_heads: Positive | None = default(None, "key and value heads; left out: as many as `heads`")
    head_width: Positive | None = default(None, "width of a head; left out: width / heads")
    mlp_width: Positive | None = default(
        None,
        "inner width of the MLP; left out: 8/3 × width (SwiGLU) or 4 × width (GELU), rounded up to a multiple of 256, "
        "of 64 below width 1,024",
        LLAMA,
    )
    vocabulary: Positive | None = default(
        None, "rows of the embedding; left out: the tokenizer's ids and a pad, rounded up to a multiple of 64"
    )
    context: Positive | None = default(None, "longest sequence, in tokens; left out: the longest stage's")
    rope_base: Above = default(10_000.0, "base of the rotary wavelengths", LLAMA)
    rope_scaling: RopeStretch | None = default(None, "stretched rotary positions; left out: plain")
    norm: Literal["rms", "layer"] = default("rms", "RMSNorm or LayerNorm", LLAMA)
    norm_eps: Above = default(1e-6, "added to the variance", LLAMA)
    activation: Literal["swiglu", "gelu"] = default("swiglu", "the MLP's activation", LLAMA)
    parallel: bool = default(False, "attention and MLP side by side instead of one after the other", LLAMA)
    qkv_bias: bool = default(False, "biases on q, k and v", LLAMA)
    qk_norm: bool = default(False, "normalise each query and key head", LLAMA)
    tied: bool = default(False, "the output head is the embedding", LLAMA)
    init_std: Above = default(0.02, "standard deviation of the initial weights")
    window: Positive | None = default(None, "sliding attention over this many tokens; left out: all")
    documents: bool = default(True, "attention stays inside a document; false lets it cross the boundaries of a row")
    precision: Literal["fp32", "bf16"] = default(
        "fp32", "arithmetic of the products; bf16 keeps fp32 master weights, moments, norms and logits"
    )


class Part(Section):
    """A row of a mixture: its `share`, or its `tokens` seen as in the talk's tables."""

    share: Annotated[float, Field(gt=0, le=1)] | None = default(
        None, "share of the tokens seen; all rows of a mixture sum to 1 ± 0.001"
    )
    tokens: Tokens | None = default(None, "tokens seen; share = tokens / sum of the table")
    epochs: Above | None = default(None, "how often each token is seen: unique tokens = tokens seen / epochs")
    title: str = default("", "name in tables; empty takes the source's title")


class Schedule(Section):
    """The learning rate over the optimiser steps: linear warm-up to `peak`, then a cosine to `final`."""

    peak: Above = default(3e-4, "highest learning rate", LLAMA)
    warmup: Whole = default(2_000, "steps of linear warm-up", LLAMA)
    final: Share = default(0.1, "last learning rate as a fraction of `peak`; 1 keeps the rate constant", LLAMA)


class Optimizer(Section):
    """AdamW, and what happens to gradients before it."""

    beta1: Annotated[float, Field(ge=0, lt=1)] = default(0.9, "decay of the first moment", LLAMA)
    beta2: Annotated[float, Field(ge=0, lt=1)] = default(0.95, "decay of the second moment", LLAMA)
    eps: Above = default(1e-8, "added to the root of the second moment; LLaMA's is not published", "Adam")
    decay: Annotated[float, Field(ge=0)] = default(0.1, "weight decay, on matrices only", LLAMA)
    clip: Annotated[float, Field(ge=0)] = default(1.0, "largest norm of the gradient; 0 does not clip", LLAMA)


class Training(Section):
    """How the work is cut, and what counts as a spike; the same for every stage and for tuning."""

    micro_tokens: Tokens | None = default(
        None, "tokens per forward and backward pass; a batch is accumulated from them; left out: chosen by device"
    )
    checkpoint_seconds: Above = default(60.0, "seconds between checkpoints")
    spike_deviations: Above = default(
        8.0, "a loss this many robust deviations above the median of the last 128 steps is a spike"
    )
    skip_spikes: bool = default(False, "leave the update of a spike out; otherwise it is only recorded")


class Stage(Section):
    """A part of pre-training with its own context length, mixture and token budget; stages run in order."""

    name: Name = needed("name, unique in the recipe")
    mixture: str = needed("name of a mixture")
    context: Positive = needed("length of a row, in tokens")
    tokens: Tokens = needed("tokens to see; rounded to whole batches")
    batch: Tokens = default(
        4_194_304, "tokens per optimiser step: a multiple of context (LLaMA's 4M as 4 × 2^20)", LLAMA
    )
    schedule: Schedule | None = default(
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

    rank: Positive = default(16, "rank of the update")
    alpha: Above = default(32.0, "the update is scaled by alpha / rank")
    dropout: Annotated[float, Field(ge=0, lt=1)] = default(0.0, "dropout before the update")
    targets: Annotated[
        list[Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]], Field(min_length=1)
    ] = default(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "the projections adapted"
    )


class HeldOut(Section):
    """What instruction tuning must not see, in three kinds: instances, tasks, task types."""

    instances: Annotated[float, Field(ge=0, lt=1)] = default(0.1, "share of the instances of each task seen in tuning")
    tasks: NamesOrCount = default(0, "whole tasks whose type is seen: their names, or how many, drawn by the seed")
    types: NamesOrCount = default(0, "whole task types: their names, or how many, drawn by the seed")


class Tuning(Section):
    """Instruction tuning after the last stage, with loss on the responses only."""

    data: str = needed("`world` (its instruction tasks), or a file: chat JSONL, Alpaca JSON, ShareGPT")
    items: Tokens | None = default(None, "use at most this many conversations")
    template: Literal["xgen", "fastchat", "own"] = default(
        "xgen", "`xgen` as on the talk's slide, `fastchat` as registered there, `own` the tokenizer's chat template"
    )
    epochs: Annotated[int, Field(ge=1)] = default(3, "times each conversation is seen")
    context: Positive | None = default(None, "length of a packed row, in tokens; left out: model.context")
    batch: Tokens | None = default(None, "tokens per optimiser step, a multiple of context; left out: 16 rows")
    peak: Above = default(2e-5, "highest learning rate")
    warmup: Annotated[float, Field(ge=0, lt=1)] = default(0.03, "share of the steps that warm up")
    final: Share = default(0.0, "last learning rate as a fraction of `peak`, reached by a cosine")
    decay: Annotated[float, Field(ge=0)] = default(0.0, "weight decay")
    lora: Lora | None = default(None, "tune low-rank adapters; left out: all weights")
    held_out: HeldOut = default(HeldOut(), "what tuning does not see")


class Evaluation(Section):
    """What is measured at the end, besides the loss per source after each stage."""

    validation_tokens: Tokens = default(200_000, "held-out tokens per source for losses")
    positions: bool = default(True, "loss by token position at each stage's end")
    choices: Whole | None = default(None, "multiple-choice items of the world; left out: 400 with a world, else 0")
    questions: Whole | None = default(None, "questions of the world, open; left out: 200 with a world, else 0")
    per_task: Positive = default(50, "instruction items per task and kind of held-out split")
    examples: Whole = default(6, "prompts shown before and after tuning")
    prompts: list[str] = default([], "your own prompts to show, before those of the world")
    max_tokens: Positive = default(48, "longest answer, in tokens")


class Answers(Section):
    """Questions about the world, answered from memory and by looking things up where sampled chains disagree."""

    model: str = default("embedded", "who answers: `embedded`, `local:DIR`, `scripted:FILE`")
    questions: Positive = default(60, "how many questions")
    hops: Annotated[list[Annotated[int, Field(ge=1, le=3)]], Field(min_length=1)] = default(
        [1], "hops of the questions, shared evenly among them"
    )
    shots: Whole = default(6, "worked examples in front of a question, about entities that no question is about")
    samples: Annotated[int, Field(ge=2)] = default(5, "chains that vote; as published")
    temperature: Above = default(0.7, "of the chains; as published")
    top: Positive = default(1, "passages that a step is checked against")
    max_tokens: Positive = default(40, "longest chain, in tokens for each hop")
    precision: Literal["fp32", "bf16"] = default("fp32", "of the model that answers")


class Planning(Section):
    """Read by `tandem plan` only: where the run would go, and at what price."""

    device: str = default("H200", "a name of the planner's table (docs/plan.md), or your own with the next two keys")
    tflops: Above | None = default(None, "dense bf16 peak of a device, TFLOP/s; left out: from the table")
    memory_gib: Above | None = default(None, "memory of a device, GiB; left out: from the table")
    devices: Positive = default(1, "number of devices")
    price_per_hour: Above | None = default(None, "price of one device for one hour, in dollars")
    mfu: Annotated[float, Field(gt=0, le=1)] = default(
        0.4, "share of the peak that model FLOPs use (attention counted in full, recomputation not counted)"
    )
    parallel: Literal["ddp", "zero1", "zero2", "fsdp"] = default(
        "fsdp", "what data-parallel devices divide: nothing, optimiser state, + gradients, + weights (ZeRO 1, 2, 3)"
    )
    tensor: Positive = default(1, "devices that share each matrix product (tensor parallel)")
    rows: Positive = default(1, "rows per device and pass")


class Provenance(Section):
    """Says of some settings where they come from; the plan prints it."""

    keys: Annotated[list[str], Field(min_length=1)] = needed(
        "key paths; `*` stands for any characters, a stage goes by its name: `stage.*.context`"
    )
    status: Literal["published", "derived", "chosen"] = needed(
        "published, derived from what is published, or chosen here"
    )
    source: str = default("", "where it is published, or why it was chosen")
    table: str = default(
        "", "a table of experiments/published.toml with which the plan compares a mixture or the stages"
    )
