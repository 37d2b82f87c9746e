"""A process that records answers, for tests of the store: store_worker.py PATH WHO N [LARGEST FILE]."""

from __future__ import annotations

import asyncio
import resource
import sys
import time

from tandem.errors import TandemError
from tandem.store import Request, Sample, Store
from tandem.types import Completion, Usage


def sample(who: str, number: int) -> Sample:
    request = Request.of("model", {"prompt": {"text": f"question {number}"}})
    answer = Completion(f"{who} says {number} " + "x" * 200, "stop", None, Usage(1, 1), "served")
    return Sample(request, 0, 16, False, answer, time.time())


async def record(store: Store, who: str, n: int) -> None:
    """Record n answers, a few at a time; say what stands."""
    for start in range(0, n, 20):
        wanted = [sample(who, number) for number in range(start, min(n, start + 20))]
        for standing in await asyncio.gather(*(store.put([one]) for one in wanted)):
            print(standing[0].text.split(" x")[0], flush=True)


def main(path: str, who: str, n: int, limit: int | None) -> None:
    with Store(path) as store:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            asyncio.run(record(store, who, n))
        except TandemError as e:
            print(f"ERROR {e}", flush=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            asyncio.run(record(store, who, n))
            print("RECOVERED")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else None)
