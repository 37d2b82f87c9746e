"""Source taken apart by parser and tokenizer, and code found in answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.programs import source

HARD = '''import re  # : not here
from typing import Dict


@decorated(key={"a": 1})
def f(x: Dict[str, int] = {"a:b": 1}, y=lambda z: z) -> Dict[str, "a:b"]:  # and a colon: here
    """Doc: string.

    def f(): pass
    """
    return {x: y}


print(f(1))
'''


def test_a_header_ends_at_its_own_colon_not_at_the_first():
    parts = source.split(HARD, "f")
    assert parts.header == (
        '@decorated(key={"a": 1})\ndef f(x: Dict[str, int] = {"a:b": 1}, y=lambda z: z) -> Dict[str, "a:b"]:'
    )
    assert parts.docstring.endswith('def f(): pass\n    """\n')
    assert parts.body == "    return {x: y}\n"
    assert parts.after == "\n\nprint(f(1))\n"


@pytest.mark.parametrize(
    "code",
    [
        HARD,
        "def f(): return 1",
        "def f(x):\n    '''doc'''",
        "def f(x): '''doc'''; return x\n",
        "def f(\n    a,\n    b,\n):\n    # why\n    return a\n",
        "async def f():\n    pass\ndef f(é='ü:'):\n\n    'd'\n    return é\n",
        "def g():\n    def f(): pass\ndef f(x):\n\treturn x",
    ],
)
def test_parts_put_together_are_the_same_text(code):
    parts = source.split(code, "f")
    assert parts.before + parts.header + parts.docstring + parts.body + parts.after == code
    assert parts.header.endswith(":")


def test_source_that_does_not_parse_has_no_parts():
    assert source.split("def f(:\n", "f") is None
    assert source.split("def g(): pass", "f") is None


@given(st.sampled_from(["-", "not ", "(", "[", "lambda:", "a.", "a+", "f(", "if 1:\n "]), st.integers(1, 20_000))
def test_source_nested_however_deep_is_refused_or_parsed_never_a_crash(piece, times):
    source.parsed(piece * times + "1")


def test_what_a_prompt_defines_besides_its_function_comes_with_its_imports():
    code = "import math\n\n@wrap\ndef root(x):\n    return math.sqrt(x)\n\ndef f(x):\n    '''doc'''\n"
    assert source.besides(code, "f") == "import math\n@wrap\ndef root(x):\n    return math.sqrt(x)\n"
    assert source.besides("import math\ndef f(x):\n    pass\n", "f") == ""


def test_line_ends_and_tabs_are_made_alike_and_counted():
    assert source.normalised("def f():\r\n\treturn 1\r") == ("def f():\n    return 1\n", ("line ends", "tabs"))
    assert source.normalised("def f():\n    return 1\n")[1] == ()


def test_tabs_stay_where_replacing_them_would_change_the_program():
    code = 'def f():\n    return """a\n\tb"""\n'
    assert source.normalised(code) == (code, ())
    assert source.normalised("def f(:\n\tx")[1] == ()


def test_an_ambiguous_tab_is_left_to_the_parser_that_refuses_it():
    code = "def f():\n    if 1:\n\treturn 2\n    return 3\n"
    assert source.normalised(code) == (code, ())


def test_a_completion_ends_at_the_first_stop_text():
    assert source.truncated("    return 1\n\ndef g(): pass\nclass A: pass", ("\nclass", "\ndef")) == "    return 1\n"
    assert source.truncated("    return 1", ("\ndef",)) == "    return 1"


# ── Answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_last_fence_that_defines_what_is_asked_for_is_taken():
    answer = (
        "First\n```python\ndef f(): return 1\n```\nbetter\n```py\ndef f(): return 2\n```\nuse\n```\nprint(f())\n```"
    )
    assert source.extracted(answer, "f") == ("def f(): return 2", "fence")


def test_a_fence_that_is_never_closed_runs_to_the_end():
    assert source.extracted("```python\ndef f():\n    return 1", "f") == ("def f():\n    return 1", "fence")


def test_a_fence_inside_a_list_loses_its_indentation():
    assert source.fences("1. so:\n   ~~~~python\n   def f():\n       pass\n   ~~~~\n") == ["def f():\n    pass"]


def test_longer_fences_hold_shorter_ones():
    assert source.fences("````\n```\nx\n```\n````") == ["```\nx\n```"]


def test_an_answer_that_is_a_program_needs_no_fence():
    assert source.extracted("def f():\n    return 1\n", "f") == ("def f():\n    return 1\n", "whole")


def test_a_fence_with_the_body_continues_the_opening():
    opening = 'def f(x):\n    """Doc."""\n'
    assert source.extracted("```\nreturn x\n```", "f", opening) == ("    return x", "body")
    assert source.extracted("```\n    return x\n```", "f", opening) == ("    return x", "body")


def test_a_program_that_does_not_parse_is_told_from_none():
    assert source.extracted("```\ndef f(:\n```", "f") == ("def f(:", "unparsed")
    assert source.extracted("I cannot do that.", "f") == ("", "none")
    assert source.extracted("```\ndef other(): pass\n```", "f") == ("", "none")
