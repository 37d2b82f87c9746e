"""What must agree between the values of a recipe: names, sums, lengths, budgets.

Each check is a generator of problems over a recipe whose form is right, and reads like the rule it holds. What this
does not do: look for files (`missing`), or judge whether a recipe is wise. Rejected: checks inside the pydantic models;
they end at the first problem of a section and cannot see its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

from tandem.corpus.mixture import NESTED
from tandem.errors import UserError
from tandem.recipes import devices, provenance, toml
from tandem.recipes.check import Problem, known_keys, suggest
from tandem.recipes.recipe import Recipe
from tandem.recipes.sections import Source, Stage
from tandem.text import count

TABLE_TOLERANCE = 0.001
PYTHON_TEXTS = ("python:code", "python:docstrings")
WORLD_TEXTS = ("world:passages",)
ANSWERING = {"local": "DIR", "scripted": "FILE"}
"""Models of [answers] besides the embedded one, and what is named behind the colon."""


def problems(recipe: Recipe) -> list[Problem]:
    """All disagreements within a recipe whose form is right."""
    unclear = [*_mixture_names(recipe), *_mixture_sums(recipe)] or [*_cycles(recipe)]
    found = [*unclear, *_sources(recipe), *_stages(recipe), *_schedules(recipe)]
    if not unclear:
        found += _tables(recipe)
    return [
        *found,
        *_tokenizer(recipe),
        *_model(recipe),
        *_tuning(recipe),
        *_evaluation(recipe),
        *_answers(recipe),
        *_planning(recipe),
        *_provenance(recipe),
    ]


def unused(recipe: Recipe) -> list[str]:
    """Sources and mixtures that no stage uses, as sentences; allowed, but worth a word."""
    mixtures = {stage.mixture for stage in recipe.stage}
    while True:
        nested = {
            row.removeprefix(NESTED) for name in mixtures for row in recipe.mixture[name] if row.startswith(NESTED)
        }
        if nested <= mixtures:
            break
        mixtures |= nested
    sources = {source for stage in recipe.stage for source in recipe.shares(stage.mixture)}
    return [f"mixture '{name}' is used by no stage" for name in recipe.mixture if name not in mixtures] + [
        f"source '{name}' is in no stage's mixture" for name in recipe.sources if name not in sources
    ]


def _mixture_names(recipe: Recipe) -> Iterator[Problem]:
    for i, stage in enumerate(recipe.stage):
        if stage.mixture not in recipe.mixture:
            known = list(recipe.mixture)
            yield Problem(
                ("stage", i, "mixture"),
                f"is '{stage.mixture}', and there is no such mixture",
                suggest(stage.mixture, known) or f"there are: {', '.join(known)}",
                also=(("mixture", stage.mixture),),
            )
    for mixture, rows in recipe.mixture.items():
        for row in rows:
            nested = row.startswith(NESTED)
            name = row.removeprefix(NESTED)
            known = list(recipe.mixture if nested else recipe.sources)
            if name not in known:
                kind = "mixture" if nested else "source"
                yield Problem(
                    ("mixture", mixture, row),
                    f"names the {kind} '{name}', and there is no such {kind}",
                    suggest(name, known)
                    or (f'for the data of that mixture write "{NESTED}{row}"' if row in recipe.mixture else "")
                    or f"there are: {', '.join(known)}",
                    also=(("sources", name),),
                )


def _mixture_sums(recipe: Recipe) -> Iterator[Problem]:
    """What the corpus's own arithmetic says of each mixture."""
    for name in recipe.mixture:
        try:
            recipe.table(name)
        except UserError as e:
            yield _of_mixture(e)


def _cycles(recipe: Recipe) -> Iterator[Problem]:
    mixtures = recipe.mixtures()
    for mixture in mixtures.values():
        try:
            mixture.sources(mixtures)
        except UserError as e:
            yield _of_mixture(e)


def _of_mixture(error: UserError) -> Problem:
    key = toml.split_key(error.where or "") or ("mixture",)
    return Problem(key, f"does not make sense: {error.problem}", error.remedy or "")


