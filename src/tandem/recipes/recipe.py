"""A recipe: all sections of a run, and what follows from them.

Keys that follow from others (a context, a width of the MLP) are filled in when a recipe is made, so that the executor
finds nothing left open; they do not count as written. Arithmetic of mixtures is the corpus's. What this does not do:
check that values agree (`agreement`) or read a file (`schema`).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, model_validator

from tandem.corpus.mixture import NESTED, Mixture, Row
from tandem.decoder.shape import RopeScaling, Shape
from tandem.recipes.sections import (
    Answers,
    Evaluation,
    Model,
    Name,
    Optimizer,
    Part,
    Planning,
    Provenance,
    Schedule,
    Section,
    Source,
    Stage,
    Tokenizer,
    Training,
    Tuning,
    World,
    default,
    needed,
)

XGEN_ROWS = 51_200
ROW_MULTIPLE = 64
AnySection = TypeVar("AnySection", bound=Section)


class Recipe(Section):
    """A run, from raw text to an evaluated model."""

    name: Name = needed("name of the run; its folder is called so")
    title: str = default("", "heading of the report")
    notes: list[str] = default([], "sentences that the plan prints")
    seed: int = default(0, "everything drawn at random is a function of this")
    world: World | None = default(None, "a made-up world")
    sources: Annotated[dict[Name, Source], Field(min_length=1)] = needed("raw text by name")
    tokenizer: Tokenizer = needed("the tokenizer")
    model: Model = needed("the decoder")
    mixture: Annotated[dict[Name, dict[str, Part]], Field(min_length=1)] = needed(
        "mixtures by name; a row is a source or, as `mixture:NAME`, the data of another mixture"
    )
    stage: Annotated[list[Stage], Field(min_length=1)] = needed("stages of pre-training, in order")
    schedule: Schedule = default(Schedule(), "the one learning-rate schedule over all stages without their own")
    optimizer: Optimizer = default(Optimizer(), "the optimiser")
    training: Training = default(Training(), "how the work is cut")
    tuning: Tuning | None = default(None, "instruction tuning; left out: none")
    evaluation: Evaluation = default(Evaluation(), "what is measured")
    answers: Answers | None = default(None, "questions about the world and looking things up; left out: none")
    plan: Planning = default(Planning(), "where the run would go; `tandem plan` only")
    provenance: list[Provenance] = default([], "which settings are published")

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

    def mixtures(self) -> dict[str, Mixture]:
        """The mixtures, ready for arithmetic. Raises `UserError` where one makes no sense."""
        return {name: self.table(name) for name in self.mixture}

    def table(self, name: str) -> Mixture:
        """One mixture, ready for arithmetic. Raises `UserError` where it makes no sense."""
        parts = self.mixture[name].items()
        rows = (Row(row, part.tokens, part.share, part.epochs, part.title or self._title(row)) for row, part in parts)
        return Mixture(name, tuple(rows))

    def shares(self, mixture: str) -> dict[str, float]:
        """Share of each source in a mixture, nested mixtures taken apart; sums to 1."""
        mixtures = self.mixtures()
        return mixtures[mixture].sources(mixtures)

    def _title(self, row: str) -> str:
        if row.startswith(NESTED):
            return f"Data of mixture {row.removeprefix(NESTED)}"
        return (self.sources[row].title if row in self.sources else "") or row

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
        return math.ceil((tokenizer.vocabulary + 1) / ROW_MULTIPLE) * ROW_MULTIPLE  # one id is the pad
    return None


def _with(section: AnySection, **update: Any) -> AnySection:
    """A copy with other values; unlike `model_copy(update=…)` they do not count as written by the user."""
    copy = section.model_copy()
    copy.__dict__.update(update)
    return copy


def _first(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given
