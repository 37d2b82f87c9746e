"""Two files of answers to the same questions, and somebody who judges them by what they say."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from served import Visitor

QUESTION = "Which answer is more factual?"


def write(file: Path, rows: list[dict[str, object]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def two_files(folder: Path, n: int = 6) -> tuple[Path, Path]:
    """The first system's answers are plain, the second's are emphatic; every third pair is alike."""
    folder.mkdir(exist_ok=True)
    ask = [{"id": f"q{i}", "question": f"What is number {i}?"} for i in range(n)]
    plain = [row | {"answer": f"It is {i}."} for i, row in enumerate(ask)]
    loud = [row | {"answer": f"It is {i}." if i % 3 == 0 else f"It is {i}, surely!"} for i, row in enumerate(ask)]
    return write(folder / "alpha.jsonl", plain), write(folder / "omega.jsonl", loud)


def answers_of(page: str) -> tuple[str, str]:
    """Both answers on a page of an item, left and right."""
    found = re.findall(r'<h2 id="answer-\d">.*?</h2>\s*<pre>\n(.*?)</pre>', page, re.DOTALL)
    left, right = (html.unescape(text) for text in found)
    return left, right


def likes_loud(left: str, right: str) -> str:
    """Prefers the emphatic answer."""
    return "tie" if left == right else "left" if left.endswith("!") else "right"


def judge(visitor: Visitor, name: str, most: int = 1000) -> int:
    """Begin or go on as somebody who likes it loud; returns how many items were judged."""
    visitor.get("/")
    here = visitor.post("/start", name=name).headers["location"]
    for n in range(most):
        page = visitor.get(visitor.get(here).headers["location"])
        if 'id="choose"' not in page.text:
            return n
        place = re.search(r'action="(/as/[^"]+/\d+)"', page.text).group(1)  # type: ignore[union-attr]
        assert visitor.post(place, choice=likes_loud(*answers_of(page.text))).status == 303
    return most
