"""`tandem metrics` end to end, from starting the process to the table, beside the commands of its peers.

    python benchmarks/metrics.py [--rows 400000] [--rounds 5] [--predicted FILE --meant FILE]

Bars: 50,000 rows/s for exact match with F1; chrF++ not slower than sacrebleu. Answers are made up: 1 to 3 accepted ones
of 1 to 4 words, a third of the predictions wrong. For chrF++, BLEU and ROUGE: two files (plain or gzip) with one
sentence a line, such as the same text in two related languages; without them sentences of made-up words. sacrebleu is
run as its own command on the same lines, without intervals, which ours have; rouge-score has no command and is called.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BIN = Path(sys.executable).parent
WORDS = [f"{a}{b}{c}" for a in ("ka", "lo", "mi", "ru", "se") for b in ("n", "r", "st", "ll") for c in "aeiou"]


def words(rng: random.Random, n: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(n))


def answers(path: Path, rows: int) -> None:
    rng = random.Random(0)
    with path.open("w") as file:
        for i in range(rows):
            accepted = [f"{words(rng, rng.randint(1, 4))} {i % 9973}" for _ in range(rng.choice((1, 1, 3)))]
            said = f"The {rng.choice(accepted)}{rng.choice(('', '.', ' too'))}"
            row = {"id": i, "question": words(rng, 12), "prediction": said, "reference": accepted}
            file.write(json.dumps(row) + "\n")


def lines(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()


def sentences(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    if options.predicted:
        return lines(options.predicted), lines(options.meant)
    rng = random.Random(1)
    meant = [words(rng, rng.randint(8, 35)) for _ in range(1000)]
    return [" ".join(rng.choice(WORDS) if rng.random() < 0.4 else w for w in line.split()) for line in meant], meant


def command(*arguments: object) -> Callable[[], None]:
    def work() -> None:
        subprocess.run([str(a) for a in arguments], check=True, capture_output=True)

    return work


def rouge_score(predicted: list[str], meant: list[str]) -> Callable[[], None]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)

    def work() -> None:
        for one, other in zip(predicted, meant, strict=True):
            scorer.score(other, one)

    return work


def compare(contenders: dict[str, Callable[[], None]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds on the wall and of processors, the contenders in turn."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            wall, used = time.perf_counter(), os.times()
            work()
            now = os.times()
            taken[name].append((time.perf_counter() - wall, sum(now[:4]) - sum(used[:4])))
    return {name: tuple(statistics.median(column) for column in zip(*each)) for name, each in taken.items()}  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--predicted", type=Path)
    parser.add_argument("--meant", type=Path)
    options = parser.parse_args()
    tandem, sacrebleu = BIN / "tandem", BIN / "sacrebleu"
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder, "answers.jsonl"), Path(folder, "sentences.jsonl")
        answers(short, options.rows)
        predicted, meant = sentences(options)
        said, wanted = Path(folder, "predicted.txt"), Path(folder, "meant.txt")
        said.write_text("\n".join(predicted) + "\n", encoding="utf-8")
        wanted.write_text("\n".join(meant) + "\n", encoding="utf-8")
        with long.open("w", encoding="utf-8") as file:
            for one, other in zip(predicted, meant, strict=True):
                file.write(json.dumps({"prediction": one, "reference": other}) + "\n")
        found = compare({"tandem metrics em,f1": command(tandem, "metrics", "em,f1", short)}, options.rounds)
        found |= compare(
            {
                "tandem metrics chrf++": command(tandem, "metrics", "chrf++", long),
                "sacrebleu -m chrf --chrf-word-order 2": command(
                    sacrebleu, wanted, "-i", said, "-m", "chrf", "--chrf-word-order", 2
                ),
                "tandem metrics bleu": command(tandem, "metrics", "bleu", long),
                "sacrebleu -m bleu": command(sacrebleu, wanted, "-i", said, "-m", "bleu"),
                "tandem metrics rouge --stem": command(tandem, "metrics", "rouge", long, "--stem"),
                "rouge-score, stemmed, called": rouge_score(predicted, meant),
            },
            options.rounds,
        )
    print(f"load {os.getloadavg()[0]:.1f}; {options.rows:,} answers, {len(predicted):,} sentences")
    for name, (wall, used) in found.items():
        rows = options.rows if "em,f1" in name else len(predicted)
        print(f"{name:40} {wall:7.2f} s wall  {used:7.2f} s processor  {rows / wall:10,.0f} rows/s")


if __name__ == "__main__":
    main()
