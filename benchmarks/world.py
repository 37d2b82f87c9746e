"""How fast a made-up world is made and written: facts, passages, questions and instruction items per second.

    python benchmarks/world.py [--facts 1000000] [--repeat 5] [--json]

Medians over the repeats, each on another seed so that nothing is cached. Generation is everything up to named entities,
facts and mention counts in memory; passages include placing every mention; the last line writes a whole folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from tandem.world import World, choices, passages, questions, tasks, write

MOST_READ = 200_000
SMALL = 20_000


def generate(seed: int, facts: int) -> World:
    world = World.make(seed, facts)
    assert len(world.names) == world.census.total
    assert len(world.mentions) == facts
    return world


def rate(work: Callable[[], int]) -> float:
    """Things made per second by a piece of work that returns how many it made."""
    began = time.perf_counter()
    made = work()
    return made / (time.perf_counter() - began)


def count(things: object) -> int:
    return sum(1 for _ in things)  # type: ignore[attr-defined]


def measure(seed: int, facts: int) -> dict[str, float]:
    """All rates on the worlds of one seed."""
    rates = {"facts generated": rate(lambda: len(generate(seed, facts).facts))}
    world, small = generate(seed, facts), generate(seed, min(facts, SMALL))
    rates["fact objects read"] = rate(lambda: count(islice(world.facts, MOST_READ)))
    rates["passages"] = rate(lambda: count(islice(passages(world), MOST_READ)))
    rates["questions"] = rate(lambda: len(questions(small, n=2000)))
    rates["choices"] = rate(lambda: len(choices(small, 2000)))
    rates["instruction items"] = rate(lambda: len(tasks(small, 200)))
    with tempfile.TemporaryDirectory() as folder:
        rates["facts, all views written"] = rate(lambda: write(small, Path(folder))["facts"])
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the made-up world.")
    parser.add_argument("--facts", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args()
    measured: dict[str, list[float]] = defaultdict(list)
    for seed in range(options.repeat):
        for name, value in measure(seed, options.facts).items():
            measured[name].append(value)
    medians = {name: statistics.median(values) for name, values in measured.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if options.json:
        print(json.dumps({"facts": options.facts, "repeats": options.repeat, "peak MiB": peak, "per second": medians}))
        return
    print(f"{options.facts:,} facts, median of {options.repeat}; peak memory {peak:,.0f} MiB")
    for name, value in medians.items():
        print(f"  {name:<28}{value:>14,.0f} /s")


if __name__ == "__main__":
    main()
