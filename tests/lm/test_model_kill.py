"""Killed at any moment and begun again, a run loses no answer and pays for none twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tandem.store import Store

WORKER = [sys.executable, str(Path(__file__).with_name("kill_worker.py"))]


@pytest.mark.parametrize("together", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_and_begun_again_no_answer_is_lost_and_none_is_paid_for_twice(tmp_path, together):
    path, diary, n = tmp_path / "answers.db", tmp_path / "diary", 300
    diary.touch()
    draw, kills = random.Random(together), 0
    while True:
        running = [subprocess.Popen([*WORKER, path, diary, str(n)]) for _ in range(together)]
        if kills < 5:
            seen = diary.stat().st_size
            while diary.stat().st_size == seen and running[0].poll() is None:
                time.sleep(0.002)  # they are at work
            time.sleep(draw.random() * 0.12)
        else:
            for process in running:
                process.wait(60)
        kills += 1
        for process in running:
            process.kill()
        if all(process.wait() == 0 for process in running):
            break
    lines = [line.split("\t") for line in diary.read_text().splitlines()]
    texts: dict[tuple[str, str], str] = {}
    sent: Counter[tuple[str, str]] = Counter()
    for event, question, index, text in lines:
        sample = (question, index)
        if event == "sent":
            sent[sample] += 1
            assert together > 1 or sample not in texts, f"{sample} was paid for again after it had come"
        else:
            assert texts.setdefault(sample, text) == text, f"{sample} changed"
    assert len(texts) == sum(1 + number % 3 for number in range(n))
    assert kills > 2 and max(sent.values()) <= kills * together
    with Store(path, read_only=True) as store:
        recorded = {
            (record.request.body.split('"')[5], str(record.index)): record.outcome.text for record in store.records()
        }
    assert recorded == texts
