"""No program passes tests it does not solve, however it lies, and none makes its tests look broken."""
# ruff: noqa: E501 — attacks are short programs, one line each where they can be

import re
from dataclasses import replace

import pytest
from attacks import LIMITS, PRELUDE, next_is_right

from tandem.sandbox import Tests

HELD = replace(LIMITS, cpu=0.4, wall=1)
EVERYTHING = """
class {name}({base}):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash(7)
    def __bool__(self): return True
    def __len__(self): return 7
    def __int__(self): return 7
    def __float__(self): return 7.5
    def __index__(self): return 7
    def __abs__(self): return 0
    def __round__(self, digits=0): return 0
    def __contains__(self, other): return True
    def __sub__(self, other): return 0
    __rsub__ = __add__ = __radd__ = __mul__ = __sub__
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __getattr__(self, name): return lambda *a, **k: True
    def __instancecheck__(self, other): return True
    def __array__(self, *a): return 7
    __array_priority__ = 1e9
"""


def equal_to_everything(base="", made="", **more):
    return EVERYTHING.format(name="E", base=base) + f"def f(x): return E({made})\n"


# what a right program would have to know: none of these texts contains it
TESTS = {
    "an integer": "assert f(3) == 1009",
    "the other side": "assert 1009 == f(3)",
    "a list": "assert f(3) == [1009, 'a']",
    "a text": "assert f(3) == 'one thousand and nine'",
    "a dictionary": "assert f(3) == {1009: 'a'}",
    "one of several": "assert f(3) in (1008, 1009)",
    "something inside": "assert 1009 in f(3)",
    "nearly": "assert abs(f(3) - 1009.5) < 1e-6",
    "close": "assert math.isclose(f(3), 1009.5)",
    "an order": "assert 1008 < f(3) < 1010",
    "sorted": "assert sorted(f(3)) == [1, 2, 1009]",
    "a length": "assert len(f(3)) == 1009 and f(3)[0] == 1008",
    "every one": "assert all(map(lambda n: f(n) == n + 1006, [3, 4]))",
    "zipped": "assert all(a == b for a, b in zip(map(f, [3, 4]), [1009, 1010]))",
    "not false": "assert not f(3) != 1009",
    "identity": "assert f(3) is None",
    "a class": "assert isinstance(f(3), int)",
}
LIARS = {
    "a class": equal_to_everything(),
    "an integer's subclass": equal_to_everything("int", "7"),
    "a text's subclass": equal_to_everything("str", "'seven'"),
    "a list's subclass": equal_to_everything("list", "[7]"),
    "a dictionary's subclass": equal_to_everything("dict", "a=7"),
    "a tuple's subclass": equal_to_everything("tuple", "(7,)"),
    "a float's subclass": equal_to_everything("float", "7.5"),
    "a set's subclass": equal_to_everything("set", "(7,)"),
    "an array's likeness": equal_to_everything() + "E.__module__ = 'numpy'; E.tolist = lambda self: E()\n",
    "a list of them": equal_to_everything() + "g = f\ndef f(x): return [g(x), g(x)]\n",
    "a class itself": equal_to_everything("type", "'x', (), {}"),
    "one that leaves the answer to the other side": """
class E:
    def __eq__(self, other): return NotImplemented
    __lt__ = __gt__ = __sub__ = __rsub__ = __contains__ = __eq__
def f(x): return E()
""",
    "the mock that is any": "import unittest.mock\ndef f(x): return unittest.mock.ANY",
    "one that counts as every class": """
class E:
    @property
    def __class__(self): return int
    def __eq__(self, other): return True
def f(x): return E()
""",
    "the end of the loop": "def f(x): raise StopIteration",
    "the end of a loop in a generator": "def f(x):\n    raise StopIteration(1009)\n    yield",
    "no answer": "def f(x): return NotImplemented",
    "an array of nothing": "import numpy\ndef f(x): return numpy.array([])",
    "an array of no number": "import numpy\ndef f(x): return numpy.array([float('nan')])",
    "an array of liars": equal_to_everything() + "import numpy\ndef f(x): return numpy.array([E()], dtype=object)\n",
    "an array of a subclass": """
import numpy
class A(numpy.ndarray):
    def __eq__(self, other): return True
    def __bool__(self): return True
    __lt__ = __gt__ = __contains__ = __eq__
def f(x): return numpy.array([7, 7]).view(A)
""",
    "views of dictionaries": "def f(x): return {7: 7}.items() if x % 2 else {}.keys()",
    "a function that is a liar": equal_to_everything() + "f = E()\nE.__call__ = lambda self, x: self\n",
}


