"""What a program returns compares in a test as it would beside the program: arrays by element, views as views."""

import pytest

from tandem.sandbox import Sandbox, Tests


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(workers=1) as pool:
        yield pool


def outcome(sandbox, body, test):
    verdict = sandbox.submit(
        f"import numpy as np\ndef f():\n    return {body}\n", Tests((test,), entry=("f",))
    ).result()
    return verdict.outcome, verdict.first.kind if verdict.first else ""


@pytest.mark.parametrize(
    ("body", "test"),
    [
        ("np.float64(2.0)", "assert f() == 2.0"),
        ("np.array([5])", "assert f() == 5"),
        ("np.array([[1, 2], [3, 4]])", "assert (f() == [[1, 2], [3, 4]]).all() and f().shape == (2, 2)"),
        ("np.array([1.5, 2.5])", "assert list(f()) == [1.5, 2.5]"),
        ("np.array([1 + 2j])", "assert f()[0] == 1 + 2j"),
        ("{1: 2}.keys()", "assert f() == {1}"),
        ("{1: 2}.items()", "assert f() == {(1, 2)}"),
        ("{1: [2]}.values()", "assert list(f()) == [[2]]"),
    ],
)
def test_what_would_hold_beside_the_program_holds(sandbox, body, test):
    assert outcome(sandbox, body, test) == ("passed", "")


@pytest.mark.parametrize(
    ("body", "test", "came"),
    [
        ("np.array([1, 2])", "assert f() == [1, 2]", ("error", "ValueError")),
        ("np.array(['a', 'b'])", "assert f() == ['a', 'b']", ("error", "ValueError")),
        ("np.int64(1)", "assert isinstance(f(), int)", ("failed", "AssertionError")),
        ("np.bool_(True)", "assert f() is True", ("failed", "AssertionError")),
        ("{1: 2}.values()", "assert f() == [2]", ("failed", "AssertionError")),
        ("{1: 2}.keys()", "assert f() == [1]", ("failed", "AssertionError")),
    ],
)
def test_what_would_not_hold_beside_the_program_does_not(sandbox, body, test, came):
    assert outcome(sandbox, body, test) == came


def test_an_object_that_reads_like_an_answer_is_none(sandbox):
    program = "class E:\n    def __str__(self): return '2'\n    __repr__ = __str__\ndef f(): return E()\n"
    tests = Tests(({"call": "f()", "expected": "2"},), entry=("f",))
    assert sandbox.submit(program, tests).result().outcome == "failed"
