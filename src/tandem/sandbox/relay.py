"""A sandbox at the end of a pipe: requests as lines of JSON on standard input, what came of them on standard output.

`python -m tandem.sandbox.relay` runs inside a container, where it is the parent of warm processes of its own, with all
layers the container allows. `Relayed` is the other end. The verdict is still made outside the program's process, and
read here as plain data.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tandem.errors import Failure
from tandem.sandbox.limits import Limits
from tandem.sandbox.verdict import Ran, TestResult, Tests, Verdict, infrastructure

_LONGEST_LINE = 64 << 20


class Relayed:
    """A sandbox behind a command that starts the relay; used like `Sandbox`."""

    def __init__(self, command: Sequence[str], *, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._command = list(command)
        self._process: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._errors = bytearray()
        self._count = 0

    async def examine(self, program: str, tests: Tests, limits: Limits | None = None) -> Verdict:
        """Whether a program passes tests."""
        request = {"examine": program, "tests": asdict(tests), "limits": asdict(limits or self.limits)}
        try:
            told = await self._ask(request)
        except _Gone as error:
            return infrastructure(str(error))
        return Verdict(**told | {"results": tuple(TestResult(**r) for r in told["results"])})

    async def run(self, program: str, *, stdin: str = "", limits: Limits | None = None) -> Ran:
        """Run a program as a script."""
        try:
            return Ran(**await self._ask({"run": program, "stdin": stdin, "limits": asdict(limits or self.limits)}))
        except _Gone as error:
            return Ran("infrastructure", -1, "", "", 0, str(error), 0, 0, 0)

    async def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        await self._start()
        assert self._process is not None and self._process.stdin is not None
        self._count += 1
        number = self._count
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._process.stdin.write(json.dumps({"id": number} | dict(request)).encode() + b"\n")
            await self._process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise _Gone(f"the relay has gone: {error}") from None
        told: dict[str, Any] = await answer
        return told

    async def _start(self) -> None:
        if self._process is not None:
            return
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=pipe, limit=_LONGEST_LINE
            )
        except OSError as error:
            raise Failure(f"cannot start {self._command[0]}: {error.strerror}", where="sandbox") from None
        self._reader = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None and process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        while line := await process.stdout.readline():
            told = json.loads(line)
            answer = self._waiting.pop(told.pop("id"))
            if not answer.done():
                answer.set_result(told)
        said = (await errors).decode("utf-8", "replace").strip().splitlines()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_Gone(f"the relay ended: {' '.join(said[:2]) or 'it said nothing'}"))
        self._waiting.clear()

    async def __aenter__(self) -> Relayed:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await self._process.stdin.wait_closed()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 10)
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
        if self._reader is not None:
            await self._reader
        if self._process is not None:  # its pipes would be closed by the garbage collector, when the loop is gone
            self._process._transport.close()  # type: ignore[attr-defined]
            await asyncio.sleep(0)


class _Gone(Exception):  # noqa: N818 — a named outcome
    """The relay has ended."""


async def serve() -> None:
    """Answer requests until standard input closes."""
    from tandem.sandbox.pool import Sandbox

    loop = asyncio.get_running_loop()
    requests = asyncio.StreamReader(limit=_LONGEST_LINE)
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    # the container is the boundary that is asked for; inside it every layer it allows is put on besides
    async with Sandbox(required=("limits", "deadline")) as sandbox:
        running: set[asyncio.Task[None]] = set()
        while line := await requests.readline():
            task = asyncio.create_task(_answer(sandbox, json.loads(line)))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    pipe.close()


async def _answer(sandbox: Any, request: dict[str, Any]) -> None:
    limits = Limits(**request["limits"])
    if "run" in request:
        told = asdict(await sandbox.run(request["run"], stdin=request["stdin"], limits=limits))
    else:
        tests = request["tests"]
        tests = Tests(**tests | {"tests": tuple(tests["tests"]), "entry": tuple(tests["entry"])})
        told = asdict(await sandbox.examine(request["examine"], tests, limits))
    sys.stdout.write(json.dumps({"id": request["id"]} | told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