@pytest.mark.parametrize("liar", LIARS.values(), ids=LIARS)
def test_a_test_is_not_passed_by(liar, confined):
    lost = confined.lost
    for name, test in TESTS.items():
        verdict = confined.submit(liar, Tests((test,), entry=("f",), trusted=True), HELD).result(timeout=60)
        if name == "a class" and verdict.passed:
            assert "(int)" in liar, "only a real integer is one"
        else:
            assert verdict.outcome in ("failed", "error"), (name, verdict.outcome, verdict.text)
    next_is_right(confined, lost)


SOLVE_NOTHING = "\ndef f(x): return 7\n"
TRICKS = {
    "changes the built-in functions": """
import builtins
for n in ("abs", "len", "sorted", "isinstance", "all", "any", "map", "zip", "round", "sum", "min", "max", "int", "set"):
    setattr(builtins, n, lambda *a, **k: 1009)
"""
    + SOLVE_NOTHING,
    "changes the functions of modules": """
import json, math, operator, random, struct, types
for m in (math, operator, random, json, struct):
    for n in dir(m):
        try: setattr(m, n, lambda *a, **k: True)
        except BaseException: pass
"""
    + SOLVE_NOTHING,
    "calls its own object by the name of a module": equal_to_everything() + "math = sorted = abs = len = all = E()\n",
    "puts other modules in the place of the judge's": """
import sys
class M:
    def __getattr__(self, name): return lambda *a, **k: True
for n in list(sys.modules):
    if n.startswith(("tandem", "json", "ast", "operator", "math")): sys.modules[n] = M()
"""
    + SOLVE_NOTHING,
    "changes how its own answers are packed": """
import tandem.sandbox.plain as plain, tandem.sandbox.candidate as candidate
plain.pack = lambda value, *a: True
candidate.describe = lambda error: {"kind": "", "nearest": "", "text": ""}
candidate.DEEDS.update({n: lambda *a: True for n in candidate.DEEDS})
"""
    + SOLVE_NOTHING,
    "changes the judge's code in its own process": """
import tandem.sandbox.examiner as examiner, tandem.sandbox.asserts as asserts, tandem.sandbox.remote as remote
examiner.alike = lambda *a: True
examiner._outcome = lambda *a: None
asserts.Checks._compare = asserts.Checks._check = lambda *a: None
remote.Remote.__eq__ = lambda *a: True
"""
    + SOLVE_NOTHING,
    "hooks imports": """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None): raise SystemExit(0)
sys.meta_path.insert(0, Finder())
sys.path_hooks.insert(0, lambda path: Finder())
sys.path.insert(0, "/scratch")
for n in ("math", "random", "json", "os"): open(f"/scratch/{n}.py", "w").write("raise SystemExit(0)")
"""
    + SOLVE_NOTHING,
    "ends while it is loaded": "import sys\nsys.exit(0)",
    "ends when it is called": "import sys\ndef f(x): sys.exit(0)",
    "ends at once while it is loaded": "import os\nos._exit(0)",
    "ends at once when it is called": "import os\ndef f(x): os._exit(0)",
    "ends with the status of trouble": "import os\ndef f(x): os._exit(97)",
    "aborts": "import os\ndef f(x): os.abort()",
    "crashes": "import ctypes\ndef f(x): ctypes.string_at(0)",
    "kills itself": "import os, signal\ndef f(x): os.kill(os.getpid(), signal.SIGKILL)\nos.kill(os.getpid(), signal.SIGKILL)",
    "raises SystemExit": "def f(x): raise SystemExit(0)",
    "raises KeyboardInterrupt": "def f(x): raise KeyboardInterrupt",
    "raises KeyboardInterrupt while it is loaded": "raise KeyboardInterrupt",
    "raises an exception of no known kind": "class B(BaseException): pass\ndef f(x): raise B",
    "raises an exception that lies about its class": """
class B(BaseException):
    __module__ = 'builtins'
    def __str__(self): raise SystemExit(0)
    @property
    def __traceback__(self): raise SystemExit(0)
B.__name__ = 'StopIteration'
def f(x): raise B
""",
    "raises an assertion's failure": "def f(x): raise AssertionError",
    "raises a group of exceptions": "def f(x): raise BaseExceptionGroup('', [SystemExit(0)])",
    "exits by a handler of the end": "import atexit, os\natexit.register(os._exit, 0)" + SOLVE_NOTHING,
    "prints a verdict": """
for i in range(3):
    print('{"test": %d, "outcome": "passed"}' % i, flush=True)
"""
    + SOLVE_NOTHING,
    "writes a verdict to whatever is open": """
import os
for n in range(0, 256):
    try: os.write(n, b'{"test": 0, "outcome": "passed"}\\n' * 3)
    except OSError: pass
"""
    + SOLVE_NOTHING,
    "puts a number where its function should be": "f = 1009",
    "puts a module where its function should be": "import math as f",
    "defines nothing": "",
    "does not parse": "def f(x:",
    "has zeros in its text": "def f(x): return 7\0",
    "is no text": "def f(x): return '\ud800'",
    "raises half a character": "def f(x): raise ValueError('\\ud800')",
    "returns half a character in two lines": "def f(x): return '\\n\\udfff'",
    "is one deep expression": "f = " + "(" * 5000 + "7" + ")" * 5000,
    "never answers": "def f(x):\n    while True: pass",
    "returns without end": "def f(x):\n    while True: yield 7",
    "returns itself inside itself": "def f(x):\n    r = []\n    r.append(r)\n    return r",
    "returns what is too deep": "def f(x):\n    r = 7\n    for _ in range(100_000): r = [r]\n    return r",
    "returns what cannot be shown": "class R:\n    def __repr__(self): raise SystemExit(0)\n    __str__ = __repr__\ndef f(x): return R()",
    "changes its arguments into something else": "def f(x):\n    if isinstance(x, list): x[:] = [1009] * len(x)\n    return 7",
    "calls its result by a name of the judge's": "class label:\n    handle = kind = label = 1009\n    def __getattr__(self, n): return 1009\ndef f(x): return label()",
    "waits for the deadline in its destructor": "class D:\n    def __del__(self):\n        while True: pass\ndef f(x): return D()",
}


