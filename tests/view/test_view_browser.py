"""The pages over runs in a real browser: typing searches, keys move, what is written meanwhile comes in by itself."""

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from chromium import Chromium, found
from served import served

ITEMS = [
    {"id": f"q{n}", "prompt": f"What is {n}?", "written": f"It is {n}.", "right": n % 3 == 0, "group": "ab"[n % 2]}
    for n in range(130)
]
FIRST = "document.querySelector('[data-row] .id a')?.textContent"
AT = "document.querySelector('[data-row].at .id a')?.textContent"


@pytest.fixture
def file(tmp_path):
    found()
    path = tmp_path / "runs" / "one" / "x-items.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in ITEMS))
    (path.parent / "run.json").write_text("{}")
    return path


def visit(path, tmp_path, story):
    """Tell a story to a browser on the pages of a run; no page may break its own policy."""

    async def told(address):
        async with Chromium(tmp_path) as page:
            await page.go(address)
            parts = urlsplit(address)
            await page.go(f"{parts.scheme}://{parts.netloc}/run/one/items/x-items.jsonl")
            await page.until(f"{FIRST} === 'q0'")
            await story(page)
            assert page.problems == []

    with served("view", str(path.parents[1])) as server:
        asyncio.run(told(server.address))


async def write(page, text):
    for letter in text:
        await page.press(letter)


def test_typing_searches_keys_move_and_the_address_keeps_it_all(file, tmp_path):
    async def story(page):
        await page.press("/")
        await write(page, "is 12")
        await page.until(f"{FIRST} === 'q12' && location.search === '?q=is+12'")
        await page.press("Escape")
        await page.press("j")
        await page.press("j")
        await page.until(f"{AT} === 'q120'")
        await page.press("k")
        await page.until(f"{AT} === 'q12'")
        await page.press("Enter")
        await page.until("document.title.startsWith('q12 ')")
        await page.press("n")
        await page.until("document.title.startsWith('q120 ')")
        await page.press("k")
        await page.until("document.title.startsWith('q12 ')")
        await page.press("u")
        await page.until("location.hash === '#line-13' && location.search === '?q=is+12'")
        await page.press("j")
        await page.until(f"{AT} === 'q120'", 5)
        await page.value("document.querySelector('[name=verdict][value=wrong]').click()")
        await page.until("location.search === '?q=is+12&verdict=wrong' && " + f"{FIRST} === 'q121'")
        before = await page.value("document.querySelector('#found').innerText")
        await page.go(await page.value("location.href"))
        assert await page.value("document.querySelector('#found').innerText") == before, (
            "the address is the whole state"
        )

    visit(file, tmp_path, story)


def test_pages_turn_by_keys_and_columns_sort_by_clicks(file, tmp_path):
    async def story(page):
        await page.press("n")
        await page.until(f"{FIRST} === 'q50'")
        await page.press("n")
        await page.until(f"{FIRST} === 'q100'")
        await page.press("p")
        await page.until(f"{FIRST} === 'q50'")
        await page.value("[...document.querySelectorAll('th a')].find(a => a.textContent === 'id').click()")
        await page.until(f"{FIRST} === 'q129' && location.search === '?sort=-id'")
        await page.press("u")
        await page.until("location.pathname === '/run/one'")
        await page.press("u")
        await page.until("location.pathname === '/'")
        await page.press("j")
        await page.press("Enter")
        await page.until("location.pathname === '/run/one'")

    visit(file, tmp_path, story)


def test_what_is_written_meanwhile_comes_in_without_loading_and_typing_goes_on(file, tmp_path):
    async def story(page):
        await page.value("window.stayed = true")
        await page.press("/")
        await write(page, "new")
        await page.until("document.querySelector('#found').innerText.includes('No item fits')")
        with file.open("a") as f:
            f.write(json.dumps({"id": "fresh", "prompt": "A new one", "right": True, "group": "c"}) + "\n")
        await page.until(f"{FIRST} === 'fresh'")
        assert await page.value("window.stayed && document.activeElement.name === 'q'")
        assert (
            await page.value("[...document.querySelectorAll('[name=\"is.group\"] option')].map(o => o.value).join()")
            == ",a,b,c"
        )
        assert await page.value("document.querySelector('mark').textContent") == "new"

    visit(file, tmp_path, story)


def test_no_page_is_wider_than_the_window(file, tmp_path):
    choice = {"choices": ["c" * 400, "d"], "gold": 1, "prediction": 0, "logprobs": [-1, -2]}
    wide = {"id": "w" * 300, "prompt": "x" * 5000} | choice
    file.write_text("".join(json.dumps(r) + "\n" for r in [*ITEMS[:3], wide]))

    async def story(page):
        base = await page.value("location.origin")
        for path in ("/", "/run/one", "/run/one/items/x-items.jsonl?q=x", "/run/one/item/x-items.jsonl?line=4"):
            await page.go(base + path)
            for width in (390, 1280):
                await page.picture(tmp_path / "page.png", width=width, height=900)
                assert await page.value("document.documentElement.scrollWidth <= innerWidth"), (path, width)

    visit(file, tmp_path, story)
