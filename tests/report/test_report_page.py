from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_sample import RECIPE, results, write_run

from tandem import report
from tandem.report.page import MECHANISM
from tandem.results import Curve, Example, Figure, Mark, Results, Section, Series, Table, to_json
from tandem.runs import Run
from tandem.text import fingerprint

HOSTILE = [
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</title></textarea></pre></svg><iframe src=//host.example>",
    "{{ 7*7 }}{% for x in y %}<!--",
    "]]> <![CDATA[ &lt;b&gt; &#x3C;b> \x00\x0b\x1b[31m",
    "a\u202etxt.exe\u2066 \ud800 \udfff \uffff",
    "javascript:alert(1)",
]


class Tags(HTMLParser):
    """Start tags with their attributes, and the text outside `style`."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not (self.open and self.open[-1] == "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def with_words(value: Any, change: Any) -> Any:
    """The same results with every string replaced, apart from the names tables and figures are looked up by."""
    if isinstance(value, Table):
        fresh = tuple(change(c) for c in value.columns)
        bars = fresh[value.columns.index(value.bars)] if value.bars else None
        rows = tuple(tuple(with_words(c, change) for c in row) for row in value.rows)
        return Table(change(value.title), fresh, rows, change(value.note), bars)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if f.name != "unit"]
        return dataclasses.replace(value, **{n: with_words(getattr(value, n), change) for n in names})
    if isinstance(value, tuple):
        return tuple(with_words(v, change) for v in value)
    return change(value) if isinstance(value, str) else value


def page_of(folder: Path, found: Results, recipe: str = RECIPE) -> str:
    return report.render(write_run(folder, found, recipe))


def page_full_of(words: str, folder: Path) -> str:
    """A page whose every text begins with these words: results, names of stages, versions, recipe."""
    comment = "# " + "".join(c for c in words if c.isprintable()) + "\n"
    write_run(folder, recipe=comment + RECIPE)
    found = to_json(with_words(results(), lambda s: words + s))
    (folder / "results.json").write_text(json.dumps(found))
    (folder / "run.json").write_text(json.dumps({words: words, "tandem": words, "host": {"cores": words}}))
    with (folder / "events.jsonl").open("a") as events:
        events.write(json.dumps({"event": words, "at": 1_762_000_999.0, "stage": words}) + "\n")
    return report.render(folder)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report.render(write_run(tmp_path_factory.mktemp("sample") / "run"))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_string_in_every_field_makes_the_same_elements_as_a_harmless_one(
    hostile: str, tmp_path: Path
) -> None:
    harmless = re.sub(r"[^\s%]", "x", hostile)
    bad, good = (Tags(page_full_of(words, tmp_path / name)) for name, words in (("bad", hostile), ("good", harmless)))
    assert [(tag, set(at)) for tag, at in bad.tags] == [(tag, set(at)) for tag, at in good.tags]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.text(st.characters(exclude_categories=()), min_size=1, max_size=40))
def test_any_text_at_all_is_written_as_a_page_of_valid_unicode(words: str, tmp_path_factory: Any) -> None:
    found = Results(
        words, words, (Figure(words, 0.5, words, 0.4, 0.6, 0.5, 3, words),), (_everything(words),), ((words, words),)
    )
    folder = tmp_path_factory.mktemp("any") / "run"
    with Run(folder, "") as run:
        run.event("note")
    (folder / "results.json").write_text(json.dumps(to_json(found)))
    page = report.render(folder)
    assert page.encode().decode() == page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page)
    assert {tag for tag, _ in Tags(page).tags}.isdisjoint({"script", "img", "iframe", "object", "embed", "form"})


def _everything(words: str) -> Section:
    table = Table(words, (words, words + "2"), ((words, Figure(words, 0.5, "%", 0.4, 0.6)), (words, 3)), words, words)
    curve = Curve(words, words, words, (Series(words, (1.0, 2.0), (1.0, 2.0)),), (Mark(1.5, words),), True, words)
    return Section(words, words, words, (table, curve, Example(words, words, ((words, words),), words, (True,))))


def test_the_page_asks_for_nothing_from_anywhere(sample: str) -> None:
    allowed = {"data:,"}
    for tag, attributes in Tags(sample).tags:
        assert tag not in {"script", "img", "iframe", "object", "embed", "form", "base", "audio", "video"}
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "srcset", "style"}]
        for name in ("href", "xlink:href", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith("#") or target in allowed
    assert "@import" not in sample and "url(" not in sample


def test_the_policy_admits_this_style_sheet_and_nothing_else(sample: str) -> None:
    policy = next(a["content"] for t, a in Tags(sample).tags if t == "meta" and "http-equiv" in a)
    style = sample.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "unsafe" not in policy and "script-src" not in policy


def test_title_lead_and_headline_come_before_the_first_chapter(sample: str) -> None:
    words = Tags(sample).text
    places = [
        words.index(w) for w in ("own text", "answers 81 %", "81.2", "[77.1, 84.8]", "chance 18.3", "Where was Miran")
    ]
    assert places == sorted(places)


def test_every_chapter_of_the_results_is_shown_in_order_and_linked_from_the_contents(sample: str) -> None:
    tags = Tags(sample).tags
    links = [a["href"] for t, a in tags if t == "a"]
    anchors = ["#" + str(a["id"]) for t, a in tags if t in {"section", "footer"}]
    assert links == anchors
    assert len(anchors) == len(results().sections) + 3


def test_every_anchor_is_unique_even_when_keys_are_not(tmp_path: Path) -> None:
    twice = Results("t", "l", sections=(Section("a", "one"), Section("a", "two"), Section("?", "three")))
    anchors = [a["id"] for t, a in Tags(page_of(tmp_path / "run", twice)).tags if t == "section"]
    assert len(set(anchors)) == len(anchors)


def test_outputs_stand_side_by_side_with_a_verdict_in_words(sample: str) -> None:
    verdicts = re.findall(r'<div class="output (\w*)"><p class="who">(\w+ \w+)', sample)
    assert verdicts[:4] == [
        ("wrong", "before tuning"),
        ("right", "after tuning"),
        ("", "before tuning"),
        ("wrong", "after tuning"),
    ]
    assert sample.count("✓ right") == 1 and sample.count("✗ wrong") == 2


def test_a_long_answer_is_folded_and_whole(tmp_path: Path) -> None:
    long = "\n".join(f"line {i}" for i in range(200))
    found = Results("t", "l", sections=(Section("examples", "e", items=(Example("x", "p", (("m", long),)),)),))
    page = page_of(tmp_path / "run", found)
    assert long in page and '<details class="fold">' in page


def test_time_and_tokens_of_every_stage_are_told_from_the_events(sample: str) -> None:
    words = Tags(sample).text
    for part in ("evaluation 23 s", "1.20 M 13,430 3.388 interrupted once", "Total 3 min 38 s"):
        assert part in words


def test_the_record_holds_fingerprint_versions_host_and_the_whole_recipe(sample: str) -> None:
    words = Tags(sample).text
    for part in (fingerprint(RECIPE), "2.13.0", "host cores", "recipe fingerprint"):
        assert part in words
    assert re.sub(r"\s+", " ", RECIPE).strip() in words


@pytest.mark.parametrize(
    ("recipe", "labelled"),
    [
        ("[world]\nseed = 7\n", True),
        ('[sources.a]\npath = "world:passages"\n', True),
        ('[tuning]\ndata = "world"\n', True),
        ('title = "worldly"\n[sources.a]\npath = "~/world"\n', False),
        ("", False),
    ],
)
def test_results_on_the_made_up_world_are_labelled_mechanism(recipe: str, labelled: bool, tmp_path: Path) -> None:
    assert (MECHANISM in page_of(tmp_path / "run", results(), recipe)) is labelled


def test_a_run_with_nothing_but_a_title_still_renders(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(to_json(Results("Only a title", ""))))
    words = Tags(report.render(tmp_path)).text
    assert "Only a title" in words and "Time and tokens" not in words and "How to go on" not in words


def test_an_empty_table_and_an_empty_curve_render(tmp_path: Path) -> None:
    empty = Section(
        "x", "x", items=(Table("none", ("a", "b"), (), bars="b"), Curve("none", "x", "y", ()), Example("e", "", ()))
    )
    assert "no points to draw" in page_of(tmp_path / "run", Results("t", "l", sections=(empty,)))


def test_the_same_folder_gives_the_same_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert report.render(run) == report.render(run)


def test_write_puts_the_page_into_the_folder(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = report.write(run)
    assert path == run / "report.html" and path.read_text() == report.render(run)


def test_only_the_first_table_explains_how_to_read_intervals(sample: str) -> None:
    assert sample.count("Point and line: value and 95 % interval.") == 1
