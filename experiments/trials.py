"""Small trainings to compare: text prepared once, a decoder trained and measured, arms repeated over seeds.

What every experiment here shares. A *trial* is one arm under one seed: the seed draws the initial weights, which
documents are seen and their order, so trials of one seed in different arms are pairs. Means over seeds carry Student's
t interval; arms are compared by the differences within seeds.

What this does not do: choose arms, or decide what an effect is. Resampling the tokens of one training was rejected as
an interval: it says how well that model was measured, not how differently the next seed would have come out.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tandem import results, runs, stats, tokenizer
from tandem.corpus import Batch, Ledger, Mixed, Part, Shards, SourceSpec, build, documents, once
from tandem.decoder import Decoder, Shape
from tandem.errors import Failure, TandemError, UserError
from tandem.evaluate.perplexity import perplexity
from tandem.recipes.execute import choose_device, device_name
from tandem.recipes.learning import computing
from tandem.recipes.losses import losses_of
from tandem.stats import Interval
from tandem.train.loop import Settings, adamw, fit
from tandem.train.schedule import Cosine, Shifted

LABEL = "Small scale: it says whether the effect appears here, not whether it holds at 7B."
LIBRARY = {"code": "python:code", "docstrings": "python:docstrings"}
"""Text that is on every machine: Python's own standard library."""
SHARES = {"code": 0.7, "docstrings": 0.3}
"""Parts of the training tokens; sources of the user's own share equally."""
VOCABULARY = 2048
HELD_OUT = 0.1
"""Share of the documents that no training sees."""
GOLDEN = (math.sqrt(5) - 1) / 2
EVALUATED = 40_000
"""Held-out tokens measured per source."""
EVALUATION_BATCH = 8192
"""Tokens per forward pass of an evaluation."""


# ── Text ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Text:
    """Tokenised sources, each divided into what is trained on and what is held out."""

    vocabulary: int
    """Rows of the embedding."""
    train: Mapping[str, Shards]
    """Tokens to train on, by source."""
    held_out: Mapping[str, Shards]
    """Tokens to measure on, by source."""
    shares: Mapping[str, float]
    """Share of each source in the training tokens."""

    def facts(self) -> dict[str, Any]:
        """What identifies it: another Python has another library, so other figures."""
        return {
            "vocabulary": self.vocabulary,
            "tokenizer": next(iter(self.train.values())).tokenizer,
            "sources": {
                name: {
                    "share": self.shares[name],
                    "train_tokens": shards.tokens,
                    "train_fingerprint": shards.fingerprint,
                    "held_out_tokens": self.held_out[name].tokens,
                    "held_out_fingerprint": self.held_out[name].fingerprint,
                }
                for name, shards in self.train.items()
            },
        }


def prepare(work: Path, paths: Sequence[str] = (), *, vocabulary: int = VOCABULARY, held_out: float = HELD_OUT) -> Text:
    """Train a tokenizer and tokenise the sources into `work`, or open what lies there from an earlier call.

    `paths` are the user's own files, folders or globs; none means Python's library. The tokenizer sees the held-out
    texts too, the same for all arms. A text that changed needs a new `work`. Raises UserError when a source has too
    few documents to hold some out.
    """
    sources = {f"text{i}": path for i, path in enumerate(paths, 1)} if paths else LIBRARY
    folder = work / f"text-{runs.fingerprint([sources, vocabulary, held_out, sys.version])}"
    if not folder.exists():
        with runs.atomic_folder(folder) as part:
            texts = (d.text for path in sources.values() for d in documents(SourceSpec(path), Ledger()))
            made = tokenizer.train(texts, vocabulary)
            made.save(part / "tokenizer")
            for name, path in sources.items():
                build(SourceSpec(path), made, part / name, validation=held_out)
    made = tokenizer.load(folder / "tokenizer")
    for name, path in sources.items():
        if not (folder / name / "validation").is_dir():
            raise UserError("too few documents to hold some out", where=path, remedy="give a text of more documents")
    return Text(
        made.vocabulary,
        {name: Shards(folder / name / "train", made) for name in sources},
        {name: Shards(folder / name / "validation", made) for name in sources},
        {name: 1 / len(sources) for name in sources} if paths else SHARES,
    )


# ── One trial ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Stage:
    """A part of a training at one length."""

    context: int
    """Tokens per row."""
    steps: int
    """Optimiser steps."""


