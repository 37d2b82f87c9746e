"""Verify-and-Edit on many questions against a server that takes its time: how much of the wall clock is waiting for it?

    python benchmarks/answering.py [--questions 1000] [--wait 0.2] [--concurrent 64] [--rounds 3] [--profile]

The server, a process of its own, answers chat completions `--wait` seconds after each request. Its chains disagree, so
every gate opens: each question takes chains, a checking question and a finding for each of two steps side by side, and
the last answer, four calls one after the other and six in all. Paragraphs come with the questions and are ranked here.
A run cannot be shorter than

    serial calls × wait × questions / questions at once

and the figure is this by the wall time (target: 90 %). Everything is as `tandem answer` does it: traces, a fresh store,
the caller with its limits; `--without-store` leaves the commits out. `--profile` prints where the processor time goes.
On a machine that does other work the seconds for which both processes were kept waiting for a processor are told: where
they are many, the figure is the machine's and not ours.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from slow_server import serve

STEPS = ("The old bridge over the Lend was built in 1871.", "The Lend flows through the town of Varnum.")
SERIAL = 4
"""Calls of a question that wait for each other: chains, checking question, finding, answer."""
CALLS = 2 + 2 * len(STEPS)
"""Calls of a question in all."""


# ── The server ──────────────────────────────────────────────────────────────────────────────────────────────────────


def said(messages: list[dict[str, str]], n: int) -> list[str]:
    """What is written after the cue at the end of the prompt; chains differ in their answers."""
    content = messages[-1]["content"].rstrip()
    end = content.rsplit("\n", 1)[-1]
    if end.startswith("1."):
        return [f" {STEPS[0]}\n2. {STEPS[1]}\nAnswer: Varnum {i}" for i in range(n)]
    if end.startswith("Check:"):
        return ["When was the old bridge built?" if f"Step: {STEPS[0]}" in content else "Where does the Lend flow?"] * n
    if end.startswith("Finding:"):
        return ["The old bridge dates from 1874." if "Check: When" in content else "It flows through Varnum."] * n
    return ["Varnum"] * n


def reply(body: bytes) -> bytes:
    asked = json.loads(body)
    texts = said(asked["messages"], asked.get("n", 1))
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for i, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 400, "completion_tokens": 30 * len(texts), "total_tokens": 400 + 30 * len(texts)}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}
    ).encode()


# ── The run ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Took:
    """What one run took."""

    wall: float
    """Seconds."""
    processor: float
    """Processor seconds of this process, all threads."""
    calls: int
    """Requests that were sent."""
    delayed: float
    """Seconds in which the event loop's thread, and the server's, could have run and others had the processor."""


def delayed(process: int) -> float:
    """Seconds that the first thread of a process has waited for a processor (Linux; 0 elsewhere)."""
    try:
        return int(Path(f"/proc/{process}/task/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


async def answer(url: str, server: int, options: argparse.Namespace) -> Took:
    """All questions once, against a fresh store."""
    from tandem.http.pace import Limits
    from tandem.lm.endpoints import Endpoint, able_by_format
    from tandem.lm.model import Model
    from tandem.lm.remote import Remote
    from tandem.reason import demonstrations, methods
    from tandem.reason.chains import Asking
    from tandem.reason.running import answer_all
    from tandem.sources import Dataset
    from tandem.sources.recorded import Recorded, Recorder
    from tandem.store import Store
    from tandem.types import Question

    filler = "The river rises in the hills and reaches the sea after ninety miles, past mills and two castles. "
    questions = [
        Question(
            str(n),
            f"Through which town does the river flow that bridge number {n} crosses?",
            ("Varnum",),
            context=tuple(f"{text} This is note {n}. {filler * 3}" for text in (*STEPS, "Of the mills.", "Of boats.")),
        )
        for n in range(options.questions)
    ]
    asking = {"short": Asking(demonstrations.shipped("short", options.shots))}
    method = methods.named("verify-and-edit", asking)
    endpoint = Endpoint(url, "m", "chat", able_by_format("chat"), limits=Limits(concurrency=512))
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        store = None if options.without_store else opened.enter_context(Store(folder / "answers.db"))
        source = Recorded(Dataset(), Recorder(store))
        async with Model(Remote(endpoint), store=store) as model:
            waited = delayed(os.getpid()) + delayed(server)
            clock, busy = time.perf_counter(), time.process_time()
            records = await answer_all(questions, method, model, [source], concurrent=options.concurrent)
            wall, busy = time.perf_counter() - clock, time.process_time() - busy
            took = Took(wall, busy, model.spent.calls, delayed(os.getpid()) + delayed(server) - waited)
    edited = [record for record in records if record.answer.text == "Varnum" and "edits" in record.answer.facts]
    assert len(edited) == len(questions), "every question is edited"
    assert took.calls == CALLS * len(questions), f"{took.calls} calls"
    return took


def told(took: Took, options: argparse.Namespace) -> str:
    least = SERIAL * options.wait * options.questions / options.concurrent
    per_call = took.processor / took.calls * 1000
    return (
        f"{took.wall:6.2f} s wall, at least {least:.2f}: {least / took.wall:6.1%}   "
        f"{took.processor:.2f} s of processor time, {per_call:.2f} ms a call   "
        f"load {os.getloadavg()[0]:.1f}, kept waiting for a processor {took.delayed:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--wait", type=float, default=0.2)
    parser.add_argument("--concurrent", type=int, default=64, help="questions at once")
    parser.add_argument("--shots", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-store", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.wait, reply))
        return
    command = [sys.executable, __file__, "--serve", "--wait", str(options.wait)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout and server.stdin
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        if options.profile:
            with cProfile.Profile() as profile:
                print(told(asyncio.run(answer(url, server.pid, options)), options))
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        else:
            walls = []
            for _ in range(options.rounds):
                took = asyncio.run(answer(url, server.pid, options))
                walls.append(took.wall)
                print(told(took, options), flush=True)
            least = SERIAL * options.wait * options.questions / options.concurrent
            print(
                f"median {statistics.median(walls):.2f} s wall: {least / statistics.median(walls):.1%} of it is waiting"
            )
        server.stdin.close()


if __name__ == "__main__":
    main()
