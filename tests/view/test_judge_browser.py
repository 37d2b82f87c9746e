"""`tandem judge` in a real browser: keys are pressed, judgments lie on the disk."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp  # noqa: F401 — the driver needs it
from chromium import Chromium, found
from judge_sample import write
from served import Server, served


def choices(out: Path) -> list[object]:
    return [json.loads(line).get("choice") for line in (out / "judgments.jsonl").read_text().splitlines()[1:]]


def test_keys_judge_go_back_and_write_notes_and_no_script_of_a_model_runs(tmp_path: Path) -> None:
    found()
    asks = [{"id": i, "prompt": f"Question {i}"} for i in range(5)]
    nasty = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    a = write(tmp_path / "a.jsonl", [row | {"output": nasty} for row in asks])
    b = write(tmp_path / "b.jsonl", [row | {"output": "word " * 2000} for row in asks])
    out = tmp_path / "out"
    with served("judge", str(a), str(b), "--out", str(out), "--annotator", "Ann") as server:
        asyncio.run(_press(server, tmp_path, out))


async def _press(server: Server, tmp_path: Path, out: Path) -> None:
    async with Chromium(tmp_path) as page:
        await page.go(server.address)
        await page.until("document.title.startsWith('1 of 5')")
        assert "onerror" in await page.value("document.querySelector('.sides').innerText")
        assert await page.value("document.querySelectorAll('.sides img, .sides script').length") == 0
        for place, (key, choice) in enumerate({"1": "left", "ArrowRight": "right", "3": "tie", "0": "unsure"}.items()):
            await page.press(key)
            await page.until(f"document.title.startsWith('{place + 2} of 5')")
            assert choices(out)[-1] == choice
        # The two held-down repeats judge nothing; a reload loses nothing.
        await page.press("1", repeat=True)
        await page.press("1", repeat=True)
        await page.call("Page.reload")
        await page.until("document.title.startsWith('5 of 5')")
        assert len(choices(out)) == 4
        await page.press("Backspace")
        await page.until("document.title.startsWith('4 of 5')")
        assert await page.value("document.querySelector('[aria-pressed=true]').value") == "unsure"
        # In a note digits are digits, and it outlives a reload.
        await page.press("n")
        for key in "12":
            await page.press(key)
        await page.call("Page.reload")
        await page.until("document.getElementById('note').value === '12'")
        await page.press("2")
        await page.until("document.title.startsWith('5 of 5')")
        last = json.loads((out / "judgments.jsonl").read_text().splitlines()[-1])
        assert (last["choice"], last["note"]) == ("right", "12")
        await page.press("1")
        await page.until("location.pathname.endsWith('/done') && document.activeElement?.tagName === 'BUTTON'")
        await page.press("Enter")
        await page.until("location.pathname.endsWith('/results')")
        assert "judged by people" in await page.value("document.querySelector('h1').innerText")
        assert page.problems == []
    assert choices(out) == ["left", "right", "tie", "unsure", "right", "left", None]
