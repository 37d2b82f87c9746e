"""From files to tables: what can be opened, what is left untouched, what is kept, what is said of useless files."""

import asyncio
import contextlib
import datetime
import decimal
import gzip
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import asking
import duckdb
import pytest

from tandem.errors import Failure, UserError
from tandem.sandbox.queries import Tables


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "tandem"


def refused(data):
    async def main():
        async with Tables(data, workers=1):
            raise AssertionError("opened")

    with pytest.raises(UserError) as caught:
        asyncio.run(main())
    return str(caught.value)


# ── SQLite files that are not at rest ──


def test_a_log_of_a_writer_at_work_is_read_and_its_folder_left_alone(tmp_path):
    file = asking.sqlite_file(tmp_path / "people.db")
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO people VALUES (4, 'Dora', 1990)")
        assert Path(f"{file}-wal").stat().st_size
        with asking.tables(file) as opened:
            assert opened("SELECT name FROM people WHERE id = 4").rows == (("Dora",),)
            opened._healthy = ("SELECT count(*) FROM people", ((4,),))
            opened.error("DELETE FROM people")
        writer.execute("INSERT INTO people VALUES (5, 'Eli', 1991)")  # the copy held no lock


def test_a_log_that_a_writer_left_behind_is_read_without_touching_it(tmp_path):
    file = asking.sqlite_file(tmp_path / "people.db")
    left = tmp_path / "left"
    left.mkdir()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO people VALUES (4, 'Dora', 1990)")
        for end in ("", "-wal"):
            shutil.copyfile(f"{file}{end}", f"{left}/people.db{end}")
    with asking.tables(left / "people.db") as opened:
        assert opened("SELECT name FROM people WHERE id = 4").rows == (("Dora",),)
    assert sorted(p.name for p in left.iterdir()) == ["people.db", "people.db-wal"]


def test_a_database_in_log_mode_at_rest_is_read_in_place(tmp_path):
    file = asking.sqlite_file(tmp_path / "people.db")
    with contextlib.closing(sqlite3.connect(file)) as made:
        made.execute("PRAGMA journal_mode = WAL")
    assert [p.name for p in tmp_path.iterdir()] == ["people.db"]
    with asking.tables(file) as opened:
        assert opened("SELECT count(*) FROM people").rows == ((3,),)


def test_a_change_that_was_cut_off_is_taken_back_in_the_copy(tmp_path):
    file = asking.sqlite_file(tmp_path / "people.db")
    left = tmp_path / "left"
    left.mkdir()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size = 1")
        writer.execute("BEGIN")
        writer.execute("UPDATE people SET name = 'gone'")
        writer.execute("UPDATE many SET i = -1")  # more than the cache holds: written to the file before the commit
        for end in ("", "-journal"):
            shutil.copyfile(f"{file}{end}", f"{left}/people.db{end}")
        writer.execute("ROLLBACK")
    with asking.tables(left / "people.db") as opened:
        assert opened("SELECT name FROM people ORDER BY id").rows == (("Ada",), ("Bob",), ("Cleo",))
        assert opened("SELECT max(i) FROM many").rows == ((asking.MANY - 1,),)


def test_data_that_changes_under_a_query_is_a_failure(tmp_path):
    file = asking.sqlite_file(tmp_path / "people.db")

    async def main():
        async with Tables(file, workers=1) as opened:
            assert len(await opened.query("SELECT * FROM people")) == 3
            with contextlib.closing(sqlite3.connect(file)) as writer:
                writer.execute("DELETE FROM people WHERE id = 1")
                writer.commit()
            with pytest.raises(Failure, match="changed since it was opened"):
                await opened.query("SELECT * FROM people")

    asyncio.run(main())


def test_a_file_that_only_its_owner_may_read_can_be_asked(tmp_path):
    file = asking.sqlite_file(tmp_path / "people.db")
    file.chmod(0o600)
    duck = asking.duckdb_file(tmp_path / "people.duckdb")
    duck.chmod(0o600)
    for data in (file, duck):
        with asking.tables(data) as opened:
            opened.still_answers()


def test_search_tables_work(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "texts.db")) as made:
        made.execute("CREATE VIRTUAL TABLE texts USING fts5 (body)")
        made.executemany("INSERT INTO texts VALUES (?)", [("the red fox",), ("a blue bird",)])
        made.execute("CREATE TABLE people (id INTEGER)")
        made.commit()
    with asking.tables(tmp_path / "texts.db") as opened:
        found = opened("SELECT highlight(texts, 0, '[', ']') FROM texts WHERE texts MATCH 'fox' ORDER BY bm25(texts)")
        assert found.rows == (("the red [fox]",),)
        assert set(opened.describe().parts) == {"texts", "people"}


