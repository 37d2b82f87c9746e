"""A look-up is sent once, committed before it is given out, and replays without its source."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field

import pytest

from tandem.errors import SourceFailed, UserError
from tandem.sandbox.rows import QueryInvalid
from tandem.sources.recorded import Recorded, Recorder
from tandem.sources.replayed import Replayed
from tandem.store import Store
from tandem.store.lines import to_line
from tandem.types import Finding, Question, Result, Schema

FOUND = Result((Finding("It rains.", "Weather", 1.5, "almanac", "a.txt:3", "rain", "2024-05-01"),), False, "2024-05-01")


@dataclass
class Almanac:
    """A source that counts what it is asked, and fails as told."""

    fails: list[Exception] = field(default_factory=list)
    name: str = "almanac"
    language: str = "text"
    identity: str = ""
    asked: list[str] = field(default_factory=list)
    slow: float = 0.0
    own: str = ""

    def describe(self):
        self.asked.append("describe")
        return Schema("The weather.", {"rain": "when"})

    def about(self, question):
        return self if not question.context else Almanac(own=question.context[0], asked=self.asked)

    async def look_up(self, query, limit):
        self.asked.append(query)
        await asyncio.sleep(self.slow)
        if self.fails:
            raise self.fails.pop(0)
        return Result((Finding(self.own),), True) if self.own else FOUND if query == "rain" else Result((), True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.db"


def run(path, source, *queries, retry_failed=False):
    """Outcomes of asking, one after the other, through one opening of the store."""

    async def main():
        with Store(path, retry_failed=retry_failed) as store:
            recorded = Recorded(source, Recorder(store))
            outcomes = []
            for query in queries:
                try:
                    outcomes.append(await recorded.look_up(query, 3))
                except (SourceFailed, QueryInvalid) as e:
                    outcomes.append(e)
            return outcomes

    return asyncio.run(main())


def test_a_look_up_is_sent_once_and_comes_back_the_same(path):
    source = Almanac()
    assert run(path, source, "rain", "snow") == [FOUND, Result((), True)]
    assert run(path, source, "rain", "snow", "rain") == [FOUND, Result((), True), FOUND]
    assert source.asked == ["rain", "snow"]


def test_another_limit_is_another_look_up(path):
    source = Almanac()

    async def main():
        with Store(path) as store:
            recorded = Recorded(source, Recorder(store))
            await recorded.look_up("rain", 1)
            await recorded.look_up("rain", 2)

    asyncio.run(main())
    assert source.asked == ["rain", "rain"]


def test_what_a_source_holds_is_part_of_the_key(path):
    old, new = Almanac(identity="a" * 64), Almanac(identity="b" * 64)
    run(path, old, "rain")
    run(path, new, "rain")
    assert (old.asked, new.asked) == (["rain"], ["rain"])


def test_a_failure_is_an_outcome_and_asked_again_only_on_demand(path):
    source = Almanac([SourceFailed("too slow", kind="timeout", where="almanac", remedy="wait")])
    (first,) = run(path, source, "rain")
    (again,) = run(path, source, "rain")
    assert (first.kind, first.problem, first.remedy) == ("timeout", "too slow", "wait")
    assert again.kind == "timeout" and "--retry-failed" in again.remedy
    assert run(path, source, "rain", retry_failed=True) == [FOUND]
    assert run(path, source, "rain") == [FOUND]
    assert source.asked == ["rain", "rain"]


def test_a_query_that_is_wrong_is_remembered_as_that(path):
    source = Almanac([QueryInvalid("no such column", where="cells")])
    for _ in range(2):
        (outcome,) = run(path, source, "rain")
        assert isinstance(outcome, QueryInvalid) and str(outcome) == "cells: no such column"
    assert source.asked == ["rain"]


def test_a_missing_key_is_not_remembered(path):
    source = Almanac([SourceFailed("no", kind="key")])
    assert run(path, source, "rain")[0].kind == "key"
    assert run(path, source, "rain") == [FOUND]


def test_identical_look_ups_under_way_are_one_and_one_who_leaves_disturbs_nobody():
    source = Almanac(slow=0.02)

    async def main():
        recorded = Recorded(source, Recorder(None))
        tasks = [asyncio.create_task(recorded.look_up("rain", 3)) for _ in range(5)]
        await asyncio.sleep(0.005)
        tasks[0].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert others == [FOUND] * 4
    assert source.asked == ["rain"]


def test_a_look_up_that_everybody_left_is_given_up_and_can_be_asked_again():
    source = Almanac(slow=0.05)

    async def main():
        recorded = Recorded(source, Recorder(None))
        task = asyncio.create_task(recorded.look_up("rain", 3))
        await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.sleep(0.01)
        return await recorded.look_up("rain", 3)

    assert asyncio.run(main()) == FOUND
    assert source.asked == ["rain", "rain"]


def test_what_is_given_out_is_committed(path):
    async def main():
        with Store(path) as store, Store(path, read_only=True) as onlooker:
            await Recorded(Almanac(), Recorder(store)).look_up("rain", 3)
            return [lookup.request.name for lookup in onlooker.lookups()]

    assert asyncio.run(main()) == ["almanac"]


def test_a_killed_run_never_asks_twice(path, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        import asyncio, os, signal, sys
        sys.path.insert(0, sys.argv[2])
        from test_recorded import Almanac
        from tandem.sources.recorded import Recorded, Recorder
        from tandem.store import Store

        async def main():
            recorded = Recorded(Almanac(), Recorder(Store(sys.argv[1])))
            for n in range(1000):
                await recorded.look_up(f"query {n}", 3)
                print(n, flush=True)
                if n == 20:
                    os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """)
    )
    here = __file__.rpartition("/")[0]
    killed = subprocess.run([sys.executable, program, path, here], capture_output=True, text=True)
    given = killed.stdout.split()
    assert killed.returncode == -9 and len(given) == 21, killed.stderr
    source = Almanac()
    run(path, source, *(f"query {n}" for n in given))
    assert source.asked == []


