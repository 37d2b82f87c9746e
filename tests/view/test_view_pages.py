"""Pages over runs and items, asked of the real server: what stands in them, and what never does."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from served import Server, Visitor, served

from choice_sample import folder
from tandem.cli.main import main
from tandem.results import Figure, Results, Section, Table
from tandem.runs import Run

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202e'
ITEMS = [
    {"id": f"q{n}", "prompt": f"What is {n}?", "written": f"It is {n % 7}.", "right": n % 3 == 0, "group": "abc"[n % 3]}
    for n in range(120)
]


def items(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(r).encode() + b"\n" for r in records))


def finished(path, title, value, records):
    """A run's folder as commands write it."""
    with Run(path, '[evaluate]\naddress = "embedded"\n\n[moss]\nversion = "1"\n') as run:
        run.event("task begins", task="moss")
        items(path / "moss-items.jsonl", records)
        figure = Figure("moss acc", value, "%", value - 0.1, value + 0.1, 0.25, 120)
        table = Table("A table", ("part", "acc"), (("moss", figure),))
        run.write_results(Results(title, "Measured on moss.", (figure,), (Section("moss", "Moss", "", (table,)),)))
        run.event("task ends", task="moss", complete=True)
    (path / "report.html").write_text("<p>the report")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    finished(root / "one", "First <b>try</b>", 0.31, ITEMS)
    better = [r | {"right": r["right"] or n < 10, "written": "Something else."} for n, r in enumerate(ITEMS)]
    finished(root / "two", "Second try", 0.42, [better[n] for n in range(119, 4, -1)] + [{"id": "new", "right": True}])
    hostile = {
        "id": HOSTILE, "prompt": HOSTILE, "completion": HOSTILE, "outcome": HOSTILE, "kind": HOSTILE,
        "extra": [HOSTILE],
        "trace": {"name": HOSTILE, "facts": {HOSTILE: HOSTILE}, "outcome": HOSTILE, "steps": [{"name": "x\ud800"}]},
    }  # fmt: skip
    items(root / "odd" / "odd-items.jsonl", [hostile, {"id": "long", "prompt": "x" * 300_000}])
    (root / "odd" / "run.json").write_text("{}")
    with (root / "odd" / "odd-items.jsonl").open("ab") as f:
        f.write(b'{"id": broken}\n{"id": "after"}\n{"id": "torn", "prom')
    damaged = root / "damaged"
    damaged.mkdir()
    (damaged / "results.json").write_text('{"title": 7}')
    (root / "foreign" / "deep").mkdir(parents=True)
    (root / "foreign" / "notes.txt").write_text("nothing of ours")
    items(root / "deep" / "er" / "answers.jsonl", [{"id": "a", "prompt": "p", "answers": [{"text": "t"}]}])
    (root / "deep" / "er" / "events.jsonl").write_text('{"event": "stage begins", "at": 1.5, "stage": "s"}\n{"ev')
    items(root.parent / "loose.jsonl", [{"prompt": "no id", "answers": [{"text": "yes", "finish": "length"}]}])
    return root


@pytest.fixture(scope="module")
def server(place) -> Iterator[Server]:
    with served("view", str(place), str(place.parent / "loose.jsonl")) as running:
        yield running


@pytest.fixture(scope="module")
def visitor(server) -> Visitor:
    return Visitor(server.address)


def ids(reply) -> list[str]:
    """The items of a page in order."""
    assert reply.status == 200, reply.text
    return re.findall(r'<td class="id"><a [^>]*>(.*?)</a>', reply.words)


def test_the_list_has_every_run_with_its_figures_and_every_damage_with_its_reason(visitor):
    page = visitor.get("/").words
    assert "First <b>try</b>" in page and "First &lt;b&gt;try&lt;/b&gt;" in visitor.get("/").text
    assert page.index("Second try") < page.index("First"), "the newest comes first"
    assert "31\u202f%" in page.replace(".0", "") and "[21, 41]" in page.replace(".0", "")
    assert "results.json: [0]" in page or "results.json: top" in page or "results.json: not a results file" in page
    assert "it holds none of results.json" in page and str(Path("foreign")) in page
    assert "stopped" in page and "loose.jsonl" in page


