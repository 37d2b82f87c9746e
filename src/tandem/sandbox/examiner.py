"""Inside the examiner: run tests against a program that lives in another process, and report each as a line of JSON.

The examiner never executes a line of the program. It holds the tests, sends arguments, receives plain data and compares
that. Tests come as code with assertions, or as calls with the expected value as text (the form of personalised
distillation).
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import math
import os
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tandem.sandbox import plain
from tandem.sandbox.asserts import Checks, Failed, names_in
from tandem.sandbox.remote import Broken, Died, Program, Remote, is_module

_KEPT = 2000


def examine(channel: plain.Channel, tests: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
    """Run the tests in order up to the first that does not pass (or all, with `tests["all"]`), one report each."""
    random.seed(0)
    program = Program(channel)
    space: dict[str, Any] = {"__name__": "tests"}
    try:
        _examine(tests, program, space, report)
    finally:  # what refers to itself would stay in a process that is kept: nothing collects it there
        space.clear()
        program.forget()


def _examine(
    tests: dict[str, Any], program: Program, space: dict[str, Any], report: Callable[[dict[str, Any]], None]
) -> None:
    setup: Any = compile("", "<tests>", "exec")
    bodies: list[Any] = []
    try:
        checks, setup, bodies, used = _compiled(tests)
        space.update(checks.names)
        _fill(space, tests, program, used)
        exec(setup, space)
        space.update({name: program.own[name] for name in tests.get("entry", [])})
    except Died as error:
        return report({"test": 0, "outcome": "died", "text": str(error)})
    except Broken as error:
        return report({"test": None, "outcome": "broken", "text": str(error)})
    except BaseException as error:
        blamed = program.blamed(error, names_in(setup))
        told = {"test": 0, "outcome": "error"} if blamed else {"test": None, "outcome": "broken"}
        return report(told | _raised(error, program))
    for number, test in enumerate(tests["tests"]):
        program.last_call, program.error = None, None
        try:
            result = None
            if isinstance(test, dict):
                result = _call(test, bodies[number], space, program)
            else:
                exec(bodies[number], space)
        except BaseException as error:
            result = _outcome(error, program, (*names_in(setup), *names_in(bodies[number])))
        report({"test": number} | (result or {"outcome": "passed"}))
        if result and (not tests.get("all") or result["outcome"] == "died"):
            break
    return None


def _compiled(tests: dict[str, Any]) -> tuple[Checks, Any, list[Any], list[str]]:
    """The checks, code of the set-up and of each test, and the names they look up that Python itself does not have."""
    checks = Checks()
    try:
        setup = checks.compile(ast.parse(tests.get("setup", "")), "<tests>")
        bodies = [
            compile(t["call"], "<tests>", "eval", dont_inherit=True)
            if isinstance(t, dict)
            else checks.compile(ast.parse(t), "<tests>")
            for t in tests["tests"]
        ]
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Broken(f"a test does not parse: {error}") from None
    used = dict.fromkeys(n for code in (setup, *bodies) for n in names_in(code))
    return checks, setup, bodies, [n for n in used if not hasattr(builtins, n) and n not in checks.names]


def _fill(space: dict[str, Any], tests: dict[str, Any], program: Program, used: list[str]) -> None:
    """Put what the program defines, and modules that nobody imported, where the set-up and the tests look them up."""
    entries = tests.get("entry", [])
    own = program.names(list(dict.fromkeys([*used, *entries])))
    for name in used:
        if name in sys.stdlib_module_names and name not in entries and _means_the_module(name, own, tests):
            space[name] = importlib.import_module(name)
        elif name in own:
            space[name] = own[name]
    for name in entries:  # before the set-up, which may use them: what is missing is the program's fault
        if name not in own:
            program.error = {"kind": "NameError", "text": f"name '{name}' is not defined", "line": None}
            raise NameError(program.error["text"])


def _means_the_module(name: str, own: dict[str, Any], tests: dict[str, Any]) -> bool:
    """Whether tests mean Python's own module by its name: unless they call what the program defines under it."""
    if name not in own or is_module(own[name]):
        return True
    texts = [tests.get("setup", ""), *(t["call"] if isinstance(t, dict) else t for t in tests["tests"])]
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return not any(isinstance(node.func, ast.Name) and node.func.id == name for node in nodes)


def _call(test: dict[str, Any], code: Any, space: dict[str, Any], program: Program) -> dict[str, Any] | None:
    """One call whose result is compared as text; what it printed stands in for a result of `None`."""
    program.printed = ""
    value = eval(code, space)
    found = program.printed.strip() if value is None and program.printed.strip() else value
    if alike(found, test["expected"]):
        return None
    return {
        "outcome": "failed",
        "kind": "AssertionError",
        "input": test["call"],
        "output": _text(found),
        "expected": test["expected"],
    }


def alike(found: Any, expected: str) -> bool:
    """Whether a result is what a text says: floats within 1e-6, literals by value, anything else by its text."""
    texts = {repr(found).strip()}
    if not isinstance(found, Remote):  # what an object of the program says it reads like is not asked
        texts.add(str(found).strip())
    if expected.strip() in texts:
        return True
    right = _literal(expected)
    left = _literal(found) if isinstance(found, str) else found
    if left is _NO_LITERAL or right is _NO_LITERAL:
        return False
    if isinstance(left, float) or isinstance(right, float):
        try:
            return math.isclose(left, right, rel_tol=1e-6, abs_tol=1e-9)
        except (TypeError, OverflowError):
            return False
    return type(left) is type(right) and bool(left == right)


_NO_LITERAL = object()


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return _NO_LITERAL


def _outcome(error: BaseException, program: Program, names: Iterable[str]) -> dict[str, Any]:
    if isinstance(error, Died):
        return {"outcome": "died", "text": str(error)} | _call_made(program)
    if isinstance(error, Broken):
        return {"outcome": "broken", "text": str(error)}
    if isinstance(error, Failed):
        told = {"outcome": "failed", "kind": "AssertionError", "text": _cut(error.source)} | _call_made(program)
        told["message"] = _cut(error.message)
        if error.equality:
            told |= {"output": _text(error.values[0]), "expected": _text(error.values[1])}
        elif program.last_call is not None:
            told |= {"output": _text(program.last_result), "expected": _cut(error.source)}
        return told
    return (
        {"outcome": "error" if program.blamed(error, names) else "broken"}
        | _raised(error, program)
        | _call_made(program)
    )


def _raised(error: BaseException, program: Program) -> dict[str, Any]:
    if program.error:
        return {"kind": _cut(program.error["kind"]), "text": _cut(program.error["text"]), "line": program.error["line"]}
    return {"kind": type(error).__name__, "text": _cut(str(error))}


def _call_made(program: Program) -> dict[str, Any]:
    if program.last_call is None:
        return {}
    name, arguments, named = program.last_call
    parts = [_text(a) for a in arguments] + [f"{k}={_text(v)}" for k, v in named.items()]
    return {"input": _cut(f"{name}({', '.join(parts)})")}


def _text(value: Any) -> str:
    try:
        return _cut(value if isinstance(value, str) and "\n" in value else repr(value))
    except Exception as error:  # a number too long to print
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _cut(text: str) -> str:
    """The beginning of a text, fit to be written: half of a pair of surrogates is no character."""
    text = text if len(text) <= _KEPT else text[:_KEPT] + "…"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def reporter(handle: int) -> Callable[[dict[str, Any]], None]:
    """A function that writes one line of JSON for each report to an open pipe."""

    def report(told: dict[str, Any]) -> None:
        os.write(handle, json.dumps(told).encode() + b"\n")

    return report
