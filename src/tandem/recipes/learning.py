"""The stages in which a model learns: pre-training, stage after stage, then instruction tuning.

A stage goes on from the model and the optimiser moments of the one before, and from where each source stopped. At its
end it leaves the model as a Hugging Face folder, its history, and the held-out losses.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tandem import decoder
from tandem.corpus import Mixed, Part, Shards
from tandem.decoder import Decoder, adapters
from tandem.recipes import losses
from tandem.recipes.materials import encoder
from tandem.recipes.place import Place, Watch, write_json
from tandem.recipes.recipe import Recipe
from tandem.runs import Run
from tandem.text import fingerprint
from tandem.train import checkpoint, conversations, splits, templates
from tandem.train.conversations import Conversation
from tandem.train.loop import Progress, Settings, adamw, fit
from tandem.train.packing import some_fit
from tandem.train.schedule import Cosine, Shifted
from tandem.train.tuning import Tuning
from tandem.train.tuning import tune as tune_model

BETWEEN_EVENTS = 2.0
"""Seconds between two progress events."""


def settings_of(recipe: Recipe, *, decay: float | None = None) -> Settings:
    """The recipe's way to take a step."""
    o, t = recipe.optimizer, recipe.training
    return Settings(
        betas=(o.beta1, o.beta2),
        eps=o.eps,
        decay=o.decay if decay is None else decay,
        clip=o.clip,
        micro_tokens=t.micro_tokens or 0,
        checkpoint_seconds=t.checkpoint_seconds,
        spike_deviations=t.spike_deviations,
        skip_spikes=t.skip_spikes,
        seed=recipe.seed,
    )


def batches_of(place: Place, index: int) -> tuple[Mixed, str]:
    """The batches of a pre-training stage, and the content hash of their data and order."""
    recipe, stage = place.recipe, place.recipe.stage[index]
    seen = seen_before(place, index)
    shares = {source: share for source, share in recipe.shares(stage.mixture).items() if share > 0}
    with place.made("corpus") as corpus:
        parts = [Part(Shards(corpus / s / "train"), share, seen.get(s, 0)) for s, share in shares.items()]
    mixed = Mixed(parts, stage.context, stage.rows, stage.steps, recipe.seed)
    order = [[p.shards.fingerprint, p.share, p.offset_tokens] for p in parts]
    return mixed, fingerprint([order, stage.context, stage.rows, stage.steps, recipe.seed])


def seen_before(place: Place, index: int) -> dict[str, int]:
    """Tokens of each source that the stages before `index` have seen: where this one goes on."""
    seen: dict[str, int] = {}
    for stage in place.recipe.stage[:index]:
        realised = place.read(f"train-{stage.name}", "mixture.json")
        seen |= {source: given["offset_tokens"] for source, given in realised.items()}
    return seen


def pretrain(index: int) -> Callable[[Place, Path], None]:
    """The stage function of pre-training stage `index`."""

    def make(place: Place, folder: Path) -> None:
        recipe, stage = place.recipe, place.recipe.stage[index]
        batches, data = batches_of(place, index)
        model = _fresh(place) if index == 0 else _load(place, f"train-{recipe.stage[index - 1].name}")
        settings = settings_of(recipe)
        optimiser = adamw(model, settings)
        if index > 0:
            with place.made(f"train-{recipe.stage[index - 1].name}") as before:
                moments = checkpoint.read(before / "optimiser.safetensors")
            checkpoint.restore_optimiser(model, optimiser, moments)
        own, first, steps = recipe.span(index)
        rate = Shifted(Cosine(own.peak, own.warmup, steps, own.final), first)
        history = fit(
            model,
            batches,
            optimiser,
            rate,
            settings,
            data=fingerprint([data, index, recipe.model.documents]),
            work=place.work(folder),
            loss=inside if recipe.model.documents else across,
            on_progress=progress_teller(place.run, place.watch, stage.name),
            on_decision=decision_teller(place.run, place.watch, stage.name),
        )
        model.eval()
        _save(place, model, folder / "model")
        if index + 1 < len(recipe.stage):
            state = checkpoint.optimiser_state(model, optimiser)
            moments = {k: t.detach().cpu().contiguous() for k, t in state.items()}
            checkpoint.write(moments, folder / "optimiser.safetensors")
        realised = dict(zip([s for s, share in recipe.shares(stage.mixture).items() if share > 0], batches.realised()))
        write_json(folder / "history.json", history.as_json())
        write_json(folder / "mixture.json", {name: r._asdict() for name, r in realised.items()})
        losses.measure(place, model, folder)

    return make


def inside(
    model: torch.nn.Module, tokens: torch.Tensor, targets: torch.Tensor, documents: torch.Tensor
) -> torch.Tensor:
    """Loss with attention inside documents."""
    assert isinstance(model, Decoder)
    return model.loss(tokens, targets, documents)


def across(
    model: torch.nn.Module, tokens: torch.Tensor, targets: torch.Tensor, documents: torch.Tensor
) -> torch.Tensor:
    """Loss with attention over the whole row."""
    assert isinstance(model, Decoder)
    return model.loss(tokens, targets)