@pytest.mark.parametrize("event", ["task ends", "questions end"])
def test_a_run_that_lacks_something_is_complete_with_gaps(tmp_path, event):
    for name, complete in (("whole", True), ("part", False)):
        with Run(tmp_path / name, "[answer]\n") as run:
            run.event(event, complete=complete)
            run.write_results(Results(name, "l", (), ()))
    with served("view", str(tmp_path)) as running:
        page = Visitor(running.address).get("/").words
    assert page.count("complete, with gaps") == 1


def test_the_list_is_searched_and_sorted_by_the_address(visitor):
    assert re.findall(r"data-go>(.*?)</a>", visitor.get("/?find=SECOND+moss").words) == ["Second try"]
    assert re.findall(r"data-go>(.*?)</a>", visitor.get("/?find=try&sort=title").words) == [
        "First <b>try</b>",
        "Second try",
    ]
    assert re.findall(r"data-go>(.*?)</a>", visitor.get("/?find=try&sort=figure").words)[0] == "Second try"
    assert "No run fits" in visitor.get("/?find=nowhere").words


def test_a_run_shows_its_report_its_settings_and_its_items(visitor):
    page = visitor.get("/run/one")
    assert "Measured on moss." in page.words and 'address = "embedded"' in page.words and "A table" in page.words
    assert '/run/one/items/moss-items.jsonl"' in page.text
    file = visitor.get("/run/one/report.html")
    assert file.body == b"<p>the report" and "attachment" in file.headers["content-disposition"]


def test_damaged_runs_and_runs_without_results_are_shown_as_far_as_they_go(visitor):
    assert "cannot be shown" in visitor.get("/run/damaged").words
    page = visitor.get("/run/er").words
    assert "There are no results yet." in page and "stage begins" in page and "answers.jsonl" in page
    assert "holds none of" in visitor.get("/run/foreign").words


def test_items_come_fifty_at_a_time_in_the_files_order(visitor):
    assert ids(visitor.get("/run/one/items/moss-items.jsonl")) == [f"q{n}" for n in range(50)]
    assert ids(visitor.get("/run/one/items/moss-items.jsonl?page=3")) == [f"q{n}" for n in range(100, 120)]
    assert ids(visitor.get("/run/one/items/moss-items.jsonl?page=99")) == [f"q{n}" for n in range(100, 120)]
    assert "33.3\u202f% right [25.5, 42.2]" in visitor.get("/run/one/items/moss-items.jsonl").words


@pytest.mark.parametrize(
    "asked, expected",
    [
        ("q=what+is+11", ["q11", "q110", "q111", "q112", "q113", "q114", "q115", "q116", "q117", "q118", "q119"]),
        ("verdict=right&q=IT+IS+0", [f"q{n}" for n in range(120) if n % 21 == 0]),
        ("is.group=b&verdict=wrong&sort=-id", [f"q{n}" for n in range(118, 0, -3)]),
        ("is.group=nowhere", []),
        ("verdict=none", []),
        ("min.right=1", []),
    ],
)
def test_filters_stand_in_the_address(visitor, asked, expected):
    assert ids(visitor.get(f"/run/one/items/moss-items.jsonl?{asked}")) == expected


def test_an_item_shows_everything_and_leads_to_its_neighbours_within_the_filter(visitor):
    page = visitor.get("/run/one/item/moss-items.jsonl?line=4&verdict=right")
    assert "What is 3?" in page.words and "It is 3." in page.words and "✓ right" in page.words
    assert '"group": "a"' in page.words and "2 of 40 found" in page.words
    following = re.search(r'href="([^"]*)" rel="next"', page.words).group(1)
    assert following == "/run/one/item/moss-items.jsonl?line=7&verdict=right" and "q6" in visitor.get(following).words
    back = re.search(r'href="([^"]*)" data-back', page.words).group(1)
    assert back == "/run/one/items/moss-items.jsonl?verdict=right#line-4"


def test_the_way_back_from_an_item_is_to_its_own_page(visitor):
    page = visitor.get("/run/one/item/moss-items.jsonl?line=71&sort=-id").words
    assert "sort=-id#line-71" in page
    page = visitor.get("/run/one/item/moss-items.jsonl?line=71").words
    assert 'moss-items.jsonl?page=2#line-71"' in page