def test_a_text_that_is_not_utf_8_is_read_with_marks_in_its_place(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "old.db")) as made:
        made.execute("CREATE TABLE people AS SELECT CAST(x'C4647A' AS TEXT) AS name, x'FF00' AS raw")
        made.commit()
    with asking.tables(tmp_path / "old.db") as opened:
        assert opened("SELECT name, raw FROM people").rows == (("\ufffddz", b"\xff\x00"),)


# ── files that become tables ──


def test_csv_parquet_and_json_become_a_table_each(tmp_path):
    (tmp_path / "people.csv").write_text("id,name,born\n1,Ada,1815-12-10\n2,Bob,\n3,Cleo,1900-01-01\n")
    with gzip.open(tmp_path / "pets.tsv.gz", "wt") as file:
        file.write("name\tkind\nRex\tdog\n")
    (tmp_path / "2-rooms.jsonl").write_text('{"room": 1, "tags": ["a", "b"]}\n{"room": 2, "tags": []}\n')
    duckdb.sql("SELECT 1.50::DECIMAL(4, 2) AS price, {'x': 1, 'y': 'z'} AS pair").write_parquet(
        str(tmp_path / "goods.parquet")
    )
    files = [tmp_path / name for name in ("people.csv", "pets.tsv.gz", "2-rooms.jsonl", "goods.parquet")]
    with asking.tables(files) as opened:
        assert opened("SELECT born FROM people ORDER BY id").rows[:2] == ((datetime.date(1815, 12, 10),), (None,))
        assert opened("SELECT * FROM pets").rows == (("Rex", "dog"),)
        assert opened('SELECT tags FROM "t_2_rooms" ORDER BY room').rows == ((["a", "b"],), ([],))
        assert opened("SELECT * FROM goods").rows == ((decimal.Decimal("1.50"), {"x": 1, "y": "z"}),)
        assert set(opened.describe().parts) == {"people", "pets", "t_2_rooms", "goods"}


def test_files_are_made_into_tables_once_and_again_when_they_change(tmp_path, cache):
    file = tmp_path / "people.csv"
    file.write_text("id,name\n1,Ada\n2,Bob\n3,Cleo\n")
    for _ in range(2):
        with asking.tables(file) as opened:
            opened.still_answers()
    assert len(list((cache / "tables").iterdir())) == 1
    file.write_text("id,name\n1,Ada\n2,Bob\n3,Dora\n")
    with asking.tables(file) as opened:
        assert opened("SELECT name FROM people WHERE id = 3").rows == (("Dora",),)
    assert len(list((cache / "tables").iterdir())) == 2


def test_two_that_make_the_same_tables_at_once_both_get_them(tmp_path):
    file = tmp_path / "people.csv"
    file.write_text("id,name\n1,Ada\n2,Bob\n3,Cleo\n")
    found = []

    def one():
        async def main():
            async with Tables(file, workers=1) as opened:
                found.append((await opened.query("SELECT id FROM people ORDER BY id")).rows)

        asyncio.run(main())

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [asking.IDS] * 3


def test_a_large_set_is_opened_by_each_run_and_answers_the_same(tmp_path, monkeypatch):
    file = asking.duckdb_file(tmp_path / "people.duckdb")
    query = "SELECT name, sum(i) FROM people JOIN many ON i % 3 + 1 = id GROUP BY name ORDER BY name"
    with asking.tables(file) as opened:
        shared = opened(query).rows
    monkeypatch.setattr("tandem.sandbox.datasets.SHARED_TABLES", -1)
    with asking.tables(file) as opened:
        assert opened(query).rows == shared
        assert opened._opened._dataset.settings["shared"] is False


def test_a_duckdb_file_with_a_log_beside_it_is_read_with_it(tmp_path):
    file = asking.duckdb_file(tmp_path / "people.duckdb")
    left = tmp_path / "left"
    left.mkdir()
    with contextlib.closing(duckdb.connect(str(file))) as writer:
        writer.execute("SET checkpoint_threshold = '1GB'")
        writer.execute("INSERT INTO people VALUES (4, 'Dora', 1990)")
        for end in ("", ".wal"):
            shutil.copyfile(f"{file}{end}", f"{left}/people.duckdb{end}")
    with asking.tables(left / "people.duckdb") as opened:
        assert opened("SELECT name FROM people WHERE id = 4").rows == (("Dora",),)
    assert sorted(p.name for p in left.iterdir()) == ["people.duckdb", "people.duckdb.wal"]


# ── what is said ──


def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "torn.db").write_bytes(b"SQLite format 3\x00" + os.urandom(2000))
    (tmp_path / "bad.json").write_text("{]")
    (tmp_path / "a.b.csv").write_text("x\n1\n")
    (tmp_path / "a_b.csv").write_text("x\n1\n")
    assert "No such file" in refused(tmp_path / "nothing.db")
    assert "names no kind of table" in refused(tmp_path / "notes.txt")
    assert "cannot be used" in refused(tmp_path / "torn.db")
    assert "cannot become a table" in refused(tmp_path / "bad.json")
    assert "two files would be the table a_b" in refused([tmp_path / "a.b.csv", tmp_path / "a_b.csv"])
    assert "no file" in refused([])