@pytest.mark.parametrize("trusted", [True, False], ids=["kept", "own"])
@pytest.mark.parametrize("program", TRICKS.values(), ids=TRICKS)
def test_a_verdict_is_not_changed_by_a_program_that(program, trusted, confined):
    lost = confined.lost
    for test in ("assert f(3) == 1009", "assert math.isclose(f(3), 1009.5)", {"call": "f([3])", "expected": "1009"}):
        verdict = confined.submit(program, Tests((test,), entry=("f",), trusted=trusted), HELD).result(timeout=60)
        assert verdict.outcome in ("failed", "error", "died", "timeout"), (test, verdict.outcome, verdict.text)
        verdict.text.encode()
    next_is_right(confined, lost)


ANSWER = (
    PRELUDE
    + """
def f(x):
    frame = sys._getframe()
    while "message" not in frame.f_locals: frame = frame.f_back
    identity, channel = frame.f_locals["message"]["id"], frame.f_locals["channel"]
    def send(body): os.write(channel.handle, len(body).to_bytes(4, "big") + body)
    def say(text): send(b'{"id": %d, ' % identity + text + b"}")
    FORGED
    return 7
def g(x): return 7
"""
)
REPLIES = {
    "nothing": "send(b'')",
    "no JSON": "send(b'passed')",
    "no object": "send(b'[1009]')",
    "another's number": 'send(b\'{"id": 1, "value": 1009}\')',
    "a number that equals the right one": 'send(b\'{"id": %d.0, "value": 7}\' % identity)',
    "a guess for each number": '[send(b\'{"id": %d, "value": 1009}\' % n) for n in range(300)]',
    "a huge length": "os.write(channel.handle, b'\\xff' * 4 + b'x' * 100)",
    "a length within bounds and one byte at a time": (
        "os.write(channel.handle, (1 << 24).to_bytes(4, 'big')); "
        "import time; [(os.write(channel.handle, b' '), time.sleep(0.05)) for _ in range(600)]"
    ),
    "a hundred thousand brackets": "say(b'\"value\": ' + b'[' * 100000 + b']' * 100000)",
    "nine hundred brackets": "say(b'\"value\": ' + b'[' * 900 + b']' * 900)",
    "a value it could not pass on": "say(b'\"value\": ' + b'[' * 201 + b']' * 201)",
    "a value too long to pass on": "say(b'\"value\": \"' + '\u00ff'.encode() * 12_000_000 + b'\"')",
    "an enormous integer": "say(b'\"value\": ' + b'9' * 1_000_000)",
    "an enormous integer in disguise": 'say(b\'"value": {"t": "int", "v": "0x\' + b\'9\' * 1_000_000 + b\'"}\')',
    "no number": "say(b'\"value\": NaN')",
    "no number in disguise": 'say(b\'"value": {"t": "float", "v": "nan"}\')',
    "an infinite number": "say(b'\"value\": Infinity')",
    "half a character": 'say(b\'"value": "\\\\ud800"\')',
    "bytes that are no text": 'say(b\'"value": "\\xff\\xfe"\')',
    "a handle nobody gave": 'say(b\'"value": {"t": "handle", "v": [123456, "int", true]}\')',
    "a handle without a number": 'say(b\'"value": {"t": "handle", "v": [1e999, [], {}]}\')',
    "an unknown kind": 'say(b\'"value": {"t": "__import__", "v": "os"}\')',
    "a kind of no kind": 'say(b\'"value": {"t": [], "v": {}}\')',
    "a class": 'say(b\'"value": {"t": "type", "v": "object"}\')',
    "a fraction of nothing": 'say(b\'"value": {"t": "fraction", "v": [1, 0]}\')',
    "a fraction of a huge text": 'say(b\'"value": {"t": "fraction", "v": ["1e99999999", null]}\')',
    "a decimal of a huge power": 'say(b\'"value": {"t": "decimal", "v": "1e999999999999"}\')',
    "a set of lists": 'say(b\'"value": {"t": "set", "v": [[1]]}\')',
    "two values": "say(b'\"value\": 7'); say(b'\"value\": 1009')",
    "neither value nor error": 'say(b\'"out": "1009"\')',
    "an error that is none": "say(b'\"error\": 1009')",
    "an error of the judge's own": 'say(b\'"error": {"kind": "Broken", "nearest": "Broken", "text": ""}\')',
    "an exit as its error": 'say(b\'"error": {"kind": "SystemExit", "nearest": "SystemExit", "text": "0"}\')',
    "an error of a million letters": 'say(b\'"error": {"kind": "\' + b\'K\' * 3_000_000 + b\'", "text": "", "line": 9e99}\')',
    "changes where there are no arguments": 'say(b\'"value": 7, "changed": {"-1": [1009], "99": [1], "x": [2]}\')',
    "changes of another kind": 'say(b\'"value": 7, "changed": {"0": {"t": "set", "v": [1009]}}\')',
    "output that is no text": 'say(b\'"value": null, "out": [1009]\')',
    "an array without a shape": 'say(b\'"value": {"t": "array", "v": ["int64", "", [7]]}\')',
    "an array of objects": 'say(b\'"value": {"t": "array", "v": ["object", [1], [7]]}\')',
    "an array of too many sizes": 'say(b\'"value": {"t": "array", "v": ["int8", [\' + b\'1,\' * 99 + b\'1], [7]]}\')',
    "an array of a few long texts": 'say(b\'"value": {"t": "array", "v": ["str", [100001], [\' + b\'"",\' * 100000 + b\'"\' + b\'x\' * 100000 + b\'"]]}\')',
    "an array of numbers too large": 'say(b\'"value": {"t": "array", "v": ["int8", [1], [70000]]}\')',
    "names nobody asked for": 'say(b\'"value": {"math": 1009, "__check__": 7}\')',
}


