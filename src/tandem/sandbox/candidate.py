"""Inside a run: load a program nobody trusts, then do what is asked of it, one message at a time.

It holds the program and nothing else: no test, no expected value, no earlier program was ever in this process. Whatever
the program does to the code below, all it can send is an answer, and an answer is only ever read as plain data.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

from tandem.sandbox import plain

NAME = "candidate"
"""Name of the module the program is loaded as: `if __name__ == "__main__"` does not run."""
_KEPT_OUTPUT = 1 << 16
_KEPT_MESSAGE = 4000
_CHANGING = (list, dict, set, bytearray)


class Output(io.StringIO):
    """Keeps the beginning of what is printed, and drops the rest."""

    def write(self, text: str) -> int:
        """`text`, as far as there is room."""
        room = _KEPT_OUTPUT - self.tell()
        if room > 0:
            super().write(text[:room])
        return len(text)

    def take(self) -> str:
        """What was printed since it was last taken."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


def load(source: str, name: str = NAME) -> types.ModuleType:
    """Run a program's text as a module. Whatever it raises goes to the caller."""
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = builtins
    sys.modules[name] = module
    exec(compile(source, f"<{name}>", "exec", dont_inherit=True), module.__dict__)
    return module


class Objects:
    """Objects of the program that someone outside may refer to by number."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def keep(self, value: Any) -> plain.Handle:
        """A handle of an object."""
        self._kept.append(value)
        return plain.Handle(len(self._kept) - 1, type(value).__name__, callable(value))

    def find(self, handle: plain.Handle) -> Any:
        """The object behind a handle that came back."""
        return self._kept[handle.number]


def _take(iterator: Any, count: int) -> tuple[list[Any], bool]:
    values = []
    for _ in range(count):
        try:
            values.append(next(iterator))
        except StopIteration:
            return values, True
    return values, False


DEEDS: dict[str, Callable[..., Any]] = {
    "call": lambda f, args, named: f(*args, **named),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "len": len,
    "iter": iter,
    "take": _take,
    "str": str,
    "repr": repr,
    **{
        n: getattr(operator, n)
        for n in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "neg", "lt", "le", "gt", "ge")
    },
}
"""What may be asked: the verbs of Python, nothing that reaches outside the program."""


def serve(channel: plain.Channel, source: str) -> None:
    """Load the program, then answer until the other side closes."""
    output = Output()
    sys.stdout = sys.stderr = output
    sys.stdin = io.StringIO()
    objects = Objects()
    trouble: BaseException | None = None
    module = types.ModuleType(NAME)
    try:
        module = load(source)
    except BaseException as error:
        trouble = error
    printed = output.take()
    while True:
        try:
            message = channel.receive()
        except plain.Closed:
            return
        answer: dict[str, Any] = {"id": message["id"]}
        try:
            if trouble is not None:
                raise trouble
            if message["do"] == "names":
                found = {n: module.__dict__[n] for n in message["of"] if n in module.__dict__}
                answer["value"] = {n: plain.pack(v, objects.keep) for n, v in found.items()}
            else:
                arguments = plain.unpack(message["of"], objects.find, -plain.ROOM)
                value = DEEDS[message["do"]](*arguments)
                answer["value"] = plain.pack(value, objects.keep)
                if message["do"] == "call":
                    answer["changed"] = _changed(message["of"], arguments, objects)
        except BaseException as error:
            answer = {"id": message["id"], "error": describe(error)}
        with contextlib.suppress(Exception):
            answer["out"] = printed + output.take()
        printed = ""
        channel.send(_bytes(answer))


def _bytes(answer: dict[str, Any]) -> bytes:
    try:
        return plain.dumps(answer)
    except (ValueError, MemoryError, RecursionError) as error:
        return plain.dumps({"id": answer["id"], "error": describe(error)})


def _changed(sent: Any, arguments: list[Any], objects: Objects) -> dict[str, Any]:
    """Position → new value of the arguments that the call changed in place."""
    changed = {}
    for i, (before, after) in enumerate(zip(sent[1], arguments[1], strict=True)):
        if type(after) in _CHANGING and (now := plain.pack(after, objects.keep)) != before:
            changed[str(i)] = now
    return changed


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as plain data: its class, the nearest built-in class, its text, its line in the program."""
    kind = type(error)
    nearest = next((c.__name__ for c in kind.__mro__ if c.__module__ == "builtins"), "Exception")
    try:
        text = str(error)[:_KEPT_MESSAGE]
    except BaseException:
        text = ""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == f"<{NAME}>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return {
        "kind": str(kind.__name__),
        "nearest": str(nearest),
        "text": text,
        "line": line if type(line) is int else None,
    }
