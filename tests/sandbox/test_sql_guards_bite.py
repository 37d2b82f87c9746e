"""Each guard switched off: what it holds back happens then, where it is harmless; with it on, it does not."""

import asyncio
import contextlib
import hashlib
import http.server
import subprocess
import sys
import threading
import time

import asking
import pytest

from tandem.errors import TandemError
from tandem.sandbox import answer, sqlite_role
from tandem.sandbox.layers import ALL
from tandem.sandbox.queries import Graph, Tables
from tandem.sandbox.rows import QueryInvalid, QueryRefused, QueryTimeout, QueryTooLarge

BARE = set(ALL) - {"limits", "deadline"}
"""Layers of the sandbox to switch off, so that only the engine's own guards are left."""
NESTED = "WITH x AS (INSERT INTO people VALUES (9, 'Eve', 1) RETURNING name) SELECT name FROM x"


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    return asking.sqlite_file(tmp_path_factory.mktemp("sqlite") / "people.db")


@pytest.fixture(scope="module")
def duck(tmp_path_factory):
    return asking.duckdb_file(tmp_path_factory.mktemp("duckdb") / "people.duckdb")


def ask(data, query, off=(), limits=asking.SMALL):
    """Rows, or the error that came."""
    kind = Graph if str(data).endswith(".nt") else Tables

    async def main():
        async with kind(data, workers=1, off=off, limits=limits) as opened:
            try:
                return (await opened.query(query)).rows
            except TandemError as error:
                return error

    return asyncio.run(main())


# ── SQLite ──


def test_without_the_authorizer_vacuum_writes_a_file_although_the_database_is_read_only(sqlite, tmp_path):
    vacuum = f"VACUUM INTO '{tmp_path}/made.db'"
    assert type(ask(sqlite, vacuum, off=BARE)) is QueryRefused
    assert not (tmp_path / "made.db").exists()
    ask(sqlite, vacuum, off={"authorizer", "limits"} | BARE)
    assert (tmp_path / "made.db").exists()


def test_without_the_authorizer_the_sandbox_still_keeps_files_unwritten(sqlite, tmp_path):
    ask(sqlite, f"VACUUM INTO '{tmp_path}/made.db'", off={"authorizer"})
    assert not (tmp_path / "made.db").exists()


def test_without_the_authorizer_paths_and_settings_are_told(sqlite):
    assert type(ask(sqlite, "SELECT file FROM pragma_database_list")) is QueryRefused
    assert ask(sqlite, "SELECT file FROM pragma_database_list", off={"authorizer"}) == ((str(sqlite),),)


def test_without_the_authorizer_the_limits_still_refuse_to_attach(sqlite):
    refused = ask(sqlite, "ATTACH ':memory:' AS z", off={"authorizer"})
    assert "too many attached databases" in str(refused)


def test_without_the_authorizer_a_read_only_file_still_cannot_be_changed(sqlite):
    assert "readonly" in str(ask(sqlite, "DELETE FROM people", off={"authorizer"}))


def test_without_any_of_its_guards_the_file_is_changed(tmp_path):
    file = asking.sqlite_file(tmp_path / "people.db")
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    with contextlib.suppress(Exception):  # the parent sees the change and says so
        ask(file, "DELETE FROM people", off={"authorizer", "read-only"} | BARE)
    assert hashlib.sha256(file.read_bytes()).hexdigest() != before


def test_without_the_limits_a_long_compound_is_answered(sqlite):
    compound = "SELECT 1" + " UNION ALL SELECT 1" * 200
    assert type(ask(sqlite, compound)) is QueryTooLarge
    assert len(ask(sqlite, compound, off={"limits"})) == 201


def test_without_the_interrupt_the_engine_runs_on_and_with_it_stops(sqlite):
    slow = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 3000000) SELECT count(*) FROM r"
    request = {"query": slow, "rows": 1, "bytes": 1000, "wall": 60, "memory": 512 << 20}
    took = time.process_time()
    sqlite_role.prepare({"path": str(sqlite), "off": ["interrupt"]})
    assert b"3000000" in sqlite_role._answer(request | {"cpu": took + 0.01})
    sqlite_role.prepare({"path": str(sqlite), "off": []})
    with pytest.raises(answer.Stop) as stopped:
        sqlite_role._answer(request | {"cpu": took + 0.01})
    assert stopped.value.kind == "timeout"


