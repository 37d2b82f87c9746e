"""What sources were asked comes out of the store as it went in, and a failure never stands in a result's place."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from tandem.store import Lookup, Request, Store
from tandem.store.lines import from_lines, to_line

ASK = Request.of("wikipedia\ud800", {"query": "Who wrote it? \ud83d", "limit": 3})
FOUND = Lookup(ASK, {"findings": [{"text": "é \u2028"}], "complete": True}, None, 1.5)
FAILED = Lookup(ASK, None, {"type": "SourceFailed", "kind": "timeout", "problem": "too slow"}, 2.5)


def put(store: Store, *lookups: Lookup) -> list[Lookup]:
    async def putting():
        return [await store.put_lookup(lookup) for lookup in lookups]

    return asyncio.run(putting())


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "answers.db") as opened:
        yield opened


def test_a_lookup_comes_back_as_it_was(store):
    assert put(store, FOUND) == [FOUND]
    assert store.find_lookup(ASK) == FOUND
    assert store.sources() == (ASK.name,)
    assert store.names() == ()


def test_what_stands_is_kept_and_a_failure_gives_way_to_a_result(store):
    put(store, FAILED)
    assert store.find_lookup(ASK) == FAILED
    put(store, FOUND)
    assert put(store, FAILED) == [FOUND]
    assert list(store.lookups()) == [FOUND]


def test_a_failure_recorded_earlier_is_passed_over_only_on_demand(tmp_path):
    with Store(tmp_path / "a.db") as store:
        put(store, FAILED)
        assert store.find_lookup(ASK, retry_failed=True) == FAILED  # of this very run
    with Store(tmp_path / "a.db") as store:
        assert store.find_lookup(ASK) == FAILED
        assert store.find_lookup(ASK, retry_failed=True) is None


def test_a_file_of_before_look_ups_is_read_and_learns_of_them_when_it_is_written(tmp_path):
    path = tmp_path / "old.db"
    Store(path).close()
    with sqlite3.connect(path) as old:
        old.execute("DROP TABLE lookups")
        old.execute("DROP TABLE lookup_failures")
    old.close()
    with Store(path, read_only=True) as store:
        assert (store.find_lookup(ASK), store.sources(), list(store.lookups()), store.stats()) == (None, (), [], {})
    with Store(path) as store:
        assert put(store, FOUND) == [FOUND]


def test_look_ups_leave_and_come_back_as_lines_and_what_stands_stays(store, tmp_path):
    other = Request.of("web", {"query": "x"})
    put(store, FAILED, Lookup(other, {"findings": []}, None, 3.0))
    lines = [to_line(lookup) for lookup in store.lookups()]
    read = list(from_lines(lines, "f", None, lambda *bad: pytest.fail(str(bad))))
    with Store(tmp_path / "b.db") as copy:
        assert copy.add(read) == (2, 0)
        assert copy.add(read) == (0, 2)
        assert [to_line(lookup) for lookup in copy.lookups()] == lines
        put(copy, Lookup(ASK, {"findings": []}, None, 9.0))
        assert copy.add(read) == (0, 2)


def test_sources_are_counted_beside_models(store):
    put(store, FAILED, Lookup(Request.of("web", {"query": "x"}), {"findings": []}, None, 3.0))
    assert store.stats() == {"web": {"look-ups": 1}, ASK.name: {"failed: timeout": 1}}
