"""Which system calls a run may make: seccomp filters, the kernel's own gate.

An allow-list: what is not named fails with "operation not permitted", so that a program gets an ordinary error and the
unknown is refused with the dangerous. No sockets but the pair a process makes for itself, no new processes, no program
started, no signals to others, no tracing, no io_uring, keyrings, namespaces, mounts, shared memory or memory files. A
deny-list was rejected: it opens whatever the next kernel adds.

It comes in two parts that add up, because installing a long one costs more than many a run takes: the list, put once on
the warm process, and for each run a short second one that takes back what only the warm process needs.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TypeAlias

from tandem.sandbox import kernel

# name, number on x86-64, number on 64-bit ARM ("-": that machine never had it)
_ALLOWED = {
    "reading and writing what is open": """
    read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70,
    close 3 57, close_range 436 436, lseek 8 62, dup 32 23, dup2 33 -, dup3 292 24, pipe 22 -, pipe2 293 59,
    flock 73 32, fsync 74 82, fdatasync 75 83, ftruncate 77 46, fallocate 285 47, fadvise64 221 223,
    sendfile 40 71, copy_file_range 326 285
    """,
    "files by name, held by the view and Landlock": """
    open 2 -, openat 257 56, openat2 437 437, creat 85 -, truncate 76 45, getdents 78 -, getdents64 217 61,
    getcwd 79 17, chdir 80 49, fchdir 81 50, mkdir 83 -, mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35,
    rename 82 -, renameat 264 38, renameat2 316 276, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36,
    readlink 89 -, readlinkat 267 78, access 21 -, faccessat 269 48, faccessat2 439 439, stat 4 -, fstat 5 80,
    lstat 6 -, newfstatat 262 79, statx 332 291, statfs 137 43, fstatfs 138 44, chmod 90 -, fchmod 91 52,
    fchmodat 268 53, umask 95 166, utimensat 280 88, utime 132 -, utimes 235 -, futimesat 261 -
    """,
    "memory": """
    mmap 9 222, mprotect 10 226, munmap 11 215, mremap 25 216, brk 12 214, madvise 28 233, msync 26 227,
    mincore 27 232, membarrier 324 283
    """,
    "signals to itself, timers, clocks": """
    rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigsuspend 130 133,
    rt_sigtimedwait 128 137, sigaltstack 131 132, pause 34 -, alarm 37 -, setitimer 38 103, getitimer 36 102,
    timer_create 222 107, timer_settime 223 110, timer_gettime 224 108, timer_getoverrun 225 109,
    timer_delete 226 111, clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, nanosleep 35 101,
    gettimeofday 96 169, time 201 -, times 100 153, timerfd_create 283 85, timerfd_settime 286 86,
    timerfd_gettime 287 87
    """,
    "threads": """
    futex 202 98, futex_waitv 449 449, set_robust_list 273 99, get_robust_list 274 100, set_tid_address 218 96,
    rseq 334 293, gettid 186 178, sched_yield 24 124, sched_getaffinity 204 123, sched_getparam 143 121,
    sched_getscheduler 145 120, sched_get_priority_max 146 125, sched_get_priority_min 147 126, getcpu 309 168,
    getpriority 140 141
    """,
    "who am I, and the end": """
    getpid 39 172, getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177,
    getresuid 118 148, getresgid 120 150, getgroups 115 158, getpgrp 111 -, getpgid 121 155, getsid 124 156,
    getrlimit 97 163, getrusage 98 165, sysinfo 99 179, uname 63 160, getrandom 318 278, exit 60 93,
    exit_group 231 94, wait4 61 260, waitid 247 95, restart_syscall 219 128
    """,
    "event loops over what is open already": """
    epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22,
    epoll_pwait2 441 441, poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, eventfd 284 -, eventfd2 290 19,
    recvfrom 45 207, recvmsg 47 212, shutdown 48 210, getsockopt 55 209,
    getsockname 51 204, getpeername 52 205
    """,
}

# what only the warm process needs, and no run keeps
_WARM_ONLY = """
    unshare 272 97, setns 308 268, pidfd_open 434 434, pidfd_send_signal 424 424, capset 126 91, seccomp 317 277,
    sendmsg 46 211
