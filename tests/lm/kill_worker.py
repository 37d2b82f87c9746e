"""A process that asks a model and may be killed at any moment: kill_worker.py STORE DIARY N.

The diary is one file for all processes, a line per event in order: what was sent, what came back to the asker.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from dataclasses import replace

from ledger_backend import ABLE, Ledger, said

from tandem.lm.model import Model
from tandem.store import Store
from tandem.types import Sampling, Text

WARM = Sampling(temperature=1.0)


class Diary:
    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, event: str, question: str, index: int, text: str = "") -> None:
        os.write(self.file, f"{event}\t{question}\t{index}\t{text}\n".encode())


class Paid(Ledger):
    """Every sample that is sent is paid, and unlike any other."""

    def __init__(self, diary: Diary) -> None:
        super().__init__(ABLE)
        self.diary = diary

    async def generate(self, prompt, sampling, samples=range(1)):
        for i in samples:
            self.diary.write("sent", said(prompt), i)
        await asyncio.sleep(random.random() * 0.04)
        answers = await super().generate(prompt, sampling, samples)
        return tuple(replace(answer, text=os.urandom(8).hex()) for answer in answers)


async def main(path: str, diary: Diary, n: int) -> None:
    with Store(path) as store:
        model = Model(Paid(diary), store=store)
        few = asyncio.Semaphore(16)

        async def ask(number: int) -> None:
            async with few:
                question, samples = f"question {number}", range(1 + number % 3)
                for i, answer in zip(samples, await model.generate(Text(question), WARM, samples), strict=True):
                    diary.write("got", question, i, answer.text)

        await asyncio.gather(*map(ask, range(n)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Diary(sys.argv[2]), int(sys.argv[3])))