# ── Without the source ──────────────────────────────────────────────────────────────────────────────────────────────


def outcome(replayed, query, limit=3):
    async def main():
        try:
            return await replayed.look_up(query, limit)
        except Exception as e:
            return e

    return asyncio.run(main())


def test_a_record_replays_without_the_source(path):
    run(path, Almanac([QueryInvalid("no")]), "bad", "rain", "snow")
    replayed = Replayed.read(str(path))
    assert (replayed.name, replayed.language) == ("almanac", "text")
    assert outcome(replayed, "rain") == FOUND
    assert outcome(replayed, "snow") == Result((), True)
    assert isinstance(outcome(replayed, "bad"), QueryInvalid)


def test_a_missing_look_up_is_named_with_what_comes_near(path):
    run(path, Almanac(), "rain in May")
    replayed = Replayed.read(str(path))
    failure = outcome(replayed, "rain in June")
    assert (failure.kind, failure.problem) == ("not-recorded", "'rain in June' (limit 3) is not recorded")
    assert "rain in May" in failure.remedy and "almanac" in failure.where
    assert "limit 3" in outcome(replayed, "rain in May", 9).remedy


def test_a_description_replays_too(path):
    with Store(path) as store:
        schema = Recorded(Almanac(), Recorder(store)).describe()
    assert Replayed.read(str(path)).describe() == schema == Schema("The weather.", {"rain": "when"})


def test_a_description_comes_from_the_record_in_the_order_it_was_given(path):
    class Shelf(Almanac):
        def describe(self):
            return Schema("Things.", {name: f"the {name}" for name in ("town", "author", "kind", "birth")})

    orders = []
    for _ in range(2):
        with Store(path) as store:
            source = Recorded(Shelf(), Recorder(store))
            orders += [list(source.describe().parts), list(asyncio.run(source.schema()).parts)]
    orders.append(list(Replayed.read(str(path)).describe().parts))
    assert orders == [["town", "author", "kind", "birth"]] * 5


def test_parts_of_questions_replay_each_for_its_own(path):
    questions = [Question(str(n), "rain?", context=(f"It rained {n} times.",)) for n in range(3)]

    async def texts(source):
        return [(await source.about(q).look_up("rain", 1)).findings[0].text for q in questions]

    async def record():
        with Store(path) as store:
            return await texts(Recorded(Almanac(), Recorder(store)))

    assert asyncio.run(record()) == asyncio.run(texts(Replayed.read(str(path)))) == [q.context[0] for q in questions]


def test_lines_replay_as_well_as_a_store(path, tmp_path):
    run(path, Almanac(), "rain")
    lines = tmp_path / "lookups.jsonl"
    with Store(path) as store:
        lines.write_bytes(b"".join(map(to_line, store.lookups())))
    assert json.loads(lines.read_text())["source"] == "almanac"
    assert outcome(Replayed.read(str(lines)), "rain") == FOUND


@pytest.mark.parametrize(
    ("file", "said"),
    [("missing.db", "no such file"), ("two.db", "look-ups of 2 sources"), ("two.db#almanak", "did you mean almanac?")],
)
def test_a_record_that_cannot_be_used_is_said(tmp_path, monkeypatch, file, said):
    monkeypatch.chdir(tmp_path)
    run("two.db", Almanac(), "rain")
    run("two.db", Almanac(name="gazette"), "rain")
    with pytest.raises(UserError) as caught:
        Replayed.read(file)
    assert said in str(caught.value)
    assert Replayed.read("two.db#gazette").name == "gazette"