"""  # the last hands over open files; a message of it may also bear an address, out of a filter's sight

# (name, x86-64, ARM, argument that decides, values allowed)
_BY_ARGUMENT: tuple[tuple[str, int, int | None, int, tuple[int, ...]], ...] = (
    ("socketpair", 53, 199, 0, (1,)),  # AF_UNIX: an event loop wakes itself through one
    (
        "ioctl",
        16,
        29,
        1,
        (0x5401, 0x5413, 0x5421, 0x541B, 0x5450, 0x5451),
    ),  # terminal?, size, non-blocking, waiting, exec
    ("prctl", 157, 167, 0, (15, 16, 0x53564D41)),  # name of a thread, name of a mapping
    ("arch_prctl", 158, None, 0, (0x1002, 0x1003)),  # thread-local storage
    ("prlimit64", 302, 261, 0, (0,)),
)
_SIGNALS = "kill 62 129, tgkill 234 131"
_FCNTL, _FCNTL_REFUSED = (72, 25), (8, 10, 15)  # whom to signal, by which signal: a way to reach others
_CLONE, _CLONE3, _CLONE_THREAD, _CLONE_NAMESPACES = (56, 220), 435, 0x10000, 0x7E020000
_SENDTO, _ADDRESS = (44, 206), 4
_MACHINE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
_COLUMN = 1 if kernel.MACHINE == "x86_64" else 2
_Instruction: TypeAlias = tuple[int, int, int, int]
_REFUSE: _Instruction = _RETURN, 0, 0, _ERRNO | _EPERM
_PASS: _Instruction = _RETURN, 0, 0, _ALLOW


def warm() -> bytes:
    """BPF instructions for the warm process: the list, and what it needs to start and end runs."""
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _MACHINE[kernel.MACHINE]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if kernel.MACHINE == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), _REFUSE]
    code += [
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
    ]  # its flags lie in memory: the library falls back
    for _, x86, arm, argument, values in _BY_ARGUMENT:
        number = x86 if _COLUMN == 1 else arm
        if number is not None:
            code += _only(number, argument, values)
    refused = [i for v in _FCNTL_REFUSED for i in ((_EQUAL, 0, 1, v), _REFUSE)]
    code += [(_EQUAL, 0, len(refused) + 2, _FCNTL[_COLUMN - 1]), (_LOAD, 0, 0, _ARGUMENTS + 8), *refused, _PASS]
    words = _ARGUMENTS + 8 * _ADDRESS, _ARGUMENTS + 8 * _ADDRESS + 4
    nowhere = [i for word in words for i in ((_LOAD, 0, 0, word), (_EQUAL, 1, 0, 0), _REFUSE)]
    code += [(_EQUAL, 0, len(nowhere) + 1, _SENDTO[_COLUMN - 1]), *nowhere, _PASS]  # only to the other end of a pair
    others = _numbers(f"{_WARM_ONLY}, {_SIGNALS}")
    code += _search(_intervals({*numbers(), *others, _CLONE[_COLUMN - 1]}))
    return _packed(code)


@cache
def run(own: int) -> bytes:
    """BPF instructions that a run adds; `own` is its process number as it sees it, the only one it may signal."""
    code = [(_LOAD, 0, 0, _NUMBER)]
    for number in _numbers(_WARM_ONLY):
        code += [(_EQUAL, 0, 1, number), _REFUSE]
    for number in _numbers(_SIGNALS):
        code += _only(number, 0, (own,))
    thread = [(_ANY_BIT, 0, 1, _CLONE_NAMESPACES), _REFUSE, (_ANY_BIT, 0, 1, _CLONE_THREAD), _PASS, _REFUSE]
    flags = [(_LOAD, 0, 0, _ARGUMENTS), *thread]
    code += [(_EQUAL, 0, len(flags), _CLONE[_COLUMN - 1]), *flags, _PASS]
    return _packed(code)


def numbers() -> list[int]:
    """Numbers of the calls that are allowed whatever their arguments, on this machine."""
    return [n for group in _ALLOWED.values() for n in _numbers(group)]


def _numbers(group: str) -> list[int]:
    rows = (entry.split() for entry in group.split(","))
    return [int(row[_COLUMN]) for row in rows if row[_COLUMN] != "-"]


def _only(number: int, argument: int, values: tuple[int, ...]) -> list[_Instruction]:
    """This call passes with these values of one argument, and no others."""
    tests = [i for v in values for i in ((_EQUAL, 0, 1, v), _PASS)]
    return [(_EQUAL, 0, len(tests) + 2, number), (_LOAD, 0, 0, _ARGUMENTS + 8 * argument), *tests, _REFUSE]


def _packed(code: list[_Instruction]) -> bytes:
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _intervals(allowed: set[int]) -> list[tuple[int, bool]]:
    """(first number, whether allowed) of each stretch of equal answer, from 0 on."""
    stretches = [(0, 0 in allowed)]
    for number in range(1, max(allowed) + 2):
        if (number in allowed) != stretches[-1][1]:
            stretches.append((number, number in allowed))
    return stretches


def _search(stretches: list[tuple[int, bool]]) -> list[_Instruction]:
    """A binary search for the stretch a number lies in."""
    if len(stretches) == 1:
        return [_PASS if stretches[0][1] else _REFUSE]
    middle = len(stretches) // 2
    below, above = (_search(part) for part in (stretches[:middle], stretches[middle:]))
    return [(_AT_LEAST, len(below), 0, stretches[middle][0]), *below, *above]
