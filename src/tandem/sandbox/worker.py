"""The warm process: started clean, confined once, then one fork for each run.

It never reads a program, a test or an answer: those travel in files that only the child opens, so nothing of one run
can be found in the memory of the next. It starts children, keeps their deadlines, ends them with everything they
started, and reports how they ended. Closing its control channel ends it and all it runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import mmap
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from tandem.sandbox import child, filter, kernel, landlock, layers, limits, view

LARGEST_REQUEST = 1 << 16
_TICK = 0.05
_EXAMINATIONS = 1000
"""Examinations that one kept examiner serves."""
_EXAMINER_MEMORY = 2 << 30
_MOMENT = 0.25
_KEPT_MARK = 15
_NETS = (-signal.SIGKILL, -signal.SIGXCPU)


def main() -> None:
    """Serve the control channel whose number is the first argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(control.recv(LARGEST_REQUEST))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    try:
        worker = Worker(control, settings)
    except BaseException as error:
        control.send(json.dumps({"failed": f"{type(error).__name__}: {error}"}).encode())
        raise SystemExit(1) from error
    worker.serve()


class Worker:
    """One warm process and what it has in force."""

    def __init__(self, control: socket.socket, settings: dict[str, Any]) -> None:
        self._control = control
        self._kept: _Examiner | None = None
        if settings["processor"] is not None:  # a run and its examiner take turns: on one processor that costs least
            os.sched_setaffinity(0, {settings["processor"]})
        for module in settings["preload"]:
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        proc = os.open("/proc", os.O_PATH) if kernel.LINUX else -1
        found, self._namespace = _enter(set(settings["off"]), settings["places"])
        on = frozenset(name for name in layers.ALL if not found[name])
        self._scratch = view.Scratch(settings["limits"]["scratch"], mounted="files" in on)
        for role in settings["prepare"]:
            importlib.import_module(role["module"]).prepare(role["with"])
        gc.collect()  # what still holds a file lets go now: later it would close a number that another file has by then
        memory = settings["limits"]["memory"]
        marks = mmap.mmap(-1, mmap.PAGESIZE)
        self._place = child.Confinement(on, limits.mapped(proc), memory, marks)
        self._confine(settings)
        gc.collect()
        gc.disable()
        gc.freeze()
        folder = "" if self._scratch.mounted else self._scratch.folder
        missing = {name: why for name, why in found.items() if why}
        control.send(json.dumps({"active": sorted(on), "missing": missing, "folder": folder}).encode())

    def _confine(self, settings: dict[str, Any]) -> None:
        """Put on what every run inherits: its folder, nothing open, limits, Landlock, the first filter."""
        os.chdir(self._scratch.folder)
        nothing = os.open("/dev/null", os.O_RDWR)
        for handle in (0, 1, 2):  # not the file its start may write to: what tests print there, later ones could read
            os.dup2(nothing, handle)
        _only_keep(self._control.fileno(), self._namespace)
        on = self._place.layers
        if "limits" in on:
            limits.hold_all(settings["limits"], self._place.mapped, count_processes="users" in on)
        if {"landlock", "privileges", "seccomp"} & on:
            kernel.no_new_privileges()
        if "landlock" in on:
            writable = [self._scratch.folder, "/dev/null"]
            rules = landlock.rules(kernel.landlock_version(), settings["places"], writable)
            kernel.landlock_enforce(rules)
            os.close(rules)
        if "seccomp" in on:
            filter.run(1)  # what the first process of a namespace adds, made once
            kernel.install_filter(filter.warm())

    def serve(self) -> None:
        """Answer requests until the channel closes."""
        while True:
            try:
                message, handles, _, _ = socket.recv_fds(self._control, LARGEST_REQUEST, 8)
            except InterruptedError:
                continue
            if not message:
                break
            request = json.loads(message)
            try:
                told = self._run(request, handles)
            except Exception as error:
                told = {"failed": f"{type(error).__name__}: {error}"}
            try:
                self._control.send(json.dumps(told).encode())
            except OSError:
                break
            if "failed" in told:
                break
        self._scratch.remove()

    def _run(self, request: dict[str, Any], handles: list[int]) -> dict[str, Any]:
        """Start the processes of one run, wait for the last one's end or a limit, end them, tell how."""
        held = request["limits"]
        self._scratch.renew()
        started = time.monotonic()
        pair = socket.socketpair() if request["roles"][0] == "candidate" else ()
        parts: list[_Child | _Examiner] = []
        given = iter(handles)
        try:
            for i, (role, count) in enumerate(zip(request["roles"], request["handles"], strict=True)):
                mine = [next(given) for _ in range(count)]
                if pair:
                    mine.insert(1, pair[i].fileno())
                parts.append(self._examiner(mine) if role == "keep-examining" else self._fork(role, held, mine, i))
        finally:
            for handle in handles:
                os.close(handle)
            for end in pair:
                end.close()
        stopped = self._watch(parts, held, started)
        # a candidate is ended before its examiner when time is up, and after it when the examiner has said all
        order = parts if stopped else parts[::-1]
        ends = {id(part): part.end() for part in order}
        told = [ends[id(part)] for part in parts]
        if stopped is None and any(t["code"] in _NETS and t["cpu"] >= held["cpu"] for t in told):
            stopped = "cpu"  # on a busy machine the kernel's own limit can come before the watch
        marks = [_KEPT_MARK if isinstance(part, _Examiner) else i for i, part in enumerate(parts)]
        return {
            "stopped": stopped,
            "wall": time.monotonic() - started,
            "confined": all(self._place.marks[mark] for mark in marks),
            "children": told,
        }

    def _fork(self, role: str, held: dict[str, Any], handles: Sequence[int], mark: int) -> _Child:
        """A child in a process namespace of its own, where there are namespaces."""
        self._place.marks[mark] = 0
        if self._namespace >= 0:
            kernel.unshare(kernel.CLONE_NEWPID)
        number = os.fork()
        if number == 0:
            child.become(role, self._place, held, handles, mark)
        if self._namespace >= 0:
            kernel.enter(self._namespace, kernel.CLONE_NEWPID)
        return _Child(number)

    def _examiner(self, handles: list[int]) -> _Examiner:
        """The kept examiner, begun on one examination; a new one where there is none, or it has served long enough."""
        kept = self._kept
        if kept is not None and (kept.served >= _EXAMINATIONS or not kept.alive()):
            kept.process.end()
            kept.orders.close()
            kept = None
        if kept is None:
            here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            endless = {"cpu": 10 * limits.DAY, "memory": _EXAMINER_MEMORY}
            kept = self._kept = _Examiner(self._fork("keep-examining", endless, [there.fileno()], _KEPT_MARK), here)
            there.close()
        kept.begin(handles)
        return kept

    def _watch(self, parts: list[_Child | _Examiner], held: dict[str, Any], started: float) -> str | None:
        """Wait until the last part is over; the name of the limit that was reached first, if one was.

        In an examination that is the examiner: it learns of the candidate's end from their channel.
        """
        poll = select.poll()
        poll.register(self._control, select.POLLHUP)
        last = parts[-1].handle
        poll.register(last, select.POLLIN)
        while True:
            left = held["wall"] - (time.monotonic() - started)
            events = poll.poll(max(1, 1000 * min(left, _TICK)))
            if any(handle == last for handle, _ in events):
                return None
            if events:  # the parent has gone: end everything
                for part in parts:
                    part.end()
                self._scratch.remove()
                os._exit(0)
            if left <= 0:
                return "wall"
            if sum(part.seconds() for part in parts) > held["cpu"]:
                return "cpu"
            if not self._scratch.mounted and self._scratch.bytes() > held["scratch"]:
                return "scratch"