def test_two_runs_stand_beside_each_other(visitor):
    beside = "with=two/moss-items.jsonl"
    page = visitor.get(f"/run/two/items/moss-items.jsonl?change=fixed&with={quote('one/moss-items.jsonl', safe='')}")
    assert sorted(ids(page)) == ["q5", "q7", "q8"]
    assert "5 only in one" in page.words
    assert ids(visitor.get(f"/run/one/items/moss-items.jsonl?change=only&{beside}")) == ["q0", "q1", "q2", "q3", "q4"]
    item = visitor.get(f"/run/one/item/moss-items.jsonl?line=6&{beside}").words
    assert "It is 5." in item and "Something else." in item and "broken" in item
    assert item.count("What is 5?") == 3, "once as the prompt, once in each record as JSON"
    assert "two does not have this item" in visitor.get(f"/run/one/item/moss-items.jsonl?line=1&{beside}").words


def test_a_run_that_is_not_there_is_set_beside_nothing(visitor):
    for word in ("nowhere/moss-items.jsonl", "two/../one", "two", "/", "two/nothing.jsonl"):
        reply = visitor.get(f"/run/one/items/moss-items.jsonl?with={quote(word, safe='')}&change=fixed")
        assert len(ids(reply)) == 50


def test_what_a_model_wrote_is_never_a_part_of_the_page(visitor):
    for path in (
        "/run/odd/items/odd-items.jsonl",
        f"/run/odd/items/odd-items.jsonl?q={quote('<script>')}&is.kind={quote(HOSTILE)}&sort={quote(HOSTILE)}",
        f"/run/odd/item/odd-items.jsonl?line=1&q={quote(HOSTILE)}",
        f"/?find={quote(HOSTILE)}",
    ):
        reply = visitor.get(path)
        assert reply.status == 200, path
        assert "<script>alert" not in reply.text and "<img" not in reply.text, path
        assert "&lt;script&gt;" in reply.text or "%3Cscript%3E" in reply.text
        shown = re.sub(r'="[^"]*"', "", reply.text)
        assert "\u202e" not in shown, "direction is not turned round"
        assert " style=" not in reply.text and " onclick=" not in reply.text


def test_a_trace_is_a_list_of_steps_within_steps(visitor):
    page = visitor.get("/run/odd/item/odd-items.jsonl?line=1").text
    assert page.count('<ol class="trace">') == 2 and page.count('<li class="step">') == 2


def test_steps_may_have_input_output_and_children_as_well(tmp_path):
    from tandem.view.browse.telling import tell

    steps = [
        {"name": "search", "input": "moss", "output": ["a", "b"], "children": [{"name": "rank", "outcome": "empty"}]}
    ]
    (step,) = tell({"id": "1", "trace": steps}).trace
    assert step.facts == [("input", "moss"), ("output", '["a", "b"]')]
    assert (step.steps[0].name, step.steps[0].outcome) == ("rank", "empty")
    deep = {"name": "0"}
    for n in range(90):
        deep = {"name": str(n), "steps": [deep]}
    shown = tell({"id": "1", "trace": deep}).trace[0]
    while shown.steps:
        shown = shown.steps[0]
    assert shown.more == 1, "what is deeper than a page can show is counted"


def test_broken_lines_are_counted_and_a_torn_one_is_not(visitor):
    page = visitor.get("/run/odd/items/odd-items.jsonl").words
    assert "1 line is no record" in page and "line 3: not JSON" in page
    assert ids(visitor.get("/run/odd/items/odd-items.jsonl"))[1:] == ["long", "after"]


def test_a_very_long_text_is_folded_and_cut_with_a_word(visitor):
    reply = visitor.get("/run/odd/item/odd-items.jsonl?line=2")
    assert "100,000 more characters" in reply.words and len(reply.body) < 900_000


def test_a_file_of_answers_without_ids_is_browsed_by_its_lines(visitor):
    assert ids(visitor.get("/run/loose.jsonl/items/loose.jsonl")) == ["line 1"]
    page = visitor.get("/run/loose.jsonl/item/loose.jsonl?line=1").words
    assert "no id" in page and "ended by length" in page
    assert visitor.get("/run/loose.jsonl").status in (302, 307)


