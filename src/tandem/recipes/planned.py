"""What a plan says: frozen dataclasses that `plan` fills, `tables` prints and `comparison` reads.

Figures are kept unrounded. Nothing here does anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.decoder.shape import Shape
from tandem.recipes.devices import Accelerator
from tandem.recipes.memory import Memory, Parallel
from tandem.recipes.provenance import Setting


@dataclass(frozen=True)
class Difference:
    """A printed figure that the arithmetic does not give."""

    figure: str
    """Row and column."""
    printed: float
    """As published."""
    computed: float
    """As planned."""


@dataclass(frozen=True)
class Comparison:
    """One published table against the plan."""

    table: str
    """Its title."""
    of: str
    """What of the recipe it is compared with."""
    figures: int
    """How many figures were compared."""
    differences: tuple[Difference, ...]
    """Those that are not the same."""


@dataclass(frozen=True)
class MixtureRow:
    """One row of a mixture."""

    name: str
    """As the recipe writes it."""
    title: str
    """For tables."""
    share: float
    """Of the tokens seen."""
    tokens: float
    """Seen over all stages of the mixture."""
    epochs: float | None
    """Times each is seen, where the recipe says it."""
    unique: float | None
    """Tokens that must exist: seen / epochs."""


@dataclass(frozen=True)
class MixturePlan:
    """A mixture over the stages that use it."""

    name: str
    """Its key."""
    stages: tuple[str, ...]
    """Those that use it."""
    rows: tuple[MixtureRow, ...]
    """In the order of the recipe."""
    tokens: float
    """Seen in all."""


@dataclass(frozen=True)
class SourcePlan:
    """A source over the whole run."""

    name: str
    """Its key."""
    title: str
    """For tables."""
    tokens: float
    """Seen over all stages, nested mixtures taken apart."""
    share: float
    """Of all tokens."""
    unique: float | None
    """Tokens that must exist, where a mixture says it."""
    epochs: float | None
    """Passes over them in the whole run."""


@dataclass(frozen=True)
class StagePlan:
    """A stage of pre-training."""

    name: str
    """Its name."""
    mixture: str
    """What it reads."""
    context: int
    """Tokens per row."""
    tokens: int
    """Asked for."""
    batch: int
    """Tokens per step."""
    rows: int
    """Rows per step."""
    steps: int
    """Optimiser steps."""
    seen: int
    """Steps × batch: the tokens asked for, to whole batches."""
    flops_per_token: float
    """Forward and backward, full attention square."""
    flops_per_token_causal: float
    """The same, causal half of the attention."""
    flops: float
    """Of the stage, full attention square."""
    seconds: float
    """At the planned MFU."""
    tokens_per_second: float
    """Of all devices together."""


@dataclass(frozen=True)
class AnswersPlan:
    """The stage of answers."""

    model: str
    """Who answers."""
    precision: str
    """Its arithmetic."""
    questions: int
    """Asked with each method."""
    methods: tuple[str, ...]
    """How they are answered."""
    chains: int
    """Sampled in all; the methods share them."""
    written: int
    """Tokens of chains and direct answers, at most; what checking takes, the chains decide."""


@dataclass(frozen=True)
class Implied:
    """What the talk's price implies: MFU = FLOPs of 1T tokens × price / (paid × seconds per hour × peak)."""

    terms: str
    """Terms of the price."""
    price: float
    """Dollars for a device and hour."""
    tflops: float
    """Peak of a device."""
    mfu: tuple[float, ...]
    """For each of the plan's lengths."""


@dataclass(frozen=True)
class Cost:
    """Time and money on a kind of device."""

    device: Accelerator
    """Where."""
    devices: int
    """How many."""
    mfu: float
    """Share of the peak that the model FLOPs use, assumed."""
    seconds: float
    """Of the whole pre-training."""
    device_hours: float
    """All devices together."""
    price: float | None
    """Dollars for a device and hour, if given."""
    money: float | None
    """Dollars for the whole pre-training."""
    per_trillion: float | None
    """Dollars for 1T tokens of this run's mean length."""


@dataclass(frozen=True)
class Plan:
    """Everything `tandem plan` prints."""

    name: str
    """The recipe's."""
    title: str
    """The recipe's."""
    notes: tuple[str, ...]
    """The recipe's."""
    warnings: tuple[str, ...]
    """What is missing or unused, in sentences."""
    mixtures: tuple[MixturePlan, ...]
    """In the order of the recipe."""
    sources: tuple[SourcePlan, ...]
    """In the order of the recipe."""
    stages: tuple[StagePlan, ...]
    """In order."""
    shape: Shape
    """The decoder."""
    parameters: int
    """All weights."""
    matmul_parameters: int
    """Weights every token is multiplied with."""
    tokens: int
    """Asked for, over all stages."""
    flops: float
    """Full attention square."""
    flops_causal: float
    """Causal half of the attention."""
    flops_longest: float
    """The same tokens all at the longest context, full square: what the length curriculum saves against."""
    precision: str
    """fp32 or bf16."""
    parallel: str
    """ddp, zero1, zero2 or fsdp."""
    data: int
    """Data-parallel degree."""
    tensor: int
    """Tensor-parallel degree."""
    pass_rows: int
    """Rows per device and pass."""
    memory: tuple[tuple[int, Memory], ...]
    """For each context length, bytes on one device."""
    alternatives: tuple[tuple[Parallel, Memory], ...]
    """For each way to divide the work, bytes on one device at the longest context."""
    cost: Cost
    """Time and money."""
    paid_per_trillion: float
    """The talk's price of 1T tokens, dollars."""
    implied: tuple[Implied, ...]
    """What that price implies for this model on TPU-v4."""
    settings: tuple[Setting, ...]
    """Every setting with its provenance."""
    comparisons: tuple[Comparison, ...]
    """Published figures beside the plan's."""
    answers: AnswersPlan | None = None
    """Questions about the world, where the recipe asks any."""