class _Child:
    """One running child."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.handle = os.pidfd_open(number)
        """Readable once it has ended."""
        self._clock = ~number << 3 | 2  # the clock of another process, as `clock_getcpuclockid` makes it

    def seconds(self) -> float:
        """Processor time used so far."""
        try:
            return time.clock_gettime(self._clock)
        except OSError:
            return 0.0

    def end(self) -> dict[str, Any]:
        """End it with everything in its namespace; how it ended and what it used."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)
        os.close(self.handle)
        _, status, used = os.wait4(self.number, 0)
        code = os.waitstatus_to_exitcode(status)
        return {"code": code, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}


class _Examiner:
    """An examiner that is kept for the next examination: a child and the channel its orders go through."""

    def __init__(self, process: _Child, orders: socket.socket) -> None:
        self.process = process
        self.orders = orders
        self.handle = orders.fileno()
        """Readable once the examination is over."""
        self.served = 0
        self._before = 0.0

    def alive(self) -> bool:
        """Whether it can take another examination."""
        return not select.select([self.process.handle], [], [], 0)[0]

    def begin(self, handles: list[int]) -> None:
        """Send one examination's tests, channel and report."""
        self._before = self.process.seconds()
        self.served += 1
        with contextlib.suppress(OSError):  # gone: its channel is readable at once, and it is found out at its end
            socket.send_fds(self.orders, [b"examine"], handles)

    def seconds(self) -> float:
        """Processor time of this examination so far."""
        return self.process.seconds() - self._before

    def end(self) -> dict[str, Any]:
        """Wait a moment for its word that the examination is over; without it, end the process."""
        over = False
        if select.select([self.orders], [], [], _MOMENT)[0]:
            with contextlib.suppress(OSError):
                over = self.orders.recv(16) == b"done"
        if over:
            return {"code": 0, "cpu": self.seconds(), "peak": 0}
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process.handle, signal.SIGKILL)
        self.served = _EXAMINATIONS  # the next examination begins with a new one
        return {"code": -signal.SIGKILL, "cpu": self.seconds(), "peak": 0}


def _only_keep(*handles: int) -> None:
    """Close everything else."""
    wanted = [h for h in handles if h >= 0]
    last = 2
    for handle in sorted(wanted):
        os.closerange(last + 1, handle)
        last = handle
    os.closerange(last + 1, 1 << 16)


def _enter(off: set[str], places: list[str]) -> tuple[dict[str, str], int]:
    """Every layer with "" where it is or will be in force, else why not; and a handle on the process namespace."""
    found, namespace = dict.fromkeys(("users", "files", "network", "processes", "ipc"), "switched off"), -1
    if not off & found.keys():
        library = str(importlib.__file__).rsplit("/", 2)[0]
        found, namespace = view.enter(places)
        _can_read(library)
    why = "" if kernel.LINUX else "this system is not Linux on x86-64 or ARM"
    found["landlock"] = why or ("" if kernel.landlock_version() else "this kernel has no Landlock")
    found |= {"seccomp": why, "privileges": why, "limits": "", "deadline": ""}
    return {name: "switched off" if name in off else reason for name, reason in found.items()}, namespace


def _can_read(library: str) -> None:
    try:
        os.scandir(library).close()
    except OSError as error:
        raise PermissionError(
            f"{error.strerror}: {library} is closed to the user `nobody`, whom root becomes here; "
            "install Python and Tandem where every user may read, or start as an ordinary user"
        ) from None


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # adopt what a child leaves behind, where there are no namespaces
    main()