@dataclass(frozen=True)
class Training:
    """Everything that decides what a trial learns."""

    shape: Shape
    """The decoder."""
    stages: tuple[Stage, ...]
    """Lengths in order; moments, the schedule and the place in the data go on from one to the next."""
    batch: int
    """Tokens per step, the same in all stages."""
    peak: float
    """Highest learning rate."""
    warmup: int
    """Steps of warm-up."""
    seed: int
    """Draws the initial weights, the place in the sources to begin at, and the order of the data."""
    precision: str = "fp32"
    """fp32 or bf16."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        return sum(stage.steps for stage in self.stages)

    @property
    def tokens(self) -> int:
        """Tokens seen."""
        return self.steps * self.batch

    @property
    def flops(self) -> float:
        """FLOPs to train: `Shape.flops_per_token`, the full attention square counted, times the tokens."""
        return sum(s.steps * self.batch * self.shape.flops_per_token(s.context) for s in self.stages)


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    model: Decoder | None
    """The model; None when the training was lost: losses or weights that are not finite."""
    losses: list[float]
    """Mean nats per target of each step, before its update; NaN where not finite."""
    decisions: list[dict[str, Any]]
    """What the loop itself found unusual: spikes and non-finite steps."""
    seconds: float
    """Wall-clock of the training alone."""


def train(training: Training, text: Text, device: torch.device) -> Trained:
    """Train a fresh decoder through all stages: AdamW 0.9/0.95, decay 0.1, clip 1.0, one cosine over all steps."""
    model = computing(Decoder(training.shape, seed=training.seed).to(device), training.precision)
    settings = Settings(seed=training.seed)
    optimiser = adamw(model, settings)
    schedule = Cosine(training.peak, training.warmup, training.steps)
    seen = {name: beginning(training.seed, shards) for name, shards in text.train.items()}
    losses: list[float] = []
    decisions: list[dict[str, Any]] = []
    done, lost = 0, False
    began = time.monotonic()

    for stage in training.stages:
        parts = [Part(shards, text.shares[name], seen[name]) for name, shards in text.train.items()]
        mixed = Mixed(parts, stage.context, training.batch // stage.context, stage.steps, training.seed)
        try:
            fit(
                model,
                mixed,
                optimiser,
                Shifted(schedule, done),
                settings,
                on_progress=lambda progress: losses.append(progress.loss),
                on_decision=partial(_note, decisions, done),
            )
        except Failure:
            lost = True
            break
        done += stage.steps
        for name, realised in zip(seen, mixed.realised(), strict=True):
            seen[name] = realised.offset_tokens
    seconds = time.monotonic() - began
    lost = lost or not all(bool(torch.isfinite(p).all()) for p in model.parameters())
    return Trained(None if lost else model.eval(), losses, decisions, seconds)


def beginning(seed: int, shards: Shards) -> int:
    """Where in a source a seed begins to read: seeds shall see different documents, far apart, not one beginning."""
    return int(seed * GOLDEN % 1 * shards.tokens)


def _note(decisions: list[dict[str, Any]], before: int, decision: dict[str, Any]) -> None:
    """Keep a decision of a stage that `before` steps came before."""
    decisions.append(decision | {"step": decision["step"] + before})


def held_out_loss(model: Decoder | None, text: Text, context: int) -> dict[str, float]:
    """Nats per token on windows of `context`, by source, and `mixture`: by the shares of training. NaN when lost."""
    if model is None:
        return dict.fromkeys([*text.held_out, "mixture"], math.nan)
    found = perplexity(_windows(text, context), losses_of(model), list(text.held_out))
    nats = {loss.source: loss.nats_per_token.value for loss in found}
    total = sum(text.shares[name] for name in nats)
    return nats | {"mixture": sum(text.shares[name] * value for name, value in nats.items()) / total}


def _windows(text: Text, context: int) -> Iterator[Batch]:
    """Windows at even distances through all held-out documents: the first ones may be a single long document."""
    for index, shards in enumerate(text.held_out.values()):
        rows = np.arange(-(-shards.tokens // context))
        kept = set(rows[:: max(1, shards.tokens // EVALUATED)].tolist())
        per = max(1, EVALUATION_BATCH // context)
        for number, batch in enumerate(once(shards, context, per)):
            some = [i for i in range(len(batch.sources)) if number * per + i in kept]
            if some:
                source = np.full(len(some), index, np.int16)
                yield Batch(batch.tokens[some], batch.targets[some], batch.documents[some], source)


def init_std(width: int) -> float:
    """XGen's 0.02 at width 4,096, the outputs of a layer kept at that size: the smaller the width, the larger."""
    return 0.02 * math.sqrt(4096 / width)


# ── Arms over seeds ─────────────────────────────────────────────────────────────────────────────────────────────────


def over_seeds(values: Iterable[float]) -> Interval | None:
    """Mean with a 95 % t interval over the seeds that were not lost; None when all were."""
    kept = [value for value in values if math.isfinite(value)]
    return stats.mean(kept) if kept else None


def paired(arm: Mapping[int, float], other: Mapping[int, float]) -> Interval | None:
    """Mean of `arm` minus `other` within each seed, with a 95 % t interval; seeds lost in either are left out."""
    return over_seeds(arm[seed] - other[seed] for seed in arm if seed in other)