@pytest.mark.parametrize("forged", REPLIES.values(), ids=REPLIES)
def test_a_verdict_is_not_changed_by_a_reply_of(forged, confined):
    lost = confined.lost
    for test in ("assert f([3]) == 1009", "assert g(f([3])) == 1009", "assert f([3])[0] == 1009"):
        tests = Tests((test,), entry=("f", "g"), trusted=True)
        verdict = confined.submit(ANSWER.replace("FORGED", forged), tests, HELD).result(timeout=60)
        assert verdict.outcome in ("failed", "error", "died", "timeout"), (test, verdict.outcome, verdict.text)
        assert re.sub(r"[\ud800-\udfff]", "", verdict.text) == verdict.text
    next_is_right(confined, lost)


@pytest.mark.parametrize("name", ["label", "handle", "program", "_program", "kind", "number", "call", "ask"])
def test_an_attribute_called_like_one_of_the_judges_is_the_programs_own(name, confined):
    program = f"class right:\n    {name} = 7\ndef f(): return right()\n"
    for value, outcome in (("7", "passed"), ("'right'", "failed"), ("8", "failed")):
        tests = Tests((f"assert f().{name} == {value}",), entry=("f",), trusted=True)
        assert confined.submit(program, tests, HELD).result(timeout=60).outcome == outcome
