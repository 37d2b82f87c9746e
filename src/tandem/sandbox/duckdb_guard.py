"""What a query for DuckDB would do, read off DuckDB's own parse of it.

The engine tells its syntax tree as JSON; the whole tree is walked, so that a change inside a common table expression or
a function five sub-queries down is found under the very name the engine looks up, however it was written. A second
parser (sqlglot) was rejected: it reads another language than the engine runs, in twice the time, and costs 18 MB.
The guard gives a refusal its name. What holds without it is the engine: a transaction that only reads, no external
access, no extensions, a configuration that is locked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tandem.sandbox import answer

_READS = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLES = """range generate_series unnest repeat json_each json_tree summary pragma_table_info duckdb_tables
duckdb_views duckdb_columns duckdb_constraints"""
TABLE_FUNCTIONS = frozenset(_TABLES.split())
"""Functions that stand for a table and read nothing but the data set's own."""
_HARMLESS = "random uuid uuidv4 uuidv7 gen_random_uuid error"
"""Functions that have an effect by the engine's list, and none beyond their value."""
_SESSION = """getvariable current_setting current_query current_query_id current_connection_id current_transaction_id
txid_current pg_sleep sleep_ms write_log parse_duckdb_log_message duckdb_logs_parsed duckdb_profiling_settings
json_serialize_plan json_serialize_sql json_deserialize_sql stats vector_type in_search_path
inet_client_addr inet_client_port inet_server_addr inet_server_port"""
"""Functions that tell of the engine's session, or wait, or write its log."""
_ENGINE_TABLES = ("duckdb_", "pragma_", "pg_settings")
_WORDS = {
    "MULTI": "PIVOT without a list of values",
    "VARIABLE_SET": "SET",
    "LOGICAL_PLAN": "a plan",
    "TRANSACTION": "a transaction",
}

TOO_DEEP = "expression depth limit"
"""What the engine says of too much nesting."""

_calculating: frozenset[str] = frozenset()
_known: frozenset[str] = frozenset()


def learn(functions: Iterable[tuple[str, str, bool | None]]) -> None:
    """Note the engine's functions: name, type, whether calling one has an effect."""
    global _calculating, _known
    known = [(name.lower(), kind, effect) for name, kind, effect in functions]
    _known = frozenset(name for name, _, _ in known)
    kinds = ("scalar", "aggregate", "window", "macro")
    pure = {n for n, kind, effect in known if kind in kinds and not effect and not n.startswith("__internal")}
    _calculating = frozenset(pure | {*_HARMLESS.split()}) - {*_SESSION.split()}


def check(tree: str, query: str, connection: Any) -> None:
    """Raise `Stop` unless the tree (what `json_serialize_sql` gives for the query) is one statement that only reads."""
    told = json.loads(tree)
    if told["error"]:
        raise _not_a_query(told, query, connection)
    statements = told["statements"]
    if not statements:
        raise answer.Stop("invalid", "there is no statement")
    if len(statements) > 1:
        raise answer.Stop("refused", f"only one statement is allowed, these are {len(statements)}")
    for node, stands_for_a_table in _walk(statements[0]):
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _READS:
            word = kind.removesuffix("_NODE").removesuffix("_QUERY")
            raise answer.Stop("refused", f"{word} is not allowed: the tables can only be read")
        if kind == "BASE_TABLE":
            _check_table(str(node.get("table_name") or _last(node)))
        name = node.get("function_name")
        if isinstance(name, str):
            _check_function(name.lower(), stands_for_a_table)


def _walk(tree: Any) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every object of the tree, and whether it is the function of a table function."""
    waiting: list[tuple[Any, bool]] = [(tree, False)]
    while waiting:
        node, marked = waiting.pop()
        if isinstance(node, dict):
            yield node, marked
            table = node.get("type") == "TABLE_FUNCTION"
            waiting += [(value, table and key == "function") for key, value in node.items()]
        elif isinstance(node, list):
            waiting += [(value, False) for value in node]


def _last(node: dict[str, Any]) -> str:
    path = node.get("qualified_name", {}).get("path") or [""]
    return str(path[-1])


def _check_table(name: str) -> None:
    if name.lower().startswith(_ENGINE_TABLES) and name.lower() not in TABLE_FUNCTIONS:
        raise answer.Stop("refused", f"the table {name} is the engine's own and may not be read")


def _check_function(name: str, stands_for_a_table: bool) -> None:
    """A function that the engine does not know is left to its own message."""
    allowed = TABLE_FUNCTIONS if stands_for_a_table else _calculating
    if name in _known and name not in allowed and not (name in TABLE_FUNCTIONS and name in ("range", "unnest")):
        raise answer.Stop("refused", f"the function {name} is not allowed")


def _not_a_query(told: dict[str, Any], query: str, connection: Any) -> answer.Stop:
    """What the engine says of a text that is no query: a mistake, or another kind of statement."""
    try:
        kinds = [str(s.type).rsplit(".", 1)[-1] for s in connection.extract_statements(query)]
    except Exception as error:
        text = str(error)
        if TOO_DEEP in text.lower():
            return answer.Stop("too-large", text.split(". ")[0])
        return answer.Stop("invalid" if told["error_type"] == "parser" else "refused", text)
    if told["error_type"] == "parser" or not kinds:
        return answer.Stop("invalid", told["error_message"])
    other = next((k for k in kinds if k != "SELECT"), kinds[0])
    return answer.Stop("refused", f"{_WORDS.get(other, other)} is not allowed: one SELECT is, and nothing else")