def tune(place: Place, folder: Path) -> None:
    """Instruction-tune the last pre-trained model; leaves the model, the splits and the history."""
    recipe, tuning = place.recipe, place.recipe.tuning
    assert tuning is not None and tuning.context and tuning.batch
    made = encoder(place)
    if tuning.template != "own":
        made.chat_template = templates.CHAT_TEMPLATES[tuning.template]
    split = tuning_splits(place)
    write_json(
        folder / "splits.json",
        {"held_tasks": split.held_tasks, "held_types": split.held_types}
        | {name: [c.id for c in items] for name, items in {"train": split.train, **split.held}.items()},
    )
    place.watch.say(
        f"  {len(split.train):,} conversations to learn; held out "
        + ", ".join(f"{len(items):,} {name}" for name, items in split.held.items())
    )
    model = _load(place, f"train-{recipe.stage[-1].name}")
    if tuning.lora:
        lora = tuning.lora
        adapters.attach(
            model, adapters.LoRA(lora.rank, lora.alpha, lora.dropout, tuple(lora.targets)), seed=recipe.seed
        )
    how = Tuning(
        tuning.template,
        tuning.context,
        tuning.batch // tuning.context,
        tuning.epochs,
        tuning.peak,
        tuning.warmup,
        tuning.final,
    )
    tuned = tune_model(
        model,
        made,
        split.train,
        how,
        settings_of(recipe, decay=tuning.decay),
        work=place.work(folder),
        on_progress=progress_teller(place.run, place.watch, "tune"),
        on_decision=decision_teller(place.run, place.watch, "tune"),
    )
    model.eval()
    if tuning.lora:
        adapters.save(model, folder / "adapter")
        adapters.merge(model)
    decoder.save(model, folder / "model")
    made.save(folder / "model")
    write_json(folder / "history.json", tuned.history.as_json())
    write_json(folder / "packing.json", dataclasses.asdict(tuned.packing) | {"efficiency": tuned.packing.efficiency})


def tuning_must_fit(place: Place) -> None:
    """Raise UserError where no conversation fits into `tuning.context`, before hours of pre-training.

    The first that fits is enough, so where all is well this costs nothing.
    """
    tuning = place.recipe.tuning
    assert tuning is not None and tuning.context
    made, learnt = encoder(place), tuning_splits(place).train
    if tuning.template != "own":
        made.chat_template = templates.CHAT_TEMPLATES[tuning.template]
    some_fit((templates.encode(c, tuning.template, made) for c in learnt), tuning.context)


def tuning_splits(place: Place) -> splits.Splits:
    """Conversations to learn from, and those held out: a pure function of recipe and data."""
    recipe, tuning = place.recipe, place.recipe.tuning
    assert tuning is not None
    items: Sequence[Conversation]
    if tuning.data == "world":
        with place.made("world") as world:
            items = conversations.read(world / "tasks.jsonl").conversations
    else:
        items = conversations.read(Path(tuning.data)).conversations
    if tuning.items:
        items = splits.sample(items, tuning.items, recipe.seed)
    held = tuning.held_out
    return splits.held_out(items, instances=held.instances, tasks=held.tasks, types=held.types, seed=recipe.seed)


def computing(model: Decoder, precision: str) -> Decoder:
    """The model with its matrix products in bf16, or all in fp32; weights, gradients, moments and loss stay fp32."""
    model.compute = torch.bfloat16 if precision == "bf16" else None
    return model


def _fresh(place: Place) -> Decoder:
    made = encoder(place)
    shape = dataclasses.replace(place.recipe.shape(made.vocabulary), bos=made.bos, eos=made.end, pad=made.pad)
    return computing(Decoder(shape, seed=place.recipe.seed).to(place.device), place.recipe.model.precision)


def _load(place: Place, key: str) -> Decoder:
    with place.made(key) as folder:
        model = decoder.load(folder / "model", dtype=torch.float32, device=place.device)
    return computing(model, place.recipe.model.precision)


def _save(place: Place, model: Decoder, folder: Path) -> None:
    decoder.save(model, folder)
    encoder(place).save(folder)


def progress_teller(run: Run, watch: Watch, stage: str) -> Callable[[Progress], None]:
    """Shows every step to `watch` and writes one to events.jsonl every two seconds."""
    last = -BETWEEN_EVENTS

    def tell(progress: Progress) -> None:
        nonlocal last
        watch.step(progress)
        now = time.monotonic()
        if now - last >= BETWEEN_EVENTS or progress.step == progress.steps:
            last = now
            run.event("progress", stage=stage, **dataclasses.asdict(progress))

    return tell


def decision_teller(run: Run, watch: Watch, stage: str) -> Callable[[dict[str, Any]], None]:
    """Shows spikes and non-finite steps, and writes them to events.jsonl."""

    def tell(decision: dict[str, Any]) -> None:
        facts = {"what" if key == "kind" else key: value for key, value in decision.items()}
        run.event("decision", stage=stage, **facts)
        watch.say(f"  step {decision['step']}: {decision['kind']} ({decision['seen']}); {decision['done']}")

    return tell
