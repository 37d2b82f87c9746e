"""A small decoder that has read a world's passages and can be asked by every method: how it is made and taught.

Two stages. It reads the passages, epoch after epoch: what it can know is what it has read, and how often is known. Then
it is tuned on the prompts of the methods themselves, with what a teacher writes after them (`world_teacher`), and goes
on reading meanwhile. Nothing that is asked later is taught: training questions touch no fact that tells of an asked one
(`partition.units`).

Rejected: tuning without reading on (answers in plain wording to the most mentioned facts fell from 23 to 9 of 24);
examples in the prompt instead of tuning, which a decoder of this size does not follow. What this does not do: measure
(`knowing` does).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from world_teacher import Known, Teacher, lessons, looks_up

from tandem import decoder, runs, tokenizer
from tandem.corpus import Document, Mixed, Part, Shards, build
from tandem.decoder import Decoder, Shape
from tandem.reason import methods
from tandem.reason.agreement import Gate
from tandem.reason.chains import Asking
from tandem.reason.running import answer_all
from tandem.sources.passages import About, Origin, Passages, Writer
from tandem.sources.passages import Document as Page
from tandem.sources.passages import Passage as Piece
from tandem.text import fingerprint
from tandem.tokenizer import Tokenizer
from tandem.train.loop import Progress, Settings, adamw, fit
from tandem.train.packing import Packed
from tandem.train.schedule import Cosine
from tandem.types import Question
from tandem.world import World, passages

ASKING = Asking((), max_tokens=96, answer_tokens=24)
"""How the tuned decoder is asked: it has learnt the form, so no examples stand in front."""
TOP = 2
"""Findings a prompt shows: three would be a third more to read at every look-up."""


@dataclass(frozen=True)
class Reader:
    """Everything that decides what the decoder knows and has been taught."""

    facts: int = 3_000
    """Size of the world."""
    seed: int = 7
    """Of the world, the weights and the order."""
    layers: int = 4
    width: int = 128
    heads: int = 4
    mlp_width: int = 352
    context: int = 512
    """Longest row, in tokens."""
    vocabulary: int = 2_048
    epochs: float = 30.0
    """How often the passages are read."""
    lessons: int = 1_500
    """Training questions about the world that is read, at most: how to say what is known."""
    elsewhere: int = 12_000
    """Size of another world, whose passages are only looked up: how to say what stands there."""
    elsewhere_lessons: int = 1_500
    """Training questions about that one."""
    tuning_epochs: float = 2.0
    """How often each lesson is seen."""
    replay: int = 2
    """How often the passages are read again in an epoch of the tuning: without, it makes the decoder forget them."""
    batch: int = 512
    """Tokens per step."""
    peak: float = 4e-3
    """Highest learning rate of the reading."""
    tuning_peak: float = 1e-3
    """Of the tuning."""


# ── What it is taught ───────────────────────────────────────────────────────────────────────────────────────────────


def index(world: World, folder: Path) -> Passages:
    """The passages as a source, indexed in `folder` unless they are."""
    if not (folder / "index.json").exists() or not any(folder.iterdir()):
        with Writer(folder) as writer:
            pages = (Page(About(p.id, p.title), (Piece(p.text),)) for p in passages(world))
            writer.add(Origin("world", fingerprint([world.seed, len(world.columns)])), pages)
    return Passages(folder, name="passages")


async def taught_pairs(plan: Reader, asked: Sequence[Question], folder: Path) -> dict[str, str]:
    """What the decoder is tuned on: prompts of all methods, with the teacher's answers.

    Answering from memory is learnt on the world that was read, looking things up on another one: what was read before
    could be told without looking, and then nobody learns to look.
    """
    world, other = World.make(plan.seed, plan.facts), World.make(plan.seed + 1, plan.elsewhere)
    known = await pairs(world, index(world, folder / "passages"), lessons(world, asked, plan.lessons), spoils=False)
    about = lessons(other, (), plan.elsewhere_lessons)
    found = await pairs(other, index(other, folder / "elsewhere"), about, spoils=True)
    told = {p: w for p, w in known.items() if not (looks_up(p) or given_steps(p))}
    return told | {p: w for p, w in found.items() if looks_up(p) or given_steps(p)}


def given_steps(prompt: str) -> bool:
    """Whether a prompt asks for what follows from steps that are given."""
    lines = prompt.splitlines()
    return lines[-1] == "Answer:" and "Steps:" in lines


async def pairs(world: World, source: Passages, taught: Sequence[Question], *, spoils: bool) -> dict[str, str]:
    """Prompts of all methods on a world's training questions, each with what its teacher writes after it."""
    by_text = {question.text: question for question in taught}
    teacher = Teacher(Known(world), by_text, spoils)
    settings = methods.Settings(samples=1, temperature=0.0, gate=Gate("always"), top=TOP)
    for name in ("standard", "verify-and-edit", "chain-of-knowledge"):
        method = methods.named(name, {"short": ASKING}, settings)
        records = await answer_all(list(by_text.values()), method, teacher, [source], name=name)
        failed = [record.answer.facts for record in records if record.answer.outcome == "failed"]
        assert not failed, failed[0]
    source.close()
    return teacher.pairs


# ── Making the decoder ──────────────────────────────────────────────────────────────────────────────────────────────


