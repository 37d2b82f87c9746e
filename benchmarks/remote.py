"""Requests a second at a server that takes its time: Tandem's caller beside plain aiohttp and the `openai` client.

    python benchmarks/remote.py [--at-once 512] [--wait 0.2] [--seconds 3] [--rounds 9] [--skip openai …]
    python benchmarks/remote.py --memory 100000 [--through caller|model]

The server, a process of its own, answers a chat completion `--wait` seconds after each request. The contenders take
turns in one process: so many workers at once, each sending one request after the other; after `--warm` seconds (ours
leaves its slow start, all fill their pools) answers are counted for `--seconds`. Medians over the rounds count, and of
the ratios within a round.

    caller     tandem.http.Caller, limits as they are, but for `--at-once`
    model      tandem.lm: wire format, policies and, in a fresh file, the store; every prompt is new
    aiohttp    a session with as many connections, `json=` and `.json()`, nothing else
    openai     AsyncOpenAI as it comes, without retries

`--memory` sends that many requests and prints the resident memory on the way: first by `--at-once` workers, then as
that many coroutines, all started at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from slow_server import serve

WORDS = "The quick brown fox jumps over the lazy dog while the committee deliberates on the colour of the fence. " * 6
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It was decided to paint it green. " * 8},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 64, "total_tokens": 184},
    }
).encode()

Send = Callable[[int], Awaitable[None]]
"""Sends request number i and returns when its answer is there."""


# ── The contenders ──────────────────────────────────────────────────────────────────────────────────────────────────


def body(i: int) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "user", "content": f"{i} {WORDS}"}],
        "max_tokens": 64,
        "temperature": 1.0,
    }


@asynccontextmanager
async def plain_aiohttp(url: str, at_once: int) -> AsyncIterator[Send]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer key-key-key"}) as session:

        async def send(i: int) -> None:
            async with session.post(f"{url}/chat/completions", json=body(i)) as response:
                answer = await response.json()
            assert answer["choices"]

        yield send


@asynccontextmanager
async def caller(url: str, at_once: int) -> AsyncIterator[Send]:
    from tandem.http import Caller
    from tandem.http.pace import Limits

    ours = Caller(url, {"Authorization": "Bearer key-key-key"}, model="m", limits=Limits(concurrency=at_once))

    async def send(i: int) -> None:
        reply = await ours.post("/chat/completions", body(i))
        assert reply.json["choices"]

    yield send
    await ours.close()


@asynccontextmanager
async def model(url: str, at_once: int) -> AsyncIterator[Send]:
    from tandem.http.pace import Limits
    from tandem.lm.endpoints import Endpoint, able_by_format
    from tandem.lm.model import Model
    from tandem.lm.remote import Remote
    from tandem.store import Store
    from tandem.types import Chat, Message, Sampling

    endpoint = Endpoint(url, "m", "chat", able_by_format("chat"), limits=Limits(concurrency=at_once))
    sampling = Sampling(temperature=1.0, max_tokens=64)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "answers.sqlite") as store:
        async with Model(Remote(endpoint), store=store) as ours:

            async def send(i: int) -> None:
                (completion,) = await ours.generate(Chat((Message("user", f"{i} {WORDS}"),)), sampling)
                assert completion.text

            yield send


@asynccontextmanager
async def openai(url: str, at_once: int) -> AsyncIterator[Send]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="key-key-key", max_retries=0) as client:

        async def send(i: int) -> None:
            answer = await client.chat.completions.create(**body(i))
            assert answer.choices

        yield send


CONTENDERS = {"aiohttp": plain_aiohttp, "caller": caller, "model": model, "openai": openai}


# ── Speed ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def rate(name: str, url: str, options: argparse.Namespace) -> tuple[float, float]:
    """Answers a second after the warm-up, and processor seconds of this process per 1,000 answers."""
    answered = sent = 0
    end = time.monotonic() + options.warm + options.seconds
    async with CONTENDERS[name](url, options.at_once) as send:

        async def worker() -> None:
            nonlocal answered, sent
            while time.monotonic() < end:
                sent += 1
                await send(sent)
                answered += 1

        workers = [asyncio.create_task(worker()) for _ in range(options.at_once)]
        await asyncio.sleep(options.warm)
        before, clock, cpu = answered, time.monotonic(), time.process_time()
        await asyncio.sleep(options.seconds)
        count, seconds, busy = answered - before, time.monotonic() - clock, time.process_time() - cpu
        await asyncio.gather(*workers)
    return count / seconds, busy / max(count, 1) * 1000


def compare(url: str, options: argparse.Namespace) -> None:
    names = [name for name in CONTENDERS if name not in options.skip]
    rates: dict[str, list[float]] = {name: [] for name in names}
    busy: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(options.rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            per_second, cpu = asyncio.run(rate(name, url, options))
            rates[name].append(per_second)
            busy[name].append(cpu)
            print(f"  round {turn + 1}  {name:<8} {per_second:8,.0f} /s   load {os.getloadavg()[0]:.1f}", flush=True)
    print(
        f"{options.at_once} at once, {options.wait:g} s at the server: at most {options.at_once / options.wait:,.0f} /s"
    )
    for name in names:
        ratio = statistics.median(a / b for a, b in zip(rates[name], rates[names[0]], strict=True))
        print(
            f"  {name:<8} median {statistics.median(rates[name]):8,.0f} /s   {ratio:5.2f} × {names[0]}"
            f"   {statistics.median(busy[name]):.2f} s of processor time per 1,000"
        )


# ── Memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def resident() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def memory(name: str, url: str, options: argparse.Namespace) -> None:
    for how, at_once in (("workers", options.at_once), ("coroutines", options.memory)):
        print(f"{options.memory:,} requests through {name}, {at_once:,} {how}: {resident():.1f} MiB before", flush=True)
        async with CONTENDERS[name](url, options.at_once) as send:
            await send_all(send, options.memory, at_once)
        print(f"  {resident():.1f} MiB after", flush=True)


async def send_all(send: Send, total: int, at_once: int) -> None:
    """Send `total` requests by so many coroutines, and print memory ten times on the way."""
    done, began = 0, time.monotonic()
    numbers = iter(range(total))

    async def worker() -> None:
        nonlocal done
        for i in numbers:
            await send(i)
            done += 1
            if done % (total // 10) == 0:
                seconds = time.monotonic() - began
                print(f"  {done:>9,} answered  {resident():8.1f} MiB  {done / seconds:7,.0f} /s", flush=True)
            if at_once == total:
                return

    await asyncio.gather(*(worker() for _ in range(at_once)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=512)
    parser.add_argument("--wait", type=float, default=0.2)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--warm", type=float, default=2.5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--skip", nargs="*", default=[], choices=CONTENDERS)
    parser.add_argument("--memory", type=int, metavar="REQUESTS")
    parser.add_argument("--through", choices=["caller", "model"], default="caller")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.wait, lambda body: ANSWER))
        return
    command = [sys.executable, __file__, "--serve", "--wait", str(options.wait)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout and server.stdin
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        if options.memory:
            asyncio.run(memory(options.through, url, options))
        else:
            compare(url, options)
        server.stdin.close()


if __name__ == "__main__":
    main()