def _tables(recipe: Recipe) -> Iterator[Problem]:
    """A table says what is seen in all: it must be what the stages that use it see."""
    for name, rows in recipe.mixture.items():
        table = sum(part.tokens or 0 for part in rows.values())
        using = [(i, stage) for i, stage in enumerate(recipe.stage) if stage.mixture == name]
        seen = sum(stage.tokens for _, stage in using)
        if table and using and abs(seen - table) > TABLE_TOLERANCE * table:
            stages = ", ".join(f"'{stage.name}'" for _, stage in using)
            yield Problem(
                ("mixture", name),
                f"is a table of {count(table)} tokens, but its stages ({stages}) see {count(seen)}",
                "make the sums agree within 0.1 %, or give shares instead of tokens",
                also=tuple(("stage", i, "tokens") for i, _ in using),
            )


def _sources(recipe: Recipe) -> Iterator[Problem]:
    for name, source in recipe.sources.items():
        yield from _place(("sources", name, "path"), source, recipe.world is not None)


def _place(key: tuple[str | int, ...], source: Source, world: bool) -> Iterator[Problem]:
    for kind, known in (("python:", PYTHON_TEXTS), ("world:", WORLD_TEXTS)):
        if source.path.startswith(kind) and source.path not in known:
            yield Problem(
                key,
                f"is '{source.path}', which is not known",
                suggest(source.path, known) or f"there are: {', '.join(known)}",
            )
    if source.path in WORLD_TEXTS and not world:
        yield Problem(key, "comes from the world, but there is no [world]", "add a section [world]", also=(("world",),))
    if not source.path:
        yield Problem(key, "is empty", "give a file, a folder or a glob")


def _stages(recipe: Recipe) -> Iterator[Problem]:
    names = [stage.name for stage in recipe.stage]
    context = recipe.model.context or 0
    for i, stage in enumerate(recipe.stage):
        if stage.name in names[:i]:
            yield Problem(("stage", i, "name"), f"is '{stage.name}', as another stage's", "give each its own")
        if stage.context > context:
            yield Problem(
                ("stage", i, "context"),
                f"is {count(stage.context)} tokens, but the model's positions reach {count(context)} (model.context)",
                "raise model.context (with model.rope_scaling, if the rope was trained shorter) or shorten the stage",
                also=(("model", "context"),),
            )
        yield from _batches(i, stage)


def _batches(i: int, stage: Stage) -> Iterator[Problem]:
    also = (("stage", i, "context"), ("stage", i, "tokens"))
    if stage.batch % stage.context:
        whole = max(1, round(stage.batch / stage.context)) * stage.context
        yield Problem(
            ("stage", i, "batch"),
            f"is {count(stage.batch)} tokens, not a whole number of rows of {count(stage.context)}",
            f"use a multiple of the context, such as {whole:_}",
            also=also,
        )
    if stage.tokens < stage.batch:
        yield Problem(
            ("stage", i, "tokens"),
            f"is {count(stage.tokens)}, less than one batch of {count(stage.batch)}",
            f"see more tokens, or set the stage's batch to at most {count(stage.tokens)}",
            also=(("stage", i, "batch"),),
        )


def _schedules(recipe: Recipe) -> Iterator[Problem]:
    told = False
    for i, stage in enumerate(recipe.stage):
        schedule, _, steps = recipe.span(i)
        if schedule.warmup < steps or (stage.schedule is None and told):
            continue
        told = told or stage.schedule is None
        own = stage.schedule is not None and "warmup" in stage.schedule.model_fields_set
        default = "" if own or "warmup" in recipe.schedule.model_fields_set else " (the default)"
        yield Problem(
            ("stage", i, "schedule", "warmup") if stage.schedule is not None else ("schedule", "warmup"),
            f"is {count(schedule.warmup)} steps{default}, and the schedule has {count(steps)}",
            f"warm up for less, say {max(1, steps // 50)}",
            also=tuple(("stage", n, key) for n in range(len(recipe.stage)) for key in ("tokens", "batch")),
        )


def _tokenizer(recipe: Recipe) -> Iterator[Problem]:
    given = [key for key in ("vocabulary", "load", "xgen") if getattr(recipe.tokenizer, key) is not None]
    if len(given) != 1:
        has = "none of" if not given else f"{' and '.join(given)} of"
        yield Problem(
            ("tokenizer",), f"has {has} vocabulary, load, xgen", "give exactly one: train it, load it, or build XGen's"
        )


