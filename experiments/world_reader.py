"""A small decoder that has read a world's passages and can be asked by every method: how it is made and taught.

Two stages. It reads the passages, epoch after epoch: what it can know is what it has read, and how often is known. Then
it is tuned on the prompts of the methods themselves: a *teacher* who knows the world goes through the real methods with
the real passages, and every prompt with what the teacher writes after it is a pair to learn from. Chains that the
teacher spoils on purpose, so that there is something to correct, are not learnt.

Nothing that is asked later is taught: training questions touch no fact that tells of an asked one (`partition.units`).
Rejected: examples in the prompt instead of tuning; a decoder of this size does not follow them. What this does not do:
measure (`knowing` does).
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

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
from tandem.types import Abilities, Completion, Count, Prompt, Question, Sampling, Score, Text, Usage
from tandem.world import World, passages, questions
from tandem.world.noise import Draws
from tandem.world.partition import units
from tandem.world.questions import ask, plain
from tandem.world.schema import RELATIONS
from tandem.world.templates import WORDINGS, sentence

ASKING = Asking((), max_tokens=96, answer_tokens=24)
"""How the tuned decoder is asked: it has learnt the form, so no examples stand in front."""
TOP = 2
"""Findings a prompt shows: three would be a third more to read at every look-up."""
FEWEST = 2
"""Mentions of each fact of a training question: what was never read can only be guessed, which is not to be learnt."""
SPOILT_PER = 2
"""One training chain in so many is spoilt before it is checked."""
ABLE = Abilities(context=1 << 20, many=True, temperature=True, seed=True)
"""Of the teacher."""
_LINE = re.compile(r"^Passage \d+: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Reader:
    """Everything that decides what the decoder knows and has been taught."""

    facts: int = 4_000
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
    epochs: float = 12.0
    """How often the passages are read."""
    lessons: int = 900
    """Training questions."""
    tuning_epochs: float = 3.0
    """How often each lesson is seen."""
    batch: int = 2_048
    """Tokens per step."""
    peak: float = 5e-3
    """Highest learning rate of the reading; of the tuning half of it."""


# ── The world, as it is read and looked up ──────────────────────────────────────────────────────────────────────────


def fact_number(id: str) -> int:
    """A fact's number."""
    return int(id[1:])


@dataclass(frozen=True, eq=False)
class Known:
    """A world with what the teacher and the measures need of it."""

    world: World
    """The world."""

    @cached_property
    def stated(self) -> dict[str, frozenset[int]]:
        """For each passage, as a prompt shows it, the facts that it states as they are."""
        return {
            f"{p.title}: {p.text}": frozenset(fact_number(m.fact) for m in p.mentions if not m.stale)
            for p in passages(self.world)
        }

    def spoilt(self, fact: int, draws: Draws) -> tuple[str, str]:
        """A wrong object of a fact's relation, and the sentence that states it."""
        world, c = self.world, self.world.columns
        name = RELATIONS[c.relation[fact]].name
        held = [int(f) for f in world.holding(name)]
        others = [f for f in (draws.choose(held) for _ in range(20)) if world.object_text(f) != world.object_text(fact)]
        wrong = world.object_text(others[0] if others else fact)
        return wrong, sentence(WORDINGS[name].plain, s=world.names[c.subject[fact]], o=wrong)

    def check(self, fact: int, draws: Draws) -> str:
        """A question that checks a fact."""
        return ask(self.world, [fact], draws)


def index(world: World, folder: Path) -> Passages:
    """The passages as a source, indexed in `folder` unless they are."""
    if not (folder / "index.json").exists() or not any(folder.iterdir()):
        with Writer(folder) as writer:
            pages = (Page(About(p.id, p.title), (Piece(p.text),)) for p in passages(world))
            writer.add(Origin("world", fingerprint([world.seed, len(world.columns)])), pages)
    return Passages(folder, name="passages")


def lessons(world: World, asked: Iterable[Question], n: int) -> list[Question]:
    """Training questions of one and two hops that touch no fact that tells of an asked one."""
    unit, mentions = units(world), world.mentions
    taken = {int(unit[fact_number(f)]) for q in asked for f in q.meta["facts"]}
    found = []
    for question in questions(world, hops=(1, 2), n=10 * n, seed=1):
        facts = [fact_number(f) for f in question.meta["facts"]]
        fits = min(int(mentions[f]) for f in facts) >= FEWEST and not question.meta["contested"]
        if fits and not taken & {int(unit[f]) for f in facts}:
            found.append(question)
    return Draws(world.seed, "lessons").shuffled(found)[:n]


