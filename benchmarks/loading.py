"""Loading batches from memory-mapped shards on one core, opening a corpus, jumping to a step, building one.

    python benchmarks/loading.py [--tokens 100000000] [--out DIR]

Bars: 20 M tokens/s; opening and jumping to step 1,000,000 in under 50 ms. Shards hold made-up ids in documents of
exponential length (mean 400 tokens); two sources, 50 % each. "plain" is the usual loader for comparison: random offsets
into one memory map, inputs and targets, without mixture, epochs, document numbers or repeatable order.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from tandem.corpus import Mixed, Part, Shards, SourceSpec, build, write_shards


class Ids:
    """A vocabulary without text."""

    vocabulary = 51_200
    end = 50_256
    fingerprint = "made-up ids"

    def encode_arrays(self, texts: object) -> list[np.ndarray]:
        raise NotImplementedError("these shards are made of ids")


def made_up(tokens: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    while tokens > 0:
        for n in (1 + rng.exponential(400, 4096)).astype(int):
            tokens -= n + 1
            yield rng.integers(0, 50_000, n)
            if tokens <= 0:
                return


def median_seconds(work: Callable[[int], object], repeats: int) -> float:
    times = []
    for i in range(repeats):
        began = time.perf_counter()
        work(i)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def plain(tokens: np.ndarray, context: int, rows: int) -> Callable[[int], object]:
    rng = np.random.default_rng(0)

    def batch(_: int) -> tuple[np.ndarray, np.ndarray]:
        starts = rng.integers(0, len(tokens) - context - 1, rows)
        x = np.stack([tokens[i : i + context].astype(np.int64) for i in starts])
        y = np.stack([tokens[i + 1 : i + 1 + context].astype(np.int64) for i in starts])
        return x, y

    return batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=100_000_000, help="stored in both sources together")
    parser.add_argument("--out", type=Path, help="keep the shards here, and use them when they stand")
    options = parser.parse_args()
    folder = options.out or Path(tempfile.mkdtemp(prefix="loading-"))
    try:
        for name, seed in (("a", 1), ("b", 2)):
            if not (folder / name).exists():
                began = time.perf_counter()
                shards = write_shards(folder / name, made_up(options.tokens // 2, seed), Ids())
                seconds = time.perf_counter() - began
                speed = shards.tokens / seconds / 1e6
                print(f"writing {name}: {shards.tokens / 1e6:.0f} M tokens, {speed:.1f} M tokens/s")
        loading(folder)
        opening(folder)
        building(folder)
    finally:
        if options.out is None:
            shutil.rmtree(folder)


def loading(folder: Path) -> None:
    sources = [Shards(folder / "a"), Shards(folder / "b")]
    for shards in sources:
        shards.verify()  # and so in the page cache, as in any epoch but the first
    flat = np.memmap(folder / "a" / "tokens.bin", dtype=np.uint16, mode="r")
    print(f"\n{'context':>8} {'rows':>6} {'M tokens/s':>11} {'plain':>8}")
    for context, rows in ((256, 32), (256, 512), (2048, 4), (2048, 64), (8192, 16)):
        mixed = Mixed([Part(s, 0.5) for s in sources], context, rows, 10_000_000, seed=1)
        peer = plain(flat, context, rows)
        ours, theirs = [], []
        repeats = max(5, 2_000_000 // (context * rows))
        for _ in range(7):  # interleaved pairs
            ours.append(median_seconds(mixed.batch, repeats))
            theirs.append(median_seconds(peer, repeats))
        size = context * rows / 1e6
        speeds = f"{size / statistics.median(ours):>11.0f} {size / statistics.median(theirs):>8.0f}"
        print(f"{context:>8} {rows:>6} {speeds}")


def opening(folder: Path) -> None:
    def jump(_: int) -> None:
        parts = [Part(Shards(folder / name), 0.5) for name in ("a", "b")]
        Mixed(parts, 2048, 64, 10_000_000, seed=1).batch(1_000_000)

    print(f"\nopening two sources and making step 1,000,000: {1000 * median_seconds(jump, 15):.1f} ms")


def building(folder: Path) -> None:
    from tandem.corpus import read
    from tandem.tokenizer import train

    texts = [d.text for d in read(SourceSpec("python:code", limit=2_000_000))]
    tokenizer = train(texts, vocabulary=4096)
    out = folder / "built"
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    report = build(SourceSpec("python:code"), tokenizer, out)
    seconds = time.perf_counter() - began
    n_bytes, tokens = report.bytes_read, report.train.tokens + report.validation.tokens
    print(
        f"\nbuilding python:code (read, clean, de-duplicate, encode, write): {n_bytes / 1e6:.1f} MB, "
        f"{tokens / 1e6:.2f} M tokens in {seconds:.1f} s = {n_bytes / seconds / 1e6:.1f} MB/s"
    )
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