def _model(recipe: Recipe) -> Iterator[Problem]:
    model = recipe.model
    if "head_width" not in model.model_fields_set and model.width % model.heads:
        yield Problem(
            ("model", "width"),
            f"is {model.width}, which {model.heads} heads cannot share evenly",
            f"use a multiple of {model.heads}, or give head_width",
            also=(("model", "heads"),),
        )
        return
    try:
        recipe.shape(model.vocabulary or 1)
    except UserError as e:
        yield Problem(("model", *(e.where or "").split(".")), e.problem, e.remedy or "")
    trained = recipe.tokenizer.vocabulary
    if trained is not None and model.vocabulary is not None and model.vocabulary < trained:
        yield Problem(
            ("model", "vocabulary"),
            f"is {count(model.vocabulary)} rows, fewer than the tokenizer's {count(trained)} ids",
            "leave it out",
            also=(("tokenizer", "vocabulary"),),
        )


def _tuning(recipe: Recipe) -> Iterator[Problem]:
    tuning, reach = recipe.tuning, recipe.model.context or 0
    if tuning is None:
        return
    assert tuning.context and tuning.batch, "filled in on loading"
    if tuning.data == "world" and recipe.world is None:
        yield Problem(("tuning", "data"), "is the world, but there is no [world]", "add it", also=(("world",),))
    if tuning.context > reach:
        yield Problem(
            ("tuning", "context"),
            f"is {count(tuning.context)} tokens, but the model's positions reach {count(reach)}",
            "shorten it, or raise model.context",
            also=(("model", "context"),),
        )
    if tuning.batch % tuning.context:
        yield Problem(
            ("tuning", "batch"),
            f"is {count(tuning.batch)} tokens, not a whole number of rows of {count(tuning.context)}",
            "use a multiple of tuning.context",
            also=(("tuning", "context"),),
        )


def _evaluation(recipe: Recipe) -> Iterator[Problem]:
    for key in ("choices", "questions"):
        if recipe.world is None and getattr(recipe.evaluation, key):
            yield Problem(
                ("evaluation", key), "are the world's, but there is no [world]", "add it, or set 0", also=(("world",),)
            )


def _answers(recipe: Recipe) -> Iterator[Problem]:
    answers = recipe.answers
    if answers is None:
        return
    if recipe.world is None:
        yield Problem(("answers",), "are about the world, but there is no [world]", "add it", also=(("world",),))
    kind, _, rest = answers.model.partition(":")
    if not (answers.model == "embedded" or (kind in ANSWERING and rest)):
        yield Problem(
            ("answers", "model"),
            f"is '{answers.model}', which is none of the models that answer in rounds",
            f"give embedded, {' or '.join(f'{name}:{what}' for name, what in ANSWERING.items())}",
        )
    if len(set(answers.hops)) < len(answers.hops):
        yield Problem(("answers", "hops"), "names a number of hops twice", "give each once")
    if answers.questions < len(answers.hops):
        yield Problem(
            ("answers", "questions"),
            f"is {answers.questions}, fewer than the {len(answers.hops)} numbers of hops",
            "ask one of each at least",
            also=(("answers", "hops"),),
        )


def _planning(recipe: Recipe) -> Iterator[Problem]:
    planning = recipe.plan
    try:
        devices.accelerator(planning)
    except UserError as e:
        yield Problem(("plan", "device"), e.problem, e.remedy or "")
    if planning.devices % planning.tensor:
        yield Problem(
            ("plan", "tensor"),
            f"is {planning.tensor}, which does not divide the {planning.devices} devices",
            "choose a divisor of plan.devices",
            also=(("plan", "devices"),),
        )


def _provenance(recipe: Recipe) -> Iterator[Problem]:
    known = [setting.key for setting in provenance.settings(recipe)]
    for i, entry in enumerate(recipe.provenance):
        for pattern in entry.keys:
            if not any(provenance.matches(pattern, key) for key in known) and not _is_key(pattern):
                yield Problem(
                    ("provenance", i, "keys"),
                    f"has '{pattern}', which no setting of this recipe matches",
                    suggest(pattern, known) or "write key paths as the plan prints them",
                )


def _is_key(pattern: str) -> bool:
    """Whether a pattern is a key that a recipe may have, though this one (or a change to it) leaves it out."""
    *section, name = pattern.split(".")
    return name in known_keys(tuple(section))