def test_nothing_stays_open_of_a_file_that_is_no_database(tmp_path):
    """What the collector would close later is by then the number of another file."""
    torn = tmp_path / "torn.db"
    torn.write_bytes(b"SQLite format 3\x00" + bytes(2000))
    look = f"""
import gc, sqlite3
from tandem.sandbox import sqlite_role
gc.disable()
sqlite_role.prepare({{"path": {str(torn)!r}, "off": []}})
held = [one for one in gc.get_objects() if isinstance(one, sqlite3.Connection)]
for one in held:
    try:
        one.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        continue
    raise SystemExit("a connection is still open")
raise SystemExit(not sqlite_role._problem)
"""
    subprocess.run([sys.executable, "-c", look], check=True)


def test_a_guard_that_is_none_is_named_with_those_there_are(tmp_path):
    with pytest.raises(UserError, match="authorizer"):
        Tables(tmp_path / "x.db", off=["armour"])


def test_tables_that_are_not_open_say_how_to_open_them(tmp_path):
    with pytest.raises(Failure, match="async with"):
        asyncio.run(Tables(tmp_path / "x.db").query("SELECT 1"))


def test_a_description_has_tables_columns_keys_and_sizes(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as made:
        made.executescript(
            "CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
            'CREATE TABLE people (id INTEGER PRIMARY KEY, city INTEGER REFERENCES city (id), "odd "" name" REAL);'
            "CREATE VIEW names AS SELECT name FROM city; INSERT INTO city VALUES (1, 'Rome');"
        )
    with asking.tables(tmp_path / "s.db") as opened:
        schema = opened.describe()
    assert schema.summary.startswith("A SQLite database of 3 tables")
    assert schema.parts["city"] == "id INTEGER, name TEXT, PRIMARY KEY (id); 1 rows"
    assert "city REFERENCES city(id)" in schema.parts["people"]
    assert schema.parts["names"] == "name TEXT; a view"
    with asking.tables(asking.duckdb_file(tmp_path / "people.duckdb")) as opened:
        schema = opened.describe()
    assert schema.parts["people"] == "id INTEGER, name VARCHAR, born INTEGER, PRIMARY KEY(id); 3 rows"


def test_nothing_found_is_an_answer(tmp_path):
    for file in (asking.sqlite_file(tmp_path / "people.db"), asking.duckdb_file(tmp_path / "people.duckdb")):
        with asking.tables(file) as opened:
            found = opened("SELECT id, name FROM people WHERE id > 99")
            assert (found.columns, found.rows, found.complete, len(found)) == (("id", "name"), (), True, 0)
            assert found.seconds > 0
            assert opened("SELECT * FROM people", rows=0).complete is False
            assert opened("SELECT * FROM people", rows=3).complete is True


def test_many_queries_at_once_each_get_their_own_answer(tmp_path):
    async def main(file):
        async with Tables(file, workers=2) as opened:
            found = await asyncio.gather(
                *(opened.query(f"SELECT {n} + id FROM people WHERE id = 1") for n in range(40))
            )
            assert [rows.rows for rows in found] == [((n + 1,),) for n in range(40)]

    for file in (asking.sqlite_file(tmp_path / "people.db"), asking.duckdb_file(tmp_path / "people.duckdb")):
        asyncio.run(main(file))


def test_importing_the_room_loads_no_engine():
    import subprocess
    import sys

    engines = {"duckdb", "pyoxigraph", "xxhash"}
    program = f"import sys, tandem.sandbox, tandem.sandbox.queries; print(sorted({engines} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_values_come_as_pythons_own(tmp_path):
    with asking.tables(asking.duckdb_file(tmp_path / "people.duckdb")) as opened:
        row = opened(
            "SELECT 170141183460469231731687303715884105727::HUGEINT, 'infinity'::DOUBLE, true, 'ab'::BLOB, [1, NULL], "
            "INTERVAL 3 DAYS, TIMESTAMP '2020-01-02 03:04:05.678', TIME '10:00', MAP {'a': 1.5}, "
            "TIMESTAMPTZ '2020-01-01 00:00:00+02', '2f4ed0a1-0000-4000-8000-000000000000'::UUID"
        ).rows[0]
    assert row[:5] == (2**127 - 1, float("inf"), True, b"ab", [1, None])
    assert row[5:8] == (datetime.timedelta(days=3), datetime.datetime(2020, 1, 2, 3, 4, 5, 678000), datetime.time(10))
    assert row[8] == {"a": decimal.Decimal("1.5")}
    assert row[9] == datetime.datetime(2019, 12, 31, 22, tzinfo=datetime.UTC)
    assert row[10] == "2f4ed0a1-0000-4000-8000-000000000000"
