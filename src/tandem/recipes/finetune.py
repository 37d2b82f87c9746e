"""Instruction-tune a model that exists: any LLaMA-family folder, on the user's conversations, in full or with LoRA.

The run is a folder like any other: it continues after a kill, its report compares the loss on held-out conversations
before and after. The tuned model stands in `NN-tune/model` (merged when it was an adapter), the adapter beside it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tandem import decoder
from tandem import tokenizer as tokenizers
from tandem.decoder import Decoder, adapters
from tandem.errors import UserError
from tandem.evaluate.perplexity import figure, perplexity
from tandem.lm.locate import locate
from tandem.recipes import toml
from tandem.recipes.execute import choose_device, device_name, use_threads
from tandem.recipes.learning import computing, decision_teller, progress_teller
from tandem.recipes.losses import losses_of
from tandem.recipes.place import Watch, write_json
from tandem.report import write as write_report
from tandem.results import Curve, Figure, Results, Section, Series, Table
from tandem.runs import Run, file_hash, read_results
from tandem.stats import Interval
from tandem.tokenizer import Tokenizer
from tandem.train import conversations, splits, templates
from tandem.train.conversations import Conversation
from tandem.train.loop import Settings
from tandem.train.packing import Packed
from tandem.train.tuning import Tuning, tune

STAGE = "01-tune"


@dataclass(frozen=True)
class Finetune:
    """What to tune, on what, and how."""

    model: str
    """A Hugging Face folder or a run's folder."""
    data: tuple[str, ...]
    """Files of conversations: chat JSONL, Alpaca JSON, ShareGPT, prompt pairs."""
    template: str = "own"
    """`own`, `xgen` or `fastchat`."""
    context: int = 0
    """Tokens per packed row; 0 takes 2,048 or the model's context, whichever is less."""
    rows: int = 8
    """Rows per optimiser step."""
    epochs: float = 3.0
    """Times each conversation is seen."""
    peak: float = 2e-5
    """Highest learning rate."""
    warmup: float = 0.03
    """Share of the steps that warm up."""
    decay: float = 0.0
    """Weight decay."""
    precision: str = "fp32"
    """fp32 or bf16."""
    held_out: float = 0.05
    """Share of the conversations held out for the loss before and after."""
    seed: int = 0
    """Splits, order, adapters, dropout."""
    lora: int = 0
    """Rank of a LoRA adapter; 0 tunes all weights."""
    alpha: float = 0.0
    """LoRA's scale; 0 takes twice the rank."""
    dropout: float = 0.0
    """LoRA's dropout."""
    on_bad: str = "error"
    """`error` stops at a conversation that cannot be used, `skip` counts it."""


def run(job: Finetune, out: Path, *, watch: Watch, device: str | None = None, threads: int | None = None) -> Results:
    """Tune as `job` says into the run folder `out`, or continue what was begun there.

    Raises UserError when model, data or settings cannot be used, Failure when the work fails.
    """
    _check(job)
    where = choose_device(device)
    use_threads(threads)
    folder = locate(job.model)
    data = {name: file_hash(_existing(Path(name))) for name in job.data}
    recipe = toml.write({"tune": dataclasses.asdict(job) | {"data": list(job.data)}, "data_hashes": data})
    with Run(out, recipe, {"seed": job.seed, "device": device_name(where), "torch": torch.__version__}) as held:
        if held.finished(STAGE):
            watch.standing("Instruction tuning")
        else:
            watch.stage(f"Instruction tuning of {folder}")
            with held.stage(STAGE, title="Instruction tuning") as path:
                _tune(job, folder, path, held, watch, where)
        held.write_results(_tell(job, out))
        write_report(out)
    return read_results(out)


def _check(job: Finetune) -> None:
    """Numbers that cannot be used, before anything is written."""
    wrong = {
        "--epochs": None if math.isfinite(job.epochs) and job.epochs > 0 else "give a number above 0, such as 3",
        "--rows": None if job.rows > 0 else "give at least 1",
        "--context": None if job.context >= 0 else "give a number of tokens, or 0 for the model's own",
        "--peak": None if math.isfinite(job.peak) and job.peak > 0 else "give a learning rate, such as 2e-5",
        "--held-out": None if 0 <= job.held_out < 1 else "give a share from 0 to below 1",
        "--lora": None if job.lora >= 0 else "give a rank of at least 1, or 0 to tune all weights",
        "--alpha": None if math.isfinite(job.alpha) and job.alpha >= 0 else "give a number above 0, such as 32",
        "--dropout": None if 0 <= job.dropout < 1 else "give a share from 0 to below 1",
    }
    for flag, remedy in wrong.items():
        if remedy:
            value = getattr(job, flag.removeprefix("--").replace("-", "_"))
            raise UserError(f"is {value:g}", where=flag, remedy=remedy)
    if not job.lora and (job.alpha or job.dropout):
        flag = "--alpha" if job.alpha else "--dropout"
        raise UserError("belongs to a LoRA adapter", where=flag, remedy="add --lora, or leave it out")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError("no such file", where=str(path), remedy="check the path given to --data")
    return path