@pytest.mark.parametrize(
    "path",
    [
        "/run/nothing",
        "/run/one/items/nothing.jsonl",
        "/run/one/items/..%2ftwo%2fmoss-items.jsonl",
        "/run/one/items/%2fetc%2fpasswd",
        "/run/one/items/results.json",
        "/run/..%2f..",
        "/run/one/item/moss-items.jsonl?line=999",
        "/run/one/item/moss-items.jsonl?line=x",
        "/run/one/item/moss-items.jsonl",
        "/run/two/report.html/x",
        "/run/er/report.html",
    ],
)
def test_nothing_else_is_served_and_what_is_missing_is_told(visitor, path):
    reply = visitor.get(path)
    assert reply.status == 404
    assert re.search("There is no|has no", reply.words)


def test_a_file_that_grows_is_picked_up_and_one_that_is_replaced_as_well(place, visitor):
    path = place / "growing" / "x-items.jsonl"
    items(path, ITEMS[:2])
    (path.parent / "run.json").write_text("{}")

    def now(expected):
        for _ in range(100):
            reply = visitor.get("/run/growing/items/x-items.jsonl")
            if reply.status == 200 and ids(reply) == expected:
                return True
            time.sleep(0.05)
        return False

    assert now(["q0", "q1"])
    with path.open("a") as f:
        f.write(json.dumps(ITEMS[2]) + "\n" + '{"id": "to')
        f.flush()
        assert now(["q0", "q1", "q2"])
        f.write('rn"}\n')
    assert now(["q0", "q1", "q2", "torn"])
    items(path.with_suffix(".part"), ITEMS[5:7])
    path.with_suffix(".part").replace(path)
    assert now(["q5", "q6"])
    path.unlink()
    for _ in range(100):
        if (reply := visitor.get("/run/growing/items/x-items.jsonl")).status == 404:
            break
        time.sleep(0.05)
    assert reply.status == 404


def test_a_run_at_work_is_seen_by_its_lock_and_not_disturbed(place, visitor):
    if not Path("/proc/locks").exists():
        pytest.skip("NO /proc/locks: whether a process works in a folder is told by its age alone here")
    with Run(place / "busy", "[evaluate]\n") as run:
        os.utime(place / "busy" / "run.json", (1, 1))
        os.utime(place / "busy" / "recipe.toml", (1, 1))
        assert "in progress" in visitor.get("/run/busy").words
        run.event("task begins", task="moss")
    with Run(place / "busy", "[evaluate]\n"):
        pass  # looking did not hold the lock


def test_what_an_evaluation_wrote_is_shown_with_its_choices(tmp_path):
    rules = tmp_path / "r.toml"
    rules.write_text('[[rule]]\nscores = { " some moss" = -0.5 }\nunlisted = -1.0\n')
    data = folder(tmp_path / "data")
    given = ["evaluate", "--tasks", "arc_challenge,mmlu", "--data", str(data), "--model", f"scripted:{rules}"]
    assert main([*given, "--out", str(tmp_path / "run")]) == 0
    with served("view", str(tmp_path / "run")) as running:
        seen = Visitor(running.address)
        page = seen.get("/run/run/items/arc_challenge-items.jsonl")
        assert ids(page) == ["q1", "q2", "q3"]
        page = seen.get("/run/run/item/arc_challenge-items.jsonl?line=1").words
        assert "some moss" in page and "−0.50" in page and "right answer" in page and "chosen" in page
        assert "anatomy" in seen.get("/run/run/items/mmlu-items.jsonl").words
        assert "embedded" not in seen.get("/").words
        said = running.end(signal.SIGINT)
        assert "Traceback" not in said and running.process.returncode == 0


def test_many_parameters_do_no_harm(visitor):
    many = "&".join(f"min.x{n}=1" for n in range(90))
    assert ids(visitor.get(f"/run/one/items/moss-items.jsonl?{many}")) == []


def test_a_place_that_is_not_there_is_an_error(capsys):
    assert main(["view", "/nowhere/at/all"]) == 2
    assert "no such file or folder" in capsys.readouterr().err
