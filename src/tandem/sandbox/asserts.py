"""Assertions that can say what failed: both sides of a comparison are kept, nothing else about a test changes.

A test's own text is parsed and each `assert` becomes a call with the values of its two sides, as test runners do. Every
other statement runs as written.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from typing import Any

_COMPARE, _CHECK = "__compare__", "__check__"
_OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


class Failed(AssertionError):  # noqa: N818 — an outcome, not a mistake
    """An assertion that does not hold."""

    def __init__(self, statement: ast.Assert, values: tuple[Any, ...], message: Callable[[], Any] | None) -> None:
        super().__init__()
        self.statement = statement
        self.message = "" if message is None else str(message())
        """What the assertion itself says of its failure."""
        self.values = values
        """Left and right side of a comparison; one value, or none, otherwise."""

    @property
    def source(self) -> str:
        """The assertion as text."""
        return ast.unparse(self.statement.test)

    @property
    def equality(self) -> bool:
        """Whether it says that two sides are equal."""
        test = self.statement.test
        return isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)


class Checks:
    """Rewrites assertions; `names` are what the rewritten text refers to."""

    def __init__(self) -> None:
        self._statements: list[ast.Assert] = []
        self.names: dict[str, Any] = {_COMPARE: self._compare, _CHECK: self._check}

    def compile(self, tree: ast.Module, name: str) -> Any:
        """Code of a test whose assertions tell their values."""
        self._statements_of(tree)
        return compile(tree, name, "exec", dont_inherit=True)

    def _statements_of(self, node: ast.AST) -> None:
        """Rewrite the assertions below a node; expressions, which hold none, are not walked."""
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, field, None)
            if isinstance(below, list):
                for i, statement in enumerate(below):
                    if isinstance(statement, ast.Assert):
                        below[i] = self._rewritten(statement)
                    else:
                        self._statements_of(statement)

    def _rewritten(self, node: ast.Assert) -> ast.stmt:
        self._statements.append(node)
        test = node.test
        name, values = _CHECK, [test]
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            name, values = _COMPARE, [test.left, test.comparators[0]]
        place = {k: getattr(node, k) for k in ("lineno", "col_offset", "end_lineno", "end_col_offset")}
        number = ast.Constant(len(self._statements) - 1, **place)
        if node.msg is not None:  # evaluated only where the assertion fails
            nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
            values.append(ast.Lambda(nothing, node.msg, **place))
        call = ast.Call(ast.Name(name, ast.Load(), **place), [number, *values], [], **place)
        return ast.Expr(call, **place)

    def _compare(self, number: int, left: Any, right: Any, message: Callable[[], Any] | None = None) -> None:
        statement = self._statements[number]
        assert isinstance(statement.test, ast.Compare)
        if not _OPERATORS[type(statement.test.ops[0])](left, right):
            raise Failed(statement, (left, right), message)

    def _check(self, number: int, value: Any, message: Callable[[], Any] | None = None) -> None:
        if not value:
            raise Failed(self._statements[number], (value,), message)


def names_in(code: Any) -> Iterator[str]:
    """Names a piece of code and the functions in it look up, attributes among them."""
    yield from code.co_names
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            yield from names_in(constant)