def _tune(job: Finetune, source: Path, path: Path, held: Run, watch: Watch, device: torch.device) -> None:
    made = tokenizers.load(source)
    if job.template != "own":
        made.chat_template = templates.CHAT_TEMPLATES.get(job.template)
    reading = conversations.read(*(Path(name) for name in job.data), on_bad="skip" if job.on_bad == "skip" else "error")
    for skipped in reading.skipped[:5]:
        watch.say(f"  skipped {skipped.where}: {skipped.reason}")
    split = splits.held_out(reading.conversations, instances=job.held_out, seed=job.seed)
    watch.say(
        f"  {len(split.train):,} conversations to learn, {len(split.instances):,} held out, "
        f"{len(reading.skipped):,} skipped"
    )
    model = computing(decoder.load(source, dtype=torch.float32, device=device), job.precision)
    context = job.context or min(2048, model.shape.context)
    if context > model.shape.context:
        raise UserError(
            f"{context:,} tokens exceed the model's {model.shape.context:,}", where="--context", remedy="give less"
        )
    before = _loss(job, model, made, split.instances, context)
    if job.lora:
        lora = adapters.LoRA(job.lora, job.alpha or 2.0 * job.lora, job.dropout)
        adapters.attach(model, lora, seed=job.seed)
    settings = Settings(decay=job.decay, seed=job.seed)
    how = Tuning(job.template, context, job.rows, job.epochs, job.peak, job.warmup)
    tuned = tune(
        model,
        made,
        split.train,
        how,
        settings,
        work=held.work(STAGE),
        on_progress=progress_teller(held, watch, "tune"),
        on_decision=decision_teller(held, watch, "tune"),
    )
    model.eval()
    if job.lora:
        adapters.save(model, path / "adapter", base=str(source))
        adapters.merge(model)
    decoder.save(model, path / "model")
    made.save(path / "model")
    after = _loss(job, model, made, split.instances, context)
    write_json(path / "history.json", tuned.history.as_json())
    facts = dataclasses.asdict(tuned.packing) | {
        "skipped": len(reading.skipped),
        "efficiency": tuned.packing.efficiency,
    }
    write_json(path / "tuned.json", {"before": before, "after": after, "packing": facts})


def _loss(
    job: Finetune, model: Decoder, made: Tokenizer, held: Sequence[Conversation], context: int
) -> dict[str, Any] | None:
    """Mean loss on the answers of held-out conversations, with its interval; None without any that fit."""
    encoded = [templates.encode(c, job.template, made) for c in held]
    if not any(len(e.ids) <= context for e in encoded):
        return None
    packed = Packed(encoded, context=context, rows=job.rows, pad=made.pad, seed=job.seed)
    batches = [packed.batch(step) for step in range(packed.steps)]
    (found,) = perplexity(batches, losses_of(model), ["held out"])
    return found.nats_per_token.to_json() | {"tokens": found.tokens}


def _tell(job: Finetune, out: Path) -> Results:
    import json

    tuned = json.loads((out / STAGE / "tuned.json").read_text())
    history = json.loads((out / STAGE / "history.json").read_text())
    figures = [
        figure(f"nats/token {name} tuning", Interval.from_json(tuned[name]), note="answers of held-out conversations")
        for name in ("before", "after")
        if tuned[name]
    ]
    how = f"LoRA of rank {job.lora}" if job.lora else "all weights"
    lead = f"{job.model}, tuned on {tuned['packing']['packed']:,} conversations ({how})."
    if len(figures) == 2:
        lead += f" Loss on held-out answers: {figures[0].value:.3f} before, {figures[1].value:.3f} after."
    seen, x = 0.0, []
    for n in history["tokens"]:
        seen += n
        x.append(seen)
    y = tuple(math.nan if v is None else v for v in history["loss"])
    curve = Curve("Training loss", "tokens seen", "nats/token of the answers", (Series("loss", tuple(x), y),))
    packing = Table("What was packed", ("", ""), tuple((k, v) for k, v in tuned["packing"].items()))
    return Results(
        f"{Path(job.model.removeprefix('hf:')).name}, instruction-tuned",
        lead,
        tuple(figures) or (Figure("conversations", tuned["packing"]["packed"]),),
        (Section("loss", "Training", "", (curve,)), Section("data", "The conversations", "", (packing,))),
        (("Talk to the model", "tandem chat {run}"),),
    )
