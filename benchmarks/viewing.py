"""How quick `tandem view` is on a run of many items: its index, its answers, and the first paint in a real browser.

    python benchmarks/viewing.py [--items 100000] [--rounds 5]

Every round starts the command anew, so its index is cold: *first answer* and *first paint* are those of a person who
opens the items' address at once. Paint is the browser's own first-contentful-paint, from the navigation on; headless
Chromium, by DevTools over a loopback socket; left out, and said, where there is no Chromium. Medians; the load stands
below.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "view"))

from chromium import Chromium
from served import Visitor, served

from tandem.view.items import ItemFile

WORDS = [f"{a}{b}{c}" for a in ("mar", "tol", "zol", "bre") for b in ("an", "ek", "il", "os", "um") for c in "dknrst"]
PAINT = "(performance.getEntriesByName('first-contentful-paint')[0] || {}).startTime"
ITEMS = "/run/run/items/many-items.jsonl"


def write(path: Path, n: int) -> None:
    """Multiple-choice records as `tandem evaluate` writes them, of invented words; one holds `needle`."""
    drawn = random.Random(7)

    def say(k: int) -> str:
        return " ".join(drawn.choices(WORDS, k=k))

    with path.open("w") as f:
        for row in range(n):
            logprobs = [drawn.uniform(-40, -1) for _ in range(4)]
            gold, prediction = drawn.randrange(4), max(range(4), key=logprobs.__getitem__)
            record = {
                "id": f"q{row}",
                "group": f"subject {row % 57}",
                "prompt": f"Question: {say(18)}{' needle' if row == n // 2 else ''}?\nAnswer:",
                "examples": [],
                "choices": [say(6) for _ in range(4)],
                "gold": gold,
                "prediction": prediction,
                "logprobs": logprobs,
                "acc": float(gold == prediction),
                "acc_norm": float(drawn.random() < 0.3),
            }
            f.write(json.dumps(record) + "\n")


def index(path: Path, seconds: dict[str, list[float]]) -> None:
    """The index alone, in this process."""
    began = time.perf_counter()
    made = ItemFile(path).index()
    made.wait(50, 60)
    seconds["index: the first 50 rows"].append(time.perf_counter() - began)
    made.wait(None, 600)
    seconds["index: all rows"].append(time.perf_counter() - began)


def answers(folder: Path, n: int, seconds: dict[str, list[float]], memory: list[int]) -> None:
    """Whole answers over HTTP."""
    pages = {
        "next page": "?page=2",
        "the last page": f"?page={n // 50}",
        "search: one row": "?q=needle",
        "search: a third of the rows": "?q=marand",
        "search: every row": "?q=question",
        "wrong ones, sorted by a number": "?verdict=wrong&sort=-margin",
        "sorted by id": "?sort=-id",
        "one item": "ITEM",
    }
    began = time.perf_counter()
    with served("view", str(folder)) as server:
        seconds["from the command to its address"].append(time.perf_counter() - began)
        visitor = Visitor(server.address)
        began = time.perf_counter()
        assert visitor.get(ITEMS).status == 200
        seconds["first answer, cold index"].append(time.perf_counter() - began)
        while "so far" in visitor.get(f"{ITEMS}?q=nothing-at-all").text:
            time.sleep(0.1)
        seconds["until everything can be searched"].append(time.perf_counter() - began)
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        memory.append(int(status.split("VmRSS:")[1].split()[0]) // 1024)
        for name, query in pages.items():
            path = ITEMS.replace("/items/", "/item/") + f"?line={n // 3}" if query == "ITEM" else ITEMS + query
            began = time.perf_counter()
            assert visitor.get(path).status == 200
            seconds[name].append(time.perf_counter() - began)


async def paints(folder: Path, seconds: dict[str, list[float]]) -> None:
    """The first paint in a browser that is open already, with a cold and with a warm index."""
    with tempfile.TemporaryDirectory() as profile:
        async with Chromium(Path(profile)) as page:
            with served("view", str(folder)) as server:
                await page.go(server.address)
                for name in ("first paint, cold index", "first paint, warm index"):
                    await page.go(server.address.partition("/?")[0] + ITEMS)
                    await page.until(f"{PAINT} > 0 && document.querySelectorAll('[data-row]').length === 50")
                    seconds[name].append(float(await page.value(PAINT)) / 1000)
                    await page.until("!document.querySelector('.reading')", 60)
                    await page.go(server.address.partition("/?")[0] + "/")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    memory: list[int] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        folder.mkdir()
        (folder / "run.json").write_text("{}")
        write(folder / "many-items.jsonl", options.items)
        size = (folder / "many-items.jsonl").stat().st_size
        loads = [os.getloadavg()[0]]
        for _ in range(options.rounds):
            index(folder / "many-items.jsonl", seconds)
            answers(folder, options.items, seconds, memory)
            try:
                asyncio.run(paints(folder, seconds))
            except BaseException as e:
                if type(e).__name__ != "Skipped":
                    raise
                print(e, file=sys.stderr)
            loads.append(os.getloadavg()[0])
    load = f"load {min(loads):.1f} to {max(loads):.1f}"
    print(f"{options.items:,} items, {size / 1e6:.0f} MB, {options.rounds} rounds, {load}")
    print(f"The server holds {max(memory)} MiB.\n")
    print("| what | median | worst |\n|---|---|---|")
    for name, each in seconds.items():
        print(f"| {name} | {statistics.median(each) * 1000:,.0f} ms | {max(each) * 1000:,.0f} ms |")


if __name__ == "__main__":
    main()
