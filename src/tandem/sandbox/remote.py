"""Inside the examiner: what stands for the functions and objects of a program that runs in another process.

Using one sends a message and reads plain data back. Such an object equals only itself: what a program says about its
own equality, truth, order or contents is never asked where a test's own value is on the other side.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Iterator
from typing import Any

from tandem.sandbox import plain

_ENDS_A_LOOP = StopIteration, StopAsyncIteration
"""Exceptions that would silently cut short the loop in which a test calls a function."""


class Raised(Exception):  # noqa: N818 — it is what the program did
    """The program raised an exception of a class that is not built in, or one that would end a test's own loop."""


class Died(BaseException):
    """The program's process has ended, or answered what it was not asked."""


class Broken(BaseException):
    """The test asks for what cannot be passed to another process."""


class Program:
    """The other end: one program, asked one thing at a time."""

    def __init__(self, channel: plain.Channel) -> None:
        self._channel = channel
        self._batch = 256
        self.own: dict[str, Any] = {}
        """What it defines under the names that tests look up."""
        self.answered = False
        """Whether anything of the program has been used so far, its names aside."""
        self.last_call: tuple[str, tuple[Any, ...], dict[str, Any]] | None = None
        """Name and arguments of the last call."""
        self.last_result: Any = None
        """What it returned."""
        self.printed = ""
        """What the program printed during the last call."""
        self.error: dict[str, Any] | None = None
        """The exception that the last deed ended with."""

    def names(self, wanted: list[str]) -> dict[str, Any]:
        """What the program defines under these names. Raises what the program raised when it was loaded."""
        found = self.ask("names", wanted, raw=True)
        if not isinstance(found, dict):
            raise Died("the program's process answered out of turn")
        self.own = {name: self._meet(value, name) for name, value in found.items() if name in wanted}
        return self.own

    def blamed(self, error: BaseException, names: Iterable[str]) -> bool:
        """Whether it had a hand in what a test that looks up `names` raised; if not, the test itself is at fault.

        A program must not be able to make its tests look broken, say by a number in the place of a function.
        """
        if self.error is not None or self.last_call is not None:
            return True
        if isinstance(error, NameError | ImportError | SyntaxError):
            return False
        used = [self.own[name] for name in names if name in self.own]
        plain_or_misused = isinstance(error, TypeError | AttributeError) or not all(type(v) is Remote for v in used)
        return self.answered or (bool(used) and plain_or_misused)

    def forget(self) -> None:
        """Let go of everything that came from it."""
        self.own, self.last_call, self.last_result, self.error = {}, None, None, None

    def ask(self, deed: str, arguments: list[Any], *, raw: bool = False) -> Any:
        """Have one thing done; its value. Raises what the program raised, or `Died`."""
        token = int.from_bytes(os.urandom(6), "big")
        self.error = None
        try:
            body = arguments if raw else plain.pack(arguments, _refer, -plain.ROOM)
            message = plain.dumps({"id": token, "do": deed, "of": body})
        except (TypeError, ValueError, RecursionError) as error:
            if self.answered and not isinstance(error, TypeError):  # too large: it may well be what the program sent
                raise Died(f"a value cannot be passed on: {error}") from None
            raise Broken(f"a test passes what cannot be sent to another process: {error}") from None
        try:
            self._channel.send(message)
            answer = self._channel.receive()
        except (plain.Closed, ValueError, MemoryError) as error:
            raise Died(f"the program's process has ended or sent nonsense: {error}") from None
        if not isinstance(answer, dict) or answer.get("id") != token:
            raise Died("the program's process answered out of turn")
        self.printed = answer["out"] if isinstance(answer.get("out"), str) else ""
        self.answered = self.answered or deed != "names"
        if "error" in answer:
            raise self._exception(answer["error"])
        if deed == "call":
            self._apply(answer.get("changed"), arguments[1])
        return answer.get("value") if raw else self._meet(answer.get("value"))

    def call(self, target: Remote, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a function of the program."""
        self.last_call, self.last_result = (target.__label__, arguments, named), None
        self.last_result = self.ask("call", [target, list(arguments), named])
        return self.last_result

    def iterate(self, target: Remote) -> Iterator[Any]:
        """Values of an iterable of the program, fetched in batches that grow."""
        source, size = self.ask("iter", [target]), 1
        if not isinstance(source, Remote):
            yield from source
            return
        while True:
            values, ended = self.ask("take", [source, size])
            yield from values
            if ended:
                return
            size = min(size * 2, self._batch)

    def _meet(self, value: Any, label: str = "") -> Any:
        try:
            return plain.unpack(value, lambda handle: Remote(self, handle, label))
        except (ValueError, RecursionError, MemoryError) as error:
            raise Died(f"the program's process sent {error}") from None

    def _apply(self, changed: Any, arguments: list[Any]) -> None:
        """Change arguments in place as the program changed its copies."""
        for position, value in changed.items() if isinstance(changed, dict) else ():
            if not (position.isdecimal() and len(position) < 9 and int(position) < len(arguments)):
                raise Died("the program's process answered out of turn")
            new, old = self._meet(value), arguments[int(position)]
            if type(new) is not type(old):
                continue
            if isinstance(old, list | bytearray):
                old[:] = new
            elif isinstance(old, dict | set):
                old.clear()
                old.update(new)

    def _exception(self, error: Any) -> BaseException:
        error = error if isinstance(error, dict) else {}
        kind, nearest, text = (str(error.get(k, "")) for k in ("kind", "nearest", "text"))
        line = error.get("line")
        self.error = {"kind": kind, "text": text, "line": line if isinstance(line, int) else None}
        known = getattr(builtins, nearest, None)
        if known in _ENDS_A_LOOP:
            return Raised(kind, text)
        if isinstance(known, type) and issubclass(known, Exception) and nearest == kind:
            try:
                raised = known(text)
            except TypeError:  # a class that wants more than a text
                return Raised(kind, text)
            return raised
        return Raised(kind, text)


class Remote:
    """A function, class or object of the program."""

    def __init__(self, program: Program, handle: plain.Handle, label: str) -> None:
        # under names that are never asked of the program, which may have attributes of any other
        self.__dict__.update(__program__=program, __handle__=handle, __label__=label or handle.kind)

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: D102
        return self.__program__.call(self, arguments, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):  # copy, pickle and the like look for these
            raise AttributeError(name)
        value = self.__program__.ask("getattr", [self, name])
        if isinstance(value, Remote):
            value.__dict__["__label__"] = name
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self.__program__.ask("setattr", [self, name, value])

    def __iter__(self) -> Iterator[Any]:
        program: Program = self.__program__
        return program.iterate(self)

    def __next__(self) -> Any:
        values, ended = self.__program__.ask("take", [self, 1])
        if ended:
            raise StopIteration
        return values[0]

    def __bool__(self) -> bool:
        return True  # an object is true; its own opinion is not asked

    def __repr__(self) -> str:
        return f"<{self.__handle__.kind} object of the program>"


def is_module(value: Any) -> bool:
    """Whether something of the program is a module it imported."""
    return isinstance(value, Remote) and value.__handle__.kind == "module"


def _deed(name: str) -> Any:
    def method(self: Remote, *others: Any) -> Any:
        return self.__program__.ask(name, [self, *others])

    return method


def _between(name: str) -> Any:
    """A deed on two objects of the program: with a number of the test's own, the program would be its own judge."""

    def method(self: Remote, other: Any) -> Any:
        return self.__program__.ask(name, [self, other]) if isinstance(other, Remote) else NotImplemented

    return method


for _name in ["getitem", "setitem", "delitem", "len", "str"]:
    setattr(Remote, f"__{_name}__", _deed(_name))
for _name in ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge"]:
    setattr(Remote, f"__{_name}__", _between(_name))


def _refer(value: Any) -> plain.Handle:
    if isinstance(value, Remote):
        return value.__handle__  # type: ignore[no-any-return]
    raise TypeError(f"{type(value).__name__} is not plain data")