def test_without_the_interrupt_duckdb_runs_on_and_with_it_stops(duck):
    """In a process of its own: the engine stays prepared in it."""
    program = f"""
from tandem.sandbox import answer, duckdb_role
slow = "SELECT sum(a.i * b.i % 7) FROM range(4000) a(i), range(4000) b(i) WHERE a.i <> b.i"
request = {{"query": slow, "rows": 1, "bytes": 1000, "wall": 60, "cpu": 0.02}}
for off in (["interrupt"], []):
    duckdb_role.prepare({{"path": {str(duck)!r}, "shared": True, "memory": 512 << 20, "off": off}})
    try:
        print(b"rows" in duckdb_role._answer(request))
    except answer.Stop as stop:
        print(stop.kind)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "timeout"]


def test_without_the_interrupt_the_sandbox_still_ends_an_endless_query(sqlite, duck):
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    for data in (sqlite, duck):
        assert type(ask(data, endless, off={"interrupt"})) is QueryTimeout


# ── DuckDB ──


def test_without_the_tree_a_query_in_a_text_is_run(duck):
    assert type(ask(duck, "FROM query('SELECT 42')")) is QueryRefused
    assert ask(duck, "FROM query('SELECT 42')", off={"tree"}) == ((42,),)


def test_without_the_tree_settings_are_told_and_still_not_changed(duck):
    assert ask(duck, "SELECT current_setting('threads')", off={"tree"}) == ((1,),)
    assert "locked" in str(ask(duck, "SET threads = 9", off={"tree"}))


def test_without_the_tree_a_hidden_change_is_refused_by_the_transaction(duck):
    refused = ask(duck, NESTED, off={"tree"})
    assert type(refused) is QueryRefused
    assert "read-only" in str(refused)


def test_without_tree_and_transaction_a_change_happens_and_dies_with_its_run(tmp_path):
    file = asking.duckdb_file(tmp_path / "people.duckdb")
    with asking.tables(file, off={"tree", "read-only"}) as opened:
        assert opened(NESTED).rows == (("Eve",),)
        opened.still_answers()


def test_without_the_configuration_files_of_the_view_are_read_and_others_still_not(duck):
    inside = f"SELECT count(*) FROM read_text('{contextlib.__file__}')"
    assert type(ask(duck, inside, off={"tree"})) is QueryRefused
    assert ask(duck, inside, off={"tree", "configuration"}) == ((1,),)
    outside = "SELECT content FROM read_text('/etc/hostname')"
    found = ask(duck, outside, off={"tree", "configuration"})
    assert found == () or isinstance(found, TandemError)


def test_without_any_guard_and_layer_a_file_outside_is_read_and_written(duck, tmp_path):
    (tmp_path / "secret.txt").write_text("hunter2")
    everything = {"tree", "configuration", "read-only"} | BARE
    assert ask(duck, f"SELECT content FROM read_text('{tmp_path}/secret.txt')", off=everything) == (("hunter2",),)
    ask(duck, f"COPY people TO '{tmp_path}/out.csv'", off=everything)
    assert (tmp_path / "out.csv").read_text().startswith("id,name")
    (tmp_path / "out.csv").unlink()
    for off in ({"tree", "read-only"}, {"configuration", "read-only"}, {"tree", "configuration", "read-only"}):
        assert isinstance(ask(duck, f"COPY people TO '{tmp_path}/out.csv'", off=off), TandemError)
    assert not (tmp_path / "out.csv").exists()


# ── SPARQL ──


@pytest.fixture
def service():
    """A server that answers as a SPARQL endpoint, and the addresses it was asked for."""
    asked = []
    found = b'{"head":{"vars":["s"]},"results":{"bindings":[{"s":{"type":"uri","value":"urn:far"}}]}}'

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "application/sparql-results+json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        do_POST = do_GET  # noqa: N815 — the name the server looks for

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()


@pytest.fixture
def facts(tmp_path):
    (tmp_path / "facts.nt").write_text(asking.GRAPH)
    return tmp_path / "facts.nt"


CALLS = [
    "SELECT ?s { SERVICE SILENT <H> { ?s ?p ?o } }",
    "PREFIX : <H> SELECT ?s { SERVICE:x { ?s ?p ?o } }",
    "PREFIX x: <H> SELECT ?s { FILTER(1<2)SERVICE x:a#>\n{ ?s ?p ?o } }",
    "SELECT ?s { # '\nSERVICE#\"\n<H>{ ?s ?p ?o } }",
]


@pytest.mark.parametrize("call", CALLS)
def test_without_guard_and_network_layers_a_service_is_reached(facts, service, call):
    here, asked = service
    query = call.replace("<H>", f"<{here}>")
    assert ask(facts, query, off={"words"} | BARE) == (("urn:far",),)
    assert len(asked) == 1
    assert type(ask(facts, query, off=BARE)) is QueryRefused
    assert type(ask(facts, query)) is QueryRefused
    ask(facts, query, off={"words"})  # the guard off, the layers on: there is no socket
    assert len(asked) == 1


def test_without_the_guard_a_service_that_cannot_be_reached_gives_a_silently_wrong_answer(facts, service):
    query = f"SELECT ?s {{ ?s <urn:name> ?n FILTER NOT EXISTS {{ SERVICE <{service[0]}> {{ ?s <urn:x> ?o }} }} }}"
    assert type(ask(facts, query)) is QueryRefused
    assert ask(facts, query.replace("NOT EXISTS", "EXISTS"), off={"words"}) == (("urn:ada",),)


def test_without_the_guard_an_update_is_still_no_query(facts):
    assert type(ask(facts, "INSERT DATA { <urn:a> <urn:b> <urn:c> }", off={"words"})) is QueryInvalid