def shown(interval: Interval | None, decimals: int = 3, *, sign: bool = False) -> str:
    """`4.123 ± 0.045`; a difference with its sign, and a star when the interval excludes 0."""
    if interval is None:
        return "lost"
    value = f"{interval.value:{'+' if sign else ''}.{decimals}f}"
    if not math.isfinite(interval.high):
        return value
    clear = " *" if sign and (interval.low > 0 or interval.high < 0) else ""
    return f"{value} ± {interval.high - interval.value:.{decimals}f}{clear}"


def print_table(table: results.Table, width: int = 100) -> None:
    """A plain table on standard output, in at least `width` columns."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text as Line

    console = Console(highlight=False)
    console.width = max(console.width, width)
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="underline")
    for i, column in enumerate(table.columns):
        grid.add_column(column, justify="right" if i else "left", no_wrap=True)
    for row in table.rows:
        grid.add_row(*(Line("" if cell is None else str(cell)) for cell in row))
    with console.capture() as capture:
        console.print()
        console.print(Line(table.title, style="bold"))
        console.print(grid)
        if table.note:
            console.print(Line(table.note, style="dim"))
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def write(
    path: Path, figures: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], clock: Mapping[str, Any]
) -> None:
    """Write JSON: `figures` and `trials` hold no clock, so a repetition on the same machine writes them again.

    One line for each trial; NaN and infinity become null.
    """
    head = [f"{json.dumps(key)}: {_line(value)}" for key, value in figures.items()]
    body = ",\n  ".join(_line(trial) for trial in trials)
    parts = [*head, f'"trials": [\n  {body}\n ]', f'"clock": {_line(clock)}']
    path.parent.mkdir(parents=True, exist_ok=True)
    runs.write_whole(path, "{\n " + ",\n ".join(parts) + "\n}\n")


def _line(value: Any) -> str:
    return json.dumps(results.to_json(_plain(value)), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return round(value, 6) if isinstance(value, float) and abs(value) < 1e6 else value


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """The options all experiments share."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--seeds", type=_positive, default=3, help="trials per arm (default: 3)")
    add(
        "--scale",
        type=_positive,
        default=1,
        help="multiplies width, heads, layers, lengths and tokens per step; tokens grow with its cube, the peak "
        "learning rate falls with it (default: 1, for two cores; 4 is a task for a GPU)",
    )
    add("--tokens", type=_positive, help="of a trial at scale 1, for a quick look (default: as the page says)")
    add("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    add("--threads", type=_positive, help="threads on a CPU (default: what torch chooses)")
    add("--precision", choices=("fp32", "bf16"), default="fp32", help="of matrix products (default: fp32)")
    add("--text", action="append", default=[], help="own text: file, folder or glob; may be repeated")
    add("--work", type=Path, help="keeps the tokenised text for the next time (default: a temporary folder)")
    add("--out", type=Path, help=f"where the figures go (default: experiments/results/{name}.json)")
    made.set_defaults(name=name)
    return made


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[tuple[Text, torch.device]]:
    """The text and the device that the options ask for."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    with tempfile.TemporaryDirectory() as temporary:
        began = time.monotonic()
        text = prepare(options.work or Path(temporary), options.text)
        sizes = ", ".join(f"{name} {shards.tokens:,} tokens" for name, shards in text.train.items())
        print(f"text: {sizes} to train on ({time.monotonic() - began:.0f} s)", file=sys.stderr)
        yield text, device


def out_path(options: argparse.Namespace) -> Path:
    """Where the figures go: beside this file, under a name of their own when the sizes are not the usual ones."""
    name = options.name
    name += f"-scale-{options.scale}" if options.scale != 1 else ""
    name += f"-tokens-{options.tokens}" if options.tokens else ""
    return options.out or Path(__file__).parent / "results" / f"{name}.json"


def machine(device: torch.device, seconds: float) -> dict[str, Any]:
    """Where it ran and for how long: what a repetition need not equal."""
    threads = torch.get_num_threads() if device.type == "cpu" else None
    return {"seconds": round(seconds, 1), "device": device_name(device), "threads": threads, "torch": torch.__version__}


def told(trial: str, trained: Trained, nats: float) -> None:
    """One line on standard error for a finished trial."""
    print(f"{trial}: {nats:.3f} nats held out, {trained.seconds:.0f} s", file=sys.stderr, flush=True)


def ended(main: Callable[[], None]) -> None:
    """Run a command; a user's error is one message and status 2, a failure status 1, Ctrl-C status 130."""
    try:
        main()
    except TandemError as e:
        print(e, file=sys.stderr)
        sys.exit(e.exit_status)
    except KeyboardInterrupt:
        print("\nstopped; where a folder was named with --work, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
