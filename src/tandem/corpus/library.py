"""Text that is on every machine: the library of the running Python, as code and as docstrings.

`python:code`: every .py file of the standard library, without its tests and without installed packages.
`python:docstrings`: one document per file: qualified name and docstring of its modules, classes and functions.
"""

from __future__ import annotations

import ast
import inspect
import os
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

import xxhash

from tandem.corpus.document import Document
from tandem.corpus.ledger import Step
from tandem.errors import UserError

_SKIPPED = frozenset({"test", "tests", "idle_test", "__pycache__", "site-packages", "dist-packages", "__phello__"})
_SHORTEST = 200
"""Files whose docstrings have fewer characters in all are left out."""


def documents(form: str, books: Step, *, scattered: bool = False) -> Iterator[Document]:
    """Documents of `python:code` or `python:docstrings` by sorted path, or by hashed path when `scattered`."""
    if form not in ("python:code", "python:docstrings"):
        raise UserError("no such part of Python's library", where=form, remedy="python:code or python:docstrings")
    root = Path(sysconfig.get_path("stdlib"))
    names = list(_files(root))
    if not names:
        raise UserError(
            "this Python has its library packed away", where=str(root), remedy="name a folder with text or code instead"
        )
    if scattered:
        names.sort(key=lambda name: xxhash.xxh3_64_intdigest(name.encode()))
    for name in names:
        books.came += 1
        try:
            with tokenize.open(root / name) as f:  # obeys the file's own coding line
                code = f.read()
        except (OSError, SyntaxError, UnicodeDecodeError):
            books.remove("not readable as Python", name)
            continue
        if form == "python:code":
            books.left += 1
            yield Document(code, f"python:{name}", "code")
            continue
        try:
            text = docstrings(code, name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
        except (SyntaxError, ValueError, RecursionError):
            books.remove("not readable as Python", name)
            continue
        if len(text) < _SHORTEST:
            books.remove(f"docstrings under {_SHORTEST} characters", name)
            continue
        books.left += 1
        yield Document(text, f"python:{name}")


def docstrings(code: str, module: str) -> str:
    """Qualified name, newline, cleaned docstring of everything in `code` that has one, blank lines between."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in string literals are no concern of ours
        tree = ast.parse(code)
    found: list[str] = []

    def visit(node: ast.AST, name: str) -> None:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text and text.strip():
                found.append(f"{name}\n{inspect.cleandoc(text)}")
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                visit(child, f"{name}.{child.name}")
            elif isinstance(child, ast.stmt | ast.excepthandler):  # definitions under `if` and `try`
                visit(child, name)

    visit(tree, module)
    return "\n\n".join(found)


def _files(root: Path) -> Iterator[str]:
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if name not in _SKIPPED)
        for file in sorted(files):
            if file.endswith(".py"):
                yield Path(folder, file).relative_to(root).as_posix()
