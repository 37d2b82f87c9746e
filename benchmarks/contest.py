"""Contenders of a benchmark as processes of their own that take turns; each answers "go" with one line of JSON."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence


def referee(
    script: str, names: Sequence[str], rounds: int, threads: int, warm_up: int = 1
) -> dict[str, list[dict[str, float]]]:
    """Run `script … --contender NAME` for each name; turns to warm up, then `rounds` turns each, interleaved.

    A contender that ends early is left out, with what it said.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    players = {
        name: subprocess.Popen(
            [sys.executable, script, *sys.argv[1:], "--contender", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in names
    }
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(1 - warm_up, rounds + 1):
        for name in list(players):
            player = players[name]
            assert player.stdin is not None and player.stdout is not None
            try:
                player.stdin.write("go\n")
                player.stdin.flush()
                line = player.stdout.readline()
                result = json.loads(line)
            except (BrokenPipeError, ValueError):
                print(f"{name} gave up; its message stands above", flush=True)
                del players[name], turns[name]
                continue
            if turn > 0:
                turns[name].append(result)
            print(f"  {f'round {turn}' if turn > 0 else 'warm-up'}: {name} {result}", file=sys.stderr, flush=True)
    for player in players.values():
        assert player.stdin is not None
        player.stdin.close()
        player.wait()
    return turns


def contender(work: Callable[[], Mapping[str, float]]) -> None:
    """Do one unit of work per line of input; report it with wall and processor seconds and the peak memory so far."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print what they like
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        counted = work()
        took = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**counted, **took, "MiB": round(peak)}), file=out, flush=True)


def load() -> str:
    """How busy the machine is, to stand beside the figures."""
    return f"load {os.getloadavg()[0]:.1f} over the last minute, {os.cpu_count()} cores"


def median(turns: Sequence[Mapping[str, float]], key: str) -> float:
    """The median of a figure over a contender's turns."""
    return statistics.median(turn[key] for turn in turns)
