"""A program finds neither the tests nor what they expect: not its own run's, not an earlier one's, nowhere."""
# ruff: noqa: E501 — attacks are short programs, one line each where they can be

import asyncio
import secrets
from dataclasses import replace

import pytest
from attacks import LIMITS, next_is_right

from tandem.sandbox import Tests

HELD = replace(LIMITS, cpu=10, wall=30)
# written apart, so that the text of a search is not what it finds
MARK = "secret-of-" + "the-tests-"
LOOK = "import re\nMARK = re.compile(('secret-of-' + 'the-tests-') + '([0-9a-f]{16})')\nfound = set()\n"
SAY = "\ndef f(x): return sorted(found)\n"
IN_FRAMES = (
    LOOK
    + """
import gc, sys
def look():
    frame, seen = sys._getframe(), []
    while frame:
        seen += [frame.f_locals, frame.f_globals]
        frame = frame.f_back
    for value in gc.get_objects() + seen + list(sys.modules.values()) + [m.__dict__ for m in sys.modules.values() if m]:
        try: found.update(MARK.findall(repr(value)))
        except BaseException: pass
look()
def f(x):
    look()
    return sorted(found)
"""
)
IN_HANDLES = (
    LOOK
    + """
import os, socket
PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
for n in range(0, 1024):
    for read in (lambda: os.pread(n, 1 << 20, 0), lambda: socket.socket(fileno=os.dup(n)).recv(1 << 20, PEEK)):
        try: found.update(MARK.findall(read().decode('utf-8', 'replace')))
        except OSError: pass
for folder in ('/scratch', '.', '/tmp', '/proc/self/fd', '/dev/shm'):
    try: names = os.listdir(folder)
    except OSError: continue
    for name in names:
        try: found.update(MARK.findall(name + open(os.path.join(folder, name)).read()))
        except (OSError, UnicodeError): pass
"""
    + SAY
)
IN_MEMORY = (
    LOOK.replace("found = set()", "MARK = re.compile(MARK.pattern.encode())\nfound = set()")
    + """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20
reader, writer = os.pipe()
PLANT
def mapped(page):
    if libc.write(writer, ctypes.c_void_p(page), ctypes.c_size_t(1)) != 1: return False
    os.read(reader, 1)
    return True
pages, here = 0, ctypes.create_string_buffer(16)
around = {id(object()), id(found), id(libc), id(re), id(b'x' * 2000), ctypes.addressof(here), id(os.environ),
    ctypes.cast(libc.write, ctypes.c_void_p).value, id(type), ctypes.addressof(ctypes.c_char.from_buffer(bytearray(2 * MIB)))}
spans = set()
for address in around:
    for span in range(address // MIB - 24, address // MIB + 24): spans.add(span)
for span in sorted(spans):
    run = b''
    for page in range(span * MIB, (span + 1) * MIB, 4096):
        if mapped(page):
            pages += 1
            run += ctypes.string_at(page, 4096)
        elif run:
            found.update(MARK.findall(run))
            run = b''
    found.update(MARK.findall(run))
found = {x.decode() for x in found}
"""
    + "\ndef f(x): return [pages, *sorted(found)]\n"
)


def planted(program, confined, trusted):
    """What a program finds of unique texts in an earlier run's tests and program, and in this one's tests."""
    secret = {n: secrets.token_hex(8) for n in ("test before", "program before", "setup", "expected", "message")}
    earlier = Tests(
        (f"assert f({MARK + secret['test before']!r}) == 1",), setup=f"x = {MARK!r}", entry=("f",), trusted=trusted
    )
    liar = f"y = {MARK + secret['program before']!r}\nprint(y)\nopen('kept', 'w').write(y)\ndef f(x): return 7"
    assert confined.submit(liar, earlier, HELD).result(timeout=60).outcome == "failed"
    tests = Tests(
        (f"assert f(1) == {MARK + secret['expected']!r}, {MARK + secret['message']!r}",),
        setup=f"print({MARK + secret['setup']!r})",
        entry=("f",),
        trusted=trusted,
    )
    lost = confined.lost
    verdict = confined.submit(program, tests, HELD).result(timeout=60)
    assert verdict.outcome == "failed", (verdict.outcome, verdict.text)
    next_is_right(confined, lost)
    names = {v: k for k, v in secret.items()}
    return verdict.first.output, {names[s] for s in names if s in verdict.first.output}


@pytest.mark.parametrize("trusted", [True, False], ids=["kept", "own"])
@pytest.mark.parametrize("program", [IN_FRAMES, IN_HANDLES], ids=["frames and objects", "open files and folders"])
def test_no_test_is_found_in(program, trusted, confined):
    output, found = planted(program, confined, trusted)
    assert (output, found) == ("[]", set())


@pytest.mark.parametrize("trusted", [True, False], ids=["kept", "own"])
def test_no_test_is_found_in_memory(trusted, confined):
    output, found = planted(IN_MEMORY.replace("PLANT", ""), confined, trusted)
    assert found == set()
    assert output.count(",") == 0, output
    assert int(output.strip("[]")) > 2000, "hardly any memory was looked at"


def test_the_search_of_memory_finds_what_is_there(confined):
    """A search that finds nothing anywhere would pass the test above."""
    plant = "kept = bytearray.fromhex('" + (MARK + "0123456789abcdef").encode().hex() + "')"
    output, _ = planted(IN_MEMORY.replace("PLANT", plant), confined, True)
    assert "'0123456789abcdef'" in output


def test_what_a_test_prints_is_not_there_for_the_next_one(confined):
    """Tests nobody trusts run in the examiner: its standard output must not be a file that outlives it."""
    write = "import os\nos.write(1, b'kept for later')\nos.write(2, b'kept for later')\nassert f(1) == 2"
    read = (
        "import os\nseen = b''\nfor n in (0, 1, 2):\n    try: seen += os.pread(n, 100, 0)\n    except OSError: pass\n"
        "assert f(1) == 2, seen"
    )
    confined.submit("def f(x): return 2", Tests((write,), entry=("f",))).result(timeout=60)
    verdict = confined.submit("def f(x): return 3", Tests((read,), entry=("f",))).result(timeout=60)
    assert verdict.outcome == "failed"
    assert "kept for later" not in verdict.first.message


def test_an_operand_of_a_test_is_not_shown_to_an_object_of_the_program(confined):
    """Else a number that only its equal would pass could be learnt by being compared with it."""
    program = """
seen = []
class E:
    def __getattr__(self, name): raise AttributeError
for n in ("eq", "ne", "lt", "le", "gt", "ge", "sub", "rsub", "add", "radd", "mul", "rmul", "contains", "mod", "rmod", "pow"):
    setattr(E, f"__{n}__", lambda self, other: seen.append(other) or 0)
def f(x): return E()
def g(): return seen
"""
    tests = [f"assert {test}" for test in ("f(1) == 1009", "1009 < f(1)", "abs(f(1) - 1009) < 1", "1009 in f(1)")]
    for test in tests:
        tested = f"try:\n    {test}\nexcept BaseException:\n    pass\nassert g() == []"
        assert confined.submit(program, Tests((tested,), entry=("f", "g"))).result(timeout=60).passed, test


def test_a_run_sees_only_its_own_text_as_a_script(confined):
    assert asyncio.run(confined.run("import sys; print(sys.argv)")).out == "['program']\n"
