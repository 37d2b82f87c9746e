"""The pages of `tandem judge`, asked as a browser asks them; a real process, a real server."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from judge_sample import QUESTION, answers_of, judge, two_files, write
from served import Server, Visitor, served

from tandem.cli.main import main


def command(folder: Path, out: str, *more: str) -> list[str]:
    return ["judge", str(folder / "alpha.jsonl"), str(folder / "omega.jsonl"), "--out", str(folder / out), *more]


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """One server for those who do not mind the others, each under another name."""
    folder = tmp_path_factory.mktemp("shared")
    two_files(folder, 30)
    with served(*command(folder, "out", "--items", "20")) as server:
        yield folder, server


def pages(address: str, n: int) -> list[bytes]:
    """Everything an annotator gets to see before the end, the token left out."""
    visitor = Visitor(address)
    shown = [visitor.get("/")]
    shown.append(visitor.post("/start", name="Ann"))
    for place in range(1, n + 1):
        shown.append(visitor.get(f"/as/Ann/{place}"))
        shown.append(visitor.post(f"/as/Ann/{place}", choice="left", note="so"))
        shown.append(visitor.get(f"/as/Ann/{place}"))
    shown += [visitor.get("/as/Ann/done"), visitor.get("/as/Ann/results"), visitor.get("/as/Ann/99"), visitor.get("/x")]
    heads = [json.dumps({k: v for k, v in s.headers.items() if k != "date"}).encode() for s in shown]
    return [head + s.body.replace(visitor.token.encode(), b"TOKEN") for head, s in zip(heads, shown, strict=True)]


def test_no_byte_before_the_end_depends_on_what_the_systems_are_called(tmp_path: Path) -> None:
    a, b = two_files(tmp_path, 4)
    other = tmp_path / "xylophone"
    other.mkdir()
    a2, b2 = (path.rename(other / name) for path, name in zip((a, b), ("quagga.jsonl", "zeugma.jsonl"), strict=True))
    two_files(tmp_path, 4)
    with served(*command(tmp_path, "one")) as one:
        first = pages(one.address, 4)
    with served("judge", str(a2), str(b2), "--out", str(tmp_path / "two"), "--names", "quagga", "zeugma") as two:
        second = pages(two.address, 4)
    assert first == second
    assert not any(name in page for page in first for name in (b"alpha", b"omega", b"quagga", b"zeugma", b"xylophone"))


def test_everything_from_the_first_name_to_the_report(tmp_path: Path) -> None:
    two_files(tmp_path)
    with served(*command(tmp_path, "out", "--question", QUESTION)) as server:
        visitor = Visitor(server.address)
        assert QUESTION in visitor.get("/").words
        assert judge(visitor, "Ann") == 6
        assert visitor.get("/as/Ann").headers["location"] == "/as/Ann/done"
        # Nobody is led by results before the end, whatever address is tried.
        for early in ("results", "export.json", "export.csv"):
            assert visitor.get(f"/as/Ann/{early}").status == 403
            assert visitor.get(f"/as/Ben/{early}").status == 403
        assert visitor.post("/as/Ben/finish").status == 409
        assert visitor.post("/as/Ann/finish").headers["location"] == "/as/Ann/results"
        page = visitor.get("/as/Ann/results").words
        assert "Better is alpha in 0\u202f% of the judgments, omega in 67\u202f%; 33\u202f% are ties." in page
        assert visitor.post("/as/Ann/1", choice="tie").status == 409
        assert visitor.get("/as/Ann/1").headers["location"] == "/as/Ann/results"
        assert visitor.get("/as/Ann/export.csv").text.count("omega") >= 4
        assert json.loads(visitor.get("/as/Ann/export.json").text)["finished"] == ["Ann"]
        said = server.end()
    assert server.process.returncode == 0 and "Ann 6 of 6 (finished)" in said
    out = tmp_path / "out"
    assert "judged by people" in (out / "report.html").read_text()
    assert json.loads((out / "results.json").read_text())["kind"] == "Results"
    assert [row["preferred"] for row in lines(out / "items.jsonl")] == ["tie", "omega", "omega"] * 2


def test_a_judgment_is_on_disk_before_the_page_answers_and_a_kill_loses_none(tmp_path: Path) -> None:
    two_files(tmp_path)
    out = tmp_path / "out" / "judgments.jsonl"
    with served(*command(tmp_path, "out")) as server:
        visitor = Visitor(server.address)
        assert judge(visitor, "Ann", most=3) == 3
        server.end(signal.SIGKILL)
    assert len(lines(out)) == 4
    with out.open("a") as f:
        f.write('{"annotator": "Ann", "id": "q')  # as a kill in the middle of a write leaves it
    with served(*command(tmp_path, "out")) as server:
        visitor = Visitor(server.address)
        assert visitor.get("/as/Ann").headers["location"] == "/as/Ann/4"
        assert judge(visitor, "Ann") == 3
    assert [line["id"] for line in lines(out)[1:]] == list(dict.fromkeys(line["id"] for line in lines(out)[1:]))


def test_a_second_process_on_the_same_folder_is_refused(
    shared: tuple[Path, Server], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(shared[0], "out", "--items", "20")) == 2
    assert "another process is working in this run folder" in capsys.readouterr().err


def test_a_form_sent_twice_adds_one_line_and_back_changes_it(shared: tuple[Path, Server]) -> None:
    visitor = Visitor(shared[1].address)
    visitor.get("/as/Di/1")
    for _ in range(2):
        assert visitor.post("/as/Di/1", choice="left").headers["location"] == "/as/Di/2"
    back = visitor.get("/as/Di/1").text
    assert re.search(r'value="left"[^>]*aria-pressed="true"', back)
    assert visitor.post("/as/Di/1", choice="right", note="on second thought").headers["location"] == "/as/Di/2"
    mine = [line for line in lines(shared[0] / "out" / "judgments.jsonl") if line.get("annotator") == "Di"]
    assert [line["choice"] for line in mine] == ["left", "right"]
    assert "on second thought" in visitor.get("/as/Di/1").text


def test_what_no_page_of_ours_sends_is_refused_and_not_kept(shared: tuple[Path, Server]) -> None:
    visitor = Visitor(shared[1].address)
    visitor.get("/as/Eve/1")
    for path in ("/as/Eve/0", "/as/Eve/21", "/as/Eve/x", "/as/Eve%20/1", "/as/%00/1"):
        assert visitor.get(path).status == 404, path
        assert visitor.post(path, choice="left").status in (404, 405), path
    assert visitor.post("/as/Eve/1", choice="up").status == 400
    assert visitor.post("/as/Eve/1").status == 400
    assert visitor.post("/as/Eve/1", choice="left", note="x" * 4001).status == 413
    assert visitor.post("/as/Eve/1", choice="left", note="x" * 70_000).status == 413
    assert visitor.post("/as/Eve/1", {"Origin": "http://evil.example"}, choice="left").status == 403
    assert visitor.post("/as/Eve/1", token="", choice="left").status == 403
    for name in ("a/b", " ", "x" * 41, "a\nb\x00"):
        assert visitor.post("/start", name=name).status == 400, name
    assert not any(line.get("annotator") == "Eve" for line in lines(shared[0] / "out" / "judgments.jsonl"))


def test_two_annotators_see_the_same_items_in_orders_and_sides_of_their_own(shared: tuple[Path, Server]) -> None:
    visitor = Visitor(shared[1].address)
    seen = {who: [answers_of(visitor.get(f"/as/{who}/{n}").text) for n in range(1, 21)] for who in ("Ann", "Ben")}
    assert seen["Ann"] != seen["Ben"]
    assert {frozenset(pair) for pair in seen["Ann"]} == {frozenset(pair) for pair in seen["Ben"]}


def test_what_a_model_wrote_is_text_and_keeps_its_white_space_and_a_long_text_is_folded(tmp_path: Path) -> None:
    nasty = "\n  <script>alert(1)</script>\n\n    </pre><b onclick='x'>bold</b> &amp; \u202eturned {{ 7 * 7 }}\n"
    long = "word " * 3000 + "END"
    row = {"id": "</title><script>", "prompt": "<i>p</i>", "ref": "<u>r"}
    a = write(tmp_path / "a.jsonl", [row | {"output": nasty, "context": long}])
    b = write(tmp_path / "b.jsonl", [row | {"output": ""}])
    more = ("--show", "ref", "--show", "context", "--annotator", "Ann  Lee")
    with served("judge", str(a), str(b), "--out", str(tmp_path / "out"), *more) as server:
        visitor = Visitor(server.address)
        assert visitor.get("/").headers["location"] == "/as/Ann%20Lee"  # the only one begins at once
        page = visitor.get("/as/Ann%20Lee/1")
        assert visitor.get("/as/Eve/1").status == 404
    assert "<script>alert" not in page.text and "<b onclick" not in page.text and "<u>r" not in page.text
    assert nasty.replace("\u202e", "⟨U+202E⟩") in page.words
    assert page.text.count("<script") == 1  # our own, by its file
    assert '<p class="nothing">nothing</p>' in page.text
    assert page.text.count('<details class="fold long">') == 1 and long in page.text
