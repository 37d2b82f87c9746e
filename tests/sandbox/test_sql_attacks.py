"""Attacks by SQL, one a test: nothing written, nothing told, the error has the right name, the next query works."""

import asking
import pytest

from tandem.sandbox.rows import QueryInvalid, QueryRefused, QueryTimeout, QueryTooLarge


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory):
    with asking.tables(asking.sqlite_file(tmp_path_factory.mktemp("sqlite") / "people.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def duck(tmp_path_factory):
    with asking.tables(asking.duckdb_file(tmp_path_factory.mktemp("duckdb") / "people.duckdb")) as opened:
        yield opened


@pytest.fixture(scope="module")
def duck_in_place(tmp_path_factory):
    """A DuckDB file that each run opens itself, as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tandem.sandbox.datasets.SHARED_TABLES", -1)
        file = asking.duckdb_file(tmp_path_factory.mktemp("place") / "people.duckdb")
        with asking.tables(file) as opened:
            yield opened


@pytest.fixture
def both(sqlite, duck, duck_in_place):
    return sqlite, duck, duck_in_place


def named(opened, kind, query, says=""):
    error = opened.error(query)
    assert type(error) is kind, f"{query[:60]}: {error!r}"
    assert says.lower() in str(error).lower(), str(error)


# ── changes ──


def test_insert_is_refused_by_name(both):
    for opened in both:
        named(opened, QueryRefused, "INSERT INTO people VALUES (9, 'Eve', 1)", "INSERT")


def test_update_is_refused_by_name(both):
    for opened in both:
        named(opened, QueryRefused, "UPDATE people SET name = 'Eve'", "UPDATE")


def test_delete_is_refused_by_name(both):
    for opened in both:
        named(opened, QueryRefused, "DELETE FROM people", "DELETE")


def test_create_table_is_refused(both):
    for opened in both:
        named(opened, QueryRefused, "CREATE TABLE extra (a INTEGER)")
        named(opened, QueryRefused, "CREATE TABLE extra AS SELECT 1 AS a")


def test_a_temporary_table_is_refused(both):
    for opened in both:
        named(opened, QueryRefused, "CREATE TEMP TABLE extra (a INTEGER)")


def test_drop_and_alter_are_refused(both):
    for opened in both:
        named(opened, QueryRefused, "DROP TABLE people")
        named(opened, QueryRefused, "ALTER TABLE people ADD COLUMN x INTEGER")


def test_a_change_behind_a_common_table_expression_is_refused(both):
    for opened in both:
        named(opened, QueryRefused, "WITH x AS (SELECT 9 AS a) INSERT INTO people SELECT a, 'Eve', 1 FROM x", "INSERT")


def test_a_change_inside_a_common_table_expression_is_refused(duck, duck_in_place, sqlite):
    for change in ("INSERT INTO people VALUES (9, 'E', 1)", "DELETE FROM people", "UPDATE people SET born = 1"):
        hidden = f"SELECT (WITH x AS ({change} RETURNING id) SELECT count(*) FROM x)"
        for opened in (duck, duck_in_place):
            named(opened, QueryRefused, f"WITH x AS ({change} RETURNING *) SELECT * FROM x", change.split()[0])
            named(opened, QueryRefused, hidden, change.split()[0])
        named(sqlite, QueryInvalid, f"WITH x AS ({change} RETURNING *) SELECT * FROM x", "syntax error")


def test_a_view_a_trigger_and_an_index_are_refused(sqlite, duck):
    named(sqlite, QueryRefused, "CREATE VIEW v AS SELECT 1")
    named(sqlite, QueryRefused, "CREATE TRIGGER g AFTER DELETE ON people BEGIN SELECT 1; END")
    named(sqlite, QueryRefused, "CREATE INDEX x ON people (name)")
    named(duck, QueryRefused, "CREATE VIEW v AS SELECT 1")
    named(duck, QueryRefused, "CREATE INDEX x ON people (name)")


def test_functions_of_ones_own_are_refused(duck):
    named(duck, QueryRefused, "CREATE FUNCTION f(x) AS x + 1", "CREATE")
    named(duck, QueryRefused, "CREATE MACRO f(x) AS TABLE SELECT * FROM read_text(x)", "CREATE")


def test_transactions_are_refused(both):
    for opened in both:
        named(opened, QueryRefused, "BEGIN")
        assert type(opened.error("COMMIT")) in (QueryRefused, QueryInvalid)


def test_prepared_statements_are_refused(duck):
    named(duck, QueryRefused, "PREPARE q AS DELETE FROM people", "PREPARE")
    named(duck, QueryRefused, "EXECUTE q", "EXECUTE")


# ── other files ──


def test_attach_is_refused(both, tmp_path):
    for opened in both:
        named(opened, QueryRefused, f"ATTACH '{tmp_path}/made.db' AS z", "ATTACH")
        named(opened, QueryRefused, "ATTACH ':memory:' AS z", "ATTACH")
    assert not list(tmp_path.iterdir())


def test_detach_is_refused(both):
    for opened in both:
        named(opened, QueryRefused, "DETACH main", "DETACH")


def test_vacuum_into_a_file_is_refused(sqlite, tmp_path):
    named(sqlite, QueryRefused, f"VACUUM INTO '{tmp_path}/made.db'", "VACUUM")
    named(sqlite, QueryRefused, "VACUUM", "VACUUM")
    assert not list(tmp_path.iterdir())


def test_copy_and_export_are_refused(duck, duck_in_place, tmp_path):
    for opened in (duck, duck_in_place):
        named(opened, QueryRefused, f"COPY people TO '{tmp_path}/out.csv'", "COPY")
        named(opened, QueryRefused, f"COPY (SELECT 1) TO '{tmp_path}/out.parquet' (FORMAT parquet)", "COPY")
        named(opened, QueryRefused, f"EXPORT DATABASE '{tmp_path}/out'", "EXPORT")
        named(opened, QueryRefused, f"IMPORT DATABASE '{tmp_path}/out'")
    assert not list(tmp_path.iterdir())


def test_extensions_are_refused(duck, sqlite):
    named(duck, QueryRefused, "INSTALL httpfs")
    named(duck, QueryRefused, "LOAD '/tmp/x.duckdb_extension'", "LOAD")
    named(sqlite, QueryRefused, "SELECT load_extension('/tmp/x.so')", "load_extension")


READERS = ["read_csv", "read_csv_auto", "read_parquet", "parquet_scan", "read_json", "read_text", "read_blob", "glob"]
READERS += ["read_duckdb", "sniff_csv", "parquet_schema", "parquet_kv_metadata", "read_ndjson_objects"]


@pytest.mark.parametrize("reader", READERS)
def test_a_function_that_reads_files_is_refused(duck, duck_in_place, reader):
    for opened in (duck, duck_in_place):
        named(opened, QueryRefused, f"SELECT * FROM {reader}('/etc/passwd')", reader)


def test_a_file_in_the_place_of_a_table_is_not_read(both):
    for opened in both:
        for name in ("/etc/passwd", "/etc/passwd.csv", "http://127.0.0.1:9/x.parquet", "s3://bucket/x.csv"):
            assert type(opened.error(f"SELECT * FROM '{name}'")) in (QueryRefused, QueryInvalid)


def test_a_name_in_quotes_is_the_same_name(sqlite, duck):
    named(duck, QueryRefused, "SELECT * FROM \"read_text\"('/etc/passwd')", "read_text")
    named(duck, QueryRefused, "SELECT * FROM system.main.read_text('/etc/passwd')", "read_text")
    for quoted in ('"load_extension"', "[load_extension]", "`LOAD_extension`"):
        named(sqlite, QueryRefused, f"SELECT {quoted}('x')", "load_extension")


def test_comments_between_the_words_hide_nothing(sqlite, duck):
    named(duck, QueryRefused, "SELECT * FROM/**/read_text/* x */\n--y\n('/etc/passwd')", "read_text")
    named(sqlite, QueryRefused, "/* SELECT */ INSERT/**/INTO people VALUES (9, 'E', 1)", "INSERT")
    assert sqlite("SELECT 1 /* ; DROP TABLE people */ -- ; DROP TABLE people").rows == ((1,),)


def test_a_query_within_a_text_is_refused(duck):
    named(duck, QueryRefused, "FROM query('SELECT * FROM read_text(''/etc/passwd'')')", "query")
    named(duck, QueryRefused, "FROM query_table('people')", "query_table")
    named(duck, QueryRefused, "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))", "not allowed")


def test_a_name_built_of_characters_stays_a_text(both):
    (sqlite, *ducks) = both
    assert sqlite("SELECT char(68, 82, 79, 80) || x'20'").rows == (("DROP ",),)
    for duck in ducks:
        assert duck("SELECT chr(68) || chr(82) || 'OP'").rows == (("DROP",),)


def test_the_environment_is_not_told(both):
    for opened in both:
        named(opened, QueryInvalid, "SELECT getenv('HOME')", "getenv")


def test_the_functions_of_a_shell_do_not_exist(sqlite):
    for call in ("readfile('/etc/passwd')", "writefile('/tmp/x', 'y')", "edit('x')"):
        named(sqlite, QueryInvalid, f"SELECT {call}", "no such function")


def test_pointers_into_memory_are_not_taken(duck):
    for call in ("arrow_scan(1, 2, 3)", "pandas_scan(1)", "python_map_function(1)"):
        named(duck, QueryRefused, f"SELECT * FROM {call}", "not allowed")


def test_variables_of_the_surrounding_program_are_no_tables(duck):
    frame = [1]  # noqa: F841 — what a query might name
    named(duck, QueryInvalid, "SELECT * FROM frame", "does not exist")
    named(duck, QueryInvalid, "SELECT * FROM request", "does not exist")


# ── settings, and what the engine knows of itself ──


def test_settings_cannot_be_changed(duck, duck_in_place):
    for opened in (duck, duck_in_place):
        for change in ("SET memory_limit = '99GB'", "RESET memory_limit", "SET enable_external_access = true"):
            named(opened, QueryRefused, change)
        named(opened, QueryRefused, "PRAGMA threads = 9")
        named(opened, QueryRefused, "USE memory")


def test_pragmas_that_change_are_refused(sqlite):
    for change in (
        "journal_mode = DELETE",
        "user_version = 5",
        "writable_schema = 1",
        "query_only = 0",
        "temp_store = 1",
    ):
        named(sqlite, QueryRefused, f"PRAGMA {change}", "PRAGMA")


def test_pragmas_as_tables_are_refused_unless_they_tell_of_tables(sqlite):
    for table in (
        "pragma_user_version",
        "pragma_database_list",
        "pragma_journal_mode('delete')",
        "dbstat",
        "sqlite_stmt",
    ):
        named(sqlite, QueryRefused, f"SELECT * FROM {table}")
    assert [row[1] for row in sqlite("SELECT * FROM pragma_table_info('people')").rows] == ["id", "name", "born"]
    assert [row[1] for row in sqlite("PRAGMA table_info(people)").rows] == ["id", "name", "born"]


def test_settings_secrets_and_paths_are_not_told(duck, duck_in_place):
    for opened in (duck, duck_in_place):
        for table in ("duckdb_settings()", "duckdb_secrets()", "duckdb_databases()", "duckdb_extensions()"):
            named(opened, QueryRefused, f"SELECT * FROM {table}", table[:-2])
        for table in ("duckdb_settings", "pragma_database_list", "duckdb_logs", "pg_settings"):
            assert type(opened.error(f"SELECT * FROM {table}")) in (QueryRefused, QueryInvalid)
        named(opened, QueryRefused, "SELECT current_setting('secret_directory')", "current_setting")
        named(opened, QueryRefused, "SELECT getvariable('x')", "getvariable")


def test_the_names_of_tables_may_be_read(both):
    for opened in both:
        assert {"people", "many"} <= {row[0] for row in opened("SELECT name FROM sqlite_master").rows}


def test_what_writes_a_log_or_counts_a_sequence_is_refused(duck):
    for call in ("write_log('x')", "nextval('s')", "setval('s', 1)", "setseed(0.5)", "sleep_ms(10)"):
        named(duck, QueryRefused, f"SELECT {call}", "not allowed")


# ── one statement ──


def test_several_statements_are_refused(both):
    for opened in both:
        named(opened, QueryRefused, "SELECT 1; SELECT 2")
        named(opened, QueryRefused, "SELECT 1; DROP TABLE people")
        assert opened("SELECT 1;").rows == ((1,),)


def test_no_statement_is_invalid(both):
    for opened in both:
        for nothing in ("", "  ", "-- SELECT 1", ";"):
            named(opened, QueryInvalid, nothing)


def test_letters_that_look_alike_are_no_keywords(both):
    for opened in both:
        for text in (
            "ＤＲＯＰ TABLE people",
            "ＳＥＬＥＣＴ 1",
            "ѕelect 1",
            "SEL\u200bECT 1",
            "DR\u00adOP TABLE people",
        ):
            named(opened, QueryInvalid, text, "syntax error")


def test_a_null_character_ends_nothing(both):
    for opened in both:
        try:
            found = opened("SELECT 1\0; DROP TABLE people").rows
        except (QueryInvalid, QueryRefused):
            found = ()
        assert found in ((), ((1,),))
        opened.still_answers()


# ── bombs ──


def test_an_endless_recursion_is_ended(both):
    for opened in both:
        endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
        named(opened, QueryTimeout, endless, "processor time")


def test_an_endless_recursion_gives_its_first_rows(both):
    for opened in both:
        found = opened("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r", rows=3)
        assert (found.rows, found.complete) == (((1,), (2,), (3,)), False)


def test_a_product_of_many_rows_is_ended(both):
    for opened in both:
        error = opened.error("SELECT sum(a.i * b.i + c.i % 7) FROM many a, many b, many c WHERE a.i + b.i <> c.i")
        assert type(error) in (QueryTimeout, QueryTooLarge)


def test_a_huge_value_is_refused_by_its_size(sqlite, duck):
    for call in (
        "zeroblob(1000000000)",
        "length(randomblob(1000000000))",
        "replace(hex(zeroblob(9000000)), '0', hex(zeroblob(99)))",
    ):
        named(sqlite, QueryTooLarge, f"SELECT {call}", "too big")
    for call in ("length(repeat('x', 2000000000))", "printf('%1000000000d', 1)", "len(range(1000000000))"):
        named(duck, QueryTooLarge, f"SELECT {call}", "memory")


def test_a_width_of_gigabytes_is_nothing(sqlite):
    assert sqlite("SELECT printf('%1000000000d', 1)").rows == ((None,),)


def test_a_text_joined_of_all_rows_is_ended(both):
    for opened in both:
        error = opened.error(
            "SELECT group_concat(a.i || '-' || b.i || '------------------') FROM many a, many b, many c"
        )
        assert type(error) in (QueryTimeout, QueryTooLarge)


def test_deep_nesting_is_refused(both):
    for opened in both:
        for deep in ("(" * 5000 + "1" + ")" * 5000, "+".join(["1"] * 5000), "NOT " * 5000 + "1"):
            assert type(opened.error(f"SELECT {deep}")) in (QueryTooLarge, QueryInvalid)
    named(sqlite := both[0], QueryTooLarge, "SELECT 1" + " UNION ALL SELECT 1" * 500, "too many terms")
    sqlite.still_answers()


def test_a_deep_subquery_is_refused_or_answered(both):
    for opened in both:
        try:
            assert opened("SELECT * FROM (" * 400 + "SELECT 1" + ")" * 400).rows == ((1,),)
        except (QueryTooLarge, QueryInvalid):
            opened.still_answers()


def test_a_text_that_is_too_long_is_refused_before_it_runs(both):
    for opened in both:
        named(opened, QueryTooLarge, f"SELECT 1 -- {'x' * 300_000}", "characters")


def test_a_huge_list_is_answered(both):
    for opened in both:
        numbers = ",".join(map(str, range(20_000)))
        assert opened(f"SELECT id FROM people WHERE id IN ({numbers}) ORDER BY id").rows == asking.IDS


def test_a_huge_limit_gives_the_rows_asked_for(both):
    for opened in both:
        found = opened("SELECT a.i FROM many a, many b LIMIT 1000000000000", rows=7)
        assert (len(found), found.complete) == (7, False)


def test_one_giant_value_is_left_out_whole(both):
    (sqlite, *ducks) = both
    found = sqlite("SELECT hex(zeroblob(2000000))")
    assert (found.rows, found.complete, len(found.columns)) == ((), False, 1)
    for duck in ducks:
        found = duck("SELECT repeat('x', 4000000) AS value")
        assert (found.rows, found.complete, found.columns) == ((), False, ("value",))


def test_rows_end_before_the_byte_limit_is_passed(both):
    for opened in both:
        text = "hex(zeroblob(5000))" if opened is both[0] else "repeat('x', 10000)"
        found = opened(f"SELECT {text} FROM many", rows=MANY_ROWS)
        assert not found.complete
        assert 50 < len(found) < 110
        assert {len(row[0]) for row in found.rows} == {10_000}


MANY_ROWS = 3000


def test_names_of_columns_cannot_fill_the_answer(both):
    for opened in both:
        columns = ", ".join(f'1 AS "{"x" * 90}{i}"' for i in range(1500))
        try:
            assert len(opened(f"SELECT {columns}").columns) == 1500
        except (QueryTooLarge, QueryInvalid):
            opened.still_answers()


def test_a_pattern_without_end_is_linear_or_ended(sqlite, duck):
    assert duck("SELECT regexp_matches(repeat('a', 50000) || '!', '^(a+)+$')").rows == ((False,),)
    named(duck, QueryInvalid, "SELECT regexp_matches('x', '((a{1,1000}){1,1000}){1,1000}')", "repetition")
    named(sqlite, QueryTimeout, "SELECT instr(hex(zeroblob(20000000)), hex(zeroblob(9000000)) || '1')")
    named(sqlite, QueryTooLarge, f"SELECT 'a' LIKE '{'%a' * 2000}'", "too")


def test_a_window_over_everything_is_answered_or_ended(both):
    for opened in both:
        wide = "sum(a.i) OVER (ORDER BY a.i % 7, b.i ROWS BETWEEN 5000 PRECEDING AND 5000 FOLLOWING EXCLUDE TIES)"
        try:
            assert opened(f"SELECT max(s) FROM (SELECT {wide} AS s FROM many a, many b)").complete
        except (QueryTimeout, QueryTooLarge):
            opened.still_answers()


def test_json_that_is_nested_without_end_is_invalid(both):
    for opened in both:
        assert type(opened.error(f"SELECT json_extract('{'[' * 100_000}', '$')")) in (QueryInvalid, QueryTooLarge)


def test_a_value_that_is_nested_too_deep_is_refused(duck):
    named(duck, QueryTooLarge, f"SELECT {'[' * 240}1{']' * 240}")


# ── what a model can mend ──


def test_a_mistake_has_the_engines_own_words(sqlite, duck):
    named(sqlite, QueryInvalid, "SELECT nam FROM people", "no such column: nam")
    named(sqlite, QueryInvalid, "SELECT * FROM persons", "no such table: persons")
    named(sqlite, QueryInvalid, "SELEC 1", 'near "SELEC": syntax error')
    named(duck, QueryInvalid, "SELECT nam FROM people", 'Candidate bindings: "name"')
    named(duck, QueryInvalid, "SELECT * FROM person", 'Did you mean "people"')
    named(duck, QueryInvalid, "SELEC 1", "syntax error at or near")
    named(duck, QueryInvalid, "SELECT CAST('x' AS INTEGER)", "Could not convert")
    named(duck, QueryInvalid, "SELECT error('SELECT')", "SELECT")
