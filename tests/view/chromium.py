"""A real browser without a window, driven over its DevTools socket: what a person sees, and keys as they press them.

async with Chromium(tmp_path) as page:
    await page.go(address)
    await page.press("1")
    await page.until("document.title.startsWith('2')")
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CODES = {"Backspace": 8, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Tab": 9}


def found() -> str:
    """The browser's program; skips, and says so, where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("NO BROWSER: neither chromium nor chromium-browser is on the path, so no page is looked at")
    return program


class Chromium:
    """One page."""

    def __init__(self, folder: Path, *, width: int = 1280, height: int = 900) -> None:
        self._profile, self._size = folder / "profile", f"--window-size={width},{height}"
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.problems: list[str] = []
        """Errors of scripts, and what the page's policy has refused."""

    async def __aenter__(self) -> Chromium:
        self._process = await asyncio.create_subprocess_exec(
            found(),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"),
            *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={self._profile}"),
            *(self._size, "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        told = self._profile / "DevToolsActivePort"
        for _ in range(300):
            if told.exists() and len(told.read_text().split("\n")) > 1:
                break
            await asyncio.sleep(0.1)
        port = told.read_text().split("\n")[0]
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as reply:
            target = next(one for one in await reply.json() if one["type"] == "page")
        self._socket = await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0)
        self._reading = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._reading.cancel()
        await self._socket.close()
        await self._session.close()
        self._process.kill()
        await self._process.wait()
        self._process._transport.close()  # not by the garbage collector, when the loop is gone
        await asyncio.sleep(0)

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(told["params"]))
            elif told["method"] == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.problems.append(told["params"]["entry"]["text"])

    async def call(self, method: str, **parameters: Any) -> Any:
        """A DevTools command."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await asyncio.wait_for(self._answers[number], 30)
        assert "error" not in told, told
        return told["result"]

    async def value(self, expression: str) -> Any:
        """What an expression is on the page."""
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return told["result"].get("value")

    async def until(self, expression: str, seconds: float = 15.0) -> None:
        """Wait until an expression is true on a page that has loaded."""
        for _ in range(int(seconds / 0.02)):
            if await self.value(f"document.readyState === 'complete' && Boolean({expression})"):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"never: {expression}; the page says {await self.value('document.body.innerText')!r}")

    async def go(self, address: str) -> None:
        """Open an address and wait for the page it leads to."""
        await self.call("Page.navigate", url=address)
        await self.until("!location.search.includes('key=') && location.href !== 'about:blank'")

    async def press(self, key: str, *, repeat: bool = False) -> None:
        """Press and release a key, or one of its repeats while it is held."""
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        code = CODES.get(key) or ord(key.upper())
        for kind in ("keyDown",) if repeat else ("keyDown", "keyUp"):
            more = {"type": kind, "key": key, "windowsVirtualKeyCode": code, "autoRepeat": repeat}
            await self.call("Input.dispatchKeyEvent", **more, **(text if kind == "keyDown" else {}))

    async def picture(self, file: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """What it looks like."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", features=scheme)
        phone = width < 700
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        await asyncio.sleep(0.2)
        file.write_bytes(base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"]))