# ── The teacher ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class Teacher:
    """Answers the prompts of our methods from what it knows of the world, and keeps what is worth learning."""

    known: Known
    """The world."""
    taught: Mapping[str, Question]
    """Training questions by their text."""
    pairs: dict[str, str] = field(default_factory=dict)
    """Prompts with what is to be written after them."""
    name: str = "teacher"
    abilities: Abilities = ABLE

    def __post_init__(self) -> None:
        draws = Draws(self.known.world.seed, "teacher")
        self.right: dict[str, list[str]] = {}
        self.chains: dict[str, list[str]] = {}
        self.spoilt: set[str] = set()
        self.checks: dict[str, str] = {}
        self.facts: dict[str, int] = {}
        self.objects: dict[str, str] = {}
        for number, (text, question) in enumerate(self.taught.items()):
            facts = [fact_number(f) for f in question.meta["facts"]]
            chain = [plain(self.known.world, fact) for fact in facts]
            for fact, right in zip(facts, chain, strict=True):
                self._about(right, fact, self.known.world.object_text(fact), draws)
            self.right[text] = list(chain)
            if number % SPOILT_PER == 0:
                place = number // SPOILT_PER % len(chain)
                wrong, chain[place] = self.known.spoilt(facts[place], draws)
                self._about(chain[place], facts[place], wrong, draws)
                self.spoilt.add(text)
            self.chains[text] = chain

    def _about(self, said: str, fact: int, object_: str, draws: Draws) -> None:
        check = self.known.check(fact, draws)
        self.facts[said] = self.facts[check] = fact
        self.objects[said] = object_
        self.checks.setdefault(said, check)

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        """What a good answer to the prompt is; the same for all samples."""
        assert isinstance(prompt, Text)
        written, learn = self._written(prompt.text)
        if learn:
            self.pairs[prompt.text] = written
        return tuple(Completion(written, "stop", None, Usage(0, 0), self.name) for _ in samples)

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        """No method asks for it here."""
        raise AssertionError("the teacher scores nothing")

    def count(self, prompt: Prompt) -> Count:
        """Nothing is too long for it."""
        return Count(0, exact=False)

    def _written(self, prompt: str) -> tuple[str, bool]:
        lines = prompt.splitlines()
        last = lines[-1]
        question = next((line[10:] for line in reversed(lines) if line.startswith("Question: ")), "")
        step = next((line[6:] for line in reversed(lines) if line.startswith("Step: ")), "")
        if last == "Check:":
            return f" {self.checks[step]}", True
        if last == "Finding:":
            fact = self.facts[next(line[7:] for line in reversed(lines) if line.startswith("Check: "))]
            return f" {plain(self.known.world, fact)}" if self._told(prompt, fact) else " unknown", True
        if last == "Corrected:":
            fact = self.facts[step]
            return f" {plain(self.known.world, fact)}" if self._told(prompt, fact) else f" {step}", True
        written = [line.split(" ", 1)[1] for line in lines[lines.index("Steps:") + 1 : -1]] if "Steps:" in lines else []
        if last == "Answer:":
            return f" {self.objects[written[-1]] if written else self.taught[question].answers[0]}", True
        chain = (self.right if written else self.chains)[question][len(written) :]
        rest = "".join(f"\n{n}. {text}" for n, text in enumerate(chain[1:], len(written) + 2))
        begun = f" {chain[0]}" if chain else ""
        ended = f"{begun}{rest}\nAnswer: {self.objects[(chain or written)[-1]]}"
        return ended, bool(chain) if written else question not in self.spoilt

    def _told(self, prompt: str, fact: int) -> bool:
        """Whether a passage of the prompt states a fact."""
        return any(fact in self.known.stated.get(line, ()) for line in _LINE.findall(prompt))


async def pairs(known: Known, source: Passages, taught: Sequence[Question]) -> dict[str, str]:
    """What the decoder is tuned on: prompts of all methods, with the teacher's answers."""
    by_text = {question.text: question for question in taught}
    teacher = Teacher(known, by_text)
    settings = methods.Settings(samples=1, temperature=0.0, gate=Gate("always"), top=TOP)
    for name in ("standard", "verify-and-edit", "chain-of-knowledge"):
        method = methods.named(name, {"short": ASKING}, settings)
        records = await answer_all(list(by_text.values()), method, teacher, [source], name=name)
        failed = [record.answer.facts for record in records if record.answer.outcome == "failed"]
        assert not failed, failed[0]
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
    packed = Packed(
        encoded, context=plan.context, rows=max(1, plan.batch // plan.context), pad=tok.pad, seed=plan.seed,
        epochs=plan.tuning_epochs,
    )  # fmt: skip
    if not (folder / "model").exists():
        model = decoder.load(folder / "read", device="cpu")
        settings = Settings(seed=plan.seed, decay=0.0)
        rate = Cosine(plan.peak / 2, max(1, packed.steps // 20), packed.steps)
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
