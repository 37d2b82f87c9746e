"""The store of answers and the model around it: puts, look-ups and whole requests, and memory as they grow.

    python benchmarks/answers.py --n 100000

The back end answers at once, so that what is measured is ours: canonical request, look-up, joining, budget, commit.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tandem.lm.budget import Budget, Prices
from tandem.lm.model import Model
from tandem.store import Request, Sample, Store
from tandem.text import count, size
from tandem.types import Abilities, Completion, Count, Prompt, Sampling, Score, Text, Usage

PROMPT = "A question of usual length, with an example or two before it. " * 20
ANSWER = "An answer of a few sentences, as models give them. " * 6


class Instant:
    """A back end that takes no time."""

    name = "instant"
    abilities = Abilities(context=1 << 20, many=True, temperature=True, seed=True)

    async def generate(self, prompt: Prompt, sampling: Sampling, samples: range = range(1)) -> tuple[Completion, ...]:
        return tuple(Completion(ANSWER, "stop", None, Usage(300, 80), "instant-1") for _ in samples)

    async def score(
        self, context: Prompt, continuations: Sequence[str], *, cut_left: bool = False
    ) -> tuple[Score, ...]:
        return tuple(Score(-1.0, 1, True) for _ in continuations)

    def count(self, prompt: Prompt) -> Count:
        return Count(300, exact=True)

    async def close(self) -> None:
        pass


def memory() -> str:
    """The most this process has held so far."""
    return size(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


async def crowd(n: int, at_once: int, one: Callable[[int], Awaitable[object]], what: str) -> None:
    """Run `one` for 0 … n-1 by `at_once` workers; print the speed and the memory held."""
    numbers = iter(range(n))
    steps: list[str] = []
    done, began, cpu = 0, time.perf_counter(), time.process_time()

    async def worker() -> None:
        nonlocal done
        for number in numbers:
            await one(number)
            done += 1
            if done % (n // 10) == 0:
                steps.append(memory())

    await asyncio.gather(*(worker() for _ in range(at_once)))
    total, cpu = time.perf_counter() - began, time.process_time() - cpu
    held = f"peak memory {steps[0]} after a tenth, {steps[-1]} at the end"
    print(f"{what:<34} {n / total:>9,.0f}/s {n / cpu:>9,.0f} a CPU second   {held}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--at-once", type=int, default=512)
    options = parser.parse_args()
    n, at_once = options.n, options.at_once
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.db"
        with Store(path) as store:
            answer = Completion(ANSWER, "stop", None, Usage(300, 80), "instant-1")

            def sample(number: int) -> Sample:
                request = Request.of("puts", {"prompt": {"text": f"{PROMPT}{number}"}})
                return Sample(request, 0, 256, False, answer, time.time())

            print(
                f"{count(n)} of each, {at_once} at once; prompts of {len(PROMPT)} characters, answers of {len(ANSWER)}"
            )
            asyncio.run(crowd(n, at_once, lambda number: store.put([sample(number)]), "store: puts, one answer each"))
            began = time.perf_counter()
            for number in range(n):
                assert store.find(sample(number).request, (0,), max_tokens=256)
            print(f"{'store: look-ups that hit':<34} {n / (time.perf_counter() - began):>9,.0f}/s")
            began = time.perf_counter()
            with Store(Path(folder) / "copy.db") as copy:
                copy.add(store.records("puts"))
            print(f"{'store: copied to another file':<34} {n / (time.perf_counter() - began):>9,.0f}/s")

            budget, prices = Budget(money=1e9), Prices(1, 1)
            model = Model(Instant(), store=store, budget=budget, prices=prices)
            warm = Sampling(temperature=1.0)

            def ask(number: int) -> Awaitable[object]:
                return model.generate(Text(f"{PROMPT}{number}"), warm)

            asyncio.run(crowd(n, at_once, ask, "model: asked, budget and store on"))
            asyncio.run(crowd(n, at_once, ask, "model: the same again, recorded"))
            model = Model(Instant())
            asyncio.run(crowd(n, at_once, ask, "model: without store and budget"))
            print(f"tally {dict(model.tally)}, file {size(path.stat().st_size)}")


if __name__ == "__main__":
    main()