def made(plan: Reader, folder: Path, taught: Mapping[str, str]) -> dict[str, Any]:
    """Train the decoder into `folder`/model, or find it there. Killed, it goes on where it was.

    Returns what the training was: tokens, losses, sizes.
    """
    world = World.make(plan.seed, plan.facts)
    if not (folder / "corpus").exists():
        texts = [p.text for p in passages(world)]
        tok = tokenizer.train([*texts, *list(taught)[:2000], *taught.values()], plan.vocabulary)
        with runs.atomic_folder(folder / "tokenizer.made") as part:
            tok.save(part)
        build((Document(text, f"passage {n}") for n, text in enumerate(texts)), tok, folder / "corpus", validation=0.0)
    tok = tokenizer.load(folder / "tokenizer.made")
    read = _read(plan, folder, tok)
    tuned = _tuned(plan, folder, tok, taught)
    return {"plan": asdict(plan), "parameters": read["parameters"], "reading": read, "tuning": tuned}


def shape(plan: Reader, tok: Tokenizer) -> Shape:
    """The decoder's shape."""
    head = plan.width // plan.heads
    return Shape(
        tok.vocabulary, plan.layers, plan.width, plan.heads, plan.heads, head, plan.mlp_width,
        context=2 * plan.context, tied=True, init_std=plan.width**-0.5 / 2, eos=tok.end, pad=tok.pad, bos=tok.bos,
    )  # fmt: skip


def _read(plan: Reader, folder: Path, tok: Tokenizer) -> dict[str, Any]:
    shards = Shards(folder / "corpus" / "train", tok)
    rows = plan.batch // 256
    steps = max(1, round(plan.epochs * shards.tokens / (256 * rows)))
    if not (folder / "read").exists():
        model = Decoder(shape(plan, tok), seed=plan.seed)
        batches = Mixed([Part(shards, 1.0)], 256, rows, steps, plan.seed)
        history = fit(
            model, batches, adamw(model, Settings(seed=plan.seed)), Cosine(plan.peak, max(1, steps // 20), steps),
            Settings(seed=plan.seed), data=shards.fingerprint, work=folder / "read.work", on_progress=_told("reading"),
        )  # fmt: skip
        _keep(model.eval(), tok, folder / "read", history.loss)
        shutil.rmtree(folder / "read.work", ignore_errors=True)
    losses = _losses(folder / "read")
    facts = {"corpus_tokens": shards.tokens, "tokens": steps * rows * 256, "epochs": plan.epochs, "steps": steps}
    return facts | {"parameters": shape(plan, tok).parameters(), "loss": _thinned(losses)}


def _tuned(plan: Reader, folder: Path, tok: Tokenizer, taught: Mapping[str, str]) -> dict[str, Any]:
    ids = [(tok.encode(prompt), [*tok.encode(written), tok.end]) for prompt, written in taught.items()]
    encoded = [(p + w, [False] * len(p) + [True] * len(w)) for p, w in ids]
    read = [[*tok.encode(p.text), tok.end] for p in passages(World.make(plan.seed, plan.facts))]
    encoded += [(text, [True] * len(text)) for text in read] * plan.replay
    packed = Packed(
        encoded, context=plan.context, rows=max(1, plan.batch // plan.context), pad=tok.pad, seed=plan.seed,
        epochs=plan.tuning_epochs,
    )  # fmt: skip
    if not (folder / "model").exists():
        model = decoder.load(folder / "read", device="cpu")
        settings = Settings(seed=plan.seed, decay=0.0)
        rate = Cosine(plan.tuning_peak, max(1, packed.steps // 20), packed.steps)
        history = fit(
            model, packed, adamw(model, settings), rate, settings, data=packed.fingerprint,
            work=folder / "model.work", on_progress=_told("tuning"),
        )  # fmt: skip
        _keep(model.eval(), tok, folder / "model", history.loss)
        shutil.rmtree(folder / "model.work", ignore_errors=True)
    report = asdict(packed.report) | {"epochs": plan.tuning_epochs, "steps": packed.steps}
    return report | {"loss": _thinned(_losses(folder / "model"))}


def _keep(model: Decoder, tok: Tokenizer, folder: Path, losses: Sequence[float]) -> None:
    with runs.atomic_folder(folder) as part:
        decoder.save(model, part)
        tok.save(part)
        np.save(part / "losses.npy", np.array(losses))


def _losses(folder: Path) -> list[float]:
    return [float(x) for x in np.load(folder / "losses.npy")]


def _thinned(losses: Sequence[float], n: int = 40) -> list[float]:
    """Means of at most `n` stretches of equal length."""
    return [round(float(np.mean(part)), 4) for part in np.array_split(np.array(losses), min(n, len(losses)))]


def _told(what: str) -> Any:
    """A line on standard error now and then."""
    said = 0.0

    def tell(progress: Progress) -> None:
        nonlocal said
        if progress.step == progress.steps or progress.step >= said:
            said = progress.step + max(1, progress.steps // 10)
            line = f"{what}: step {progress.step} of {progress.steps}, loss {progress.loss:.3f}"
            print(f"{line}, {progress.tokens_per_second:,.0f} tokens/s", file=sys.stderr, flush=True)

    return tell
