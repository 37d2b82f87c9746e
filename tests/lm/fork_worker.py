"""A process that uses a model with a store and forks in the middle of an answer: fork_worker.py FOLDER PATH KIND DOES.

Both processes exit as a program does, not by `os._exit`; the parent prints how many tokens its answers have.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path

from tandem.errors import UserError
from tandem.lm.model import Model
from tandem.store import Store
from tandem.types import Sampling, Text


def load(folder: str, kind: str):
    if kind == "hf":
        from tandem.lm.hf import HuggingFace

        return HuggingFace.load(folder, device="cpu")
    from tandem.lm.local import Local

    return Local.load(folder, precision="fp32", device="cpu")


async def refused(work) -> None:
    try:
        await work
    except UserError as e:
        assert "made in another process" in str(e) and "make a new one" in e.remedy, e
    else:
        raise AssertionError(f"{work} was not refused")


async def ask(model: Model) -> None:
    await refused(model.generate(Text("Miro"), Sampling()))
    await refused(model.score(Text("Miro"), [" lies"]))
    await refused(model.backend.generate(Text("Miro"), Sampling()))
    await refused(model.backend.score(Text("Miro"), [" lies"]))


async def close(model: Model) -> None:
    await model.close()
    await model.backend.close()


def main(folder: str, path: str, kind: str, does: str) -> None:
    store = Store(Path(path))
    model = Model(load(folder, kind), store=store)
    written: list[int] = []

    def answer() -> None:
        sampling = Sampling(temperature=1.0, max_tokens=90, ignore_end=True)
        got = asyncio.run(model.generate(Text("Karo"), sampling, range(30)))
        written.extend(one.usage.completion_tokens for one in got)

    asking = threading.Thread(target=answer)
    asking.start()
    time.sleep(0.05)
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status == 0, f"the child ended with {status}"
        asking.join()
        print(sum(written))
        asyncio.run(model.close())
        store.close()
    elif does == "everything":
        asyncio.run(ask(model))
        asyncio.run(close(model))
        (new,) = asyncio.run(load(folder, kind).generate(Text("Karo"), Sampling(max_tokens=3, ignore_end=True)))
        assert new.usage.completion_tokens == 3


if __name__ == "__main__":
    main(*sys.argv[1:])
