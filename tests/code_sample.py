"""A few invented programming tasks in the files' own forms, and a scripted model that half knows them."""

import gzip
import json

HUMANEVAL = [
    {
        "task_id": "HumanEval/0",
        "prompt": 'def double(x: int) -> int:\n    """Twice x.\n    >>> double(2)\n    4\n    """\n',
        "entry_point": "double",
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(-1) == -2, 'negative'\n",
    },
    {
        "task_id": "HumanEval/1",
        "prompt": "def is_even(x):\n    return x % 2 == 0\n\n\n"
        'def evens(numbers):\n    """The even ones among numbers."""\n',
        "entry_point": "evens",
        "canonical_solution": "    return [n for n in numbers if is_even(n)]\n",
        "test": "def check(candidate):\n    assert candidate([1, 2, 4]) == [2, 4]\n"
        "    assert all(is_even(n) for n in candidate(list(range(9))))\n",
    },
    {
        "task_id": "HumanEval/2",
        "prompt": 'def shout(text):\n    """Capitals and a mark."""\n',
        "entry_point": "shout",
        "canonical_solution": "    return text.upper() + '!'\n",
        "test": "def check(candidate):\n    assert candidate('ha') == 'HA!'\n",
    },
]
SEEN = [
    {"task_id": "HumanEval/0", "seen_tests": ["assert candidate(2) == 4", "assert candidate(3) == 7"]},
    {"task_id": "HumanEval/1", "seen_tests": ["assert candidate([1, 2]) == [2]", "assert candidate(numbers) == ["]},
    {"task_id": "HumanEval/2", "seen_tests": []},
]
"""One test is wrong and one is no Python: both fail their own gold."""

MBPP = [
    {
        "task_id": number,
        "text": f"Write a function to add {number} to a number.",
        "code": f"def add_{number}(x):\r\n\treturn x + {number}",
        "test_setup_code": "",
        "test_list": [f"assert add_{number}({x}) == {x + number}" for x in (0, 1, 5)],
        "challenge_test_list": [],
    }
    for number in (2, 3, 4, 11, 12)
]
MBPP.append(
    {
        "task_id": 13,
        "text": "Write a function to sum two numbers.",
        "code": "def helper(a):\n    return a\n\ndef sum(a, b):\n    return helper(a) + b",
        "test_setup_code": "",
        "test_list": ["assert sum(1, 2) == 3", "assert sum(0, 0) == 0", "assert sum(-1, 1) == 0"],
        "challenge_test_list": [],
    }
)
SANITIZED = [
    {
        "source_file": "invented",
        "task_id": row["task_id"],
        "prompt": row["text"],
        "code": row["code"].replace("\r\n", "\n"),
        "test_imports": ["import math"] if row["task_id"] == 12 else [],
        "test_list": [*row["test_list"], *(["assert math.floor(add_12(0.5)) == 12"] if row["task_id"] == 12 else [])],
    }
    for row in MBPP
]

RULES = """
[[rule]]
contains = ["What the test says", "double"]
answers = ["    x = x * 2\\n    return x\\n"]

[[rule]]
contains = ["What the test says", "evens"]
answers = ["    return (", "    return [n for n in numbers if n % 2 == 0]\\n"]

[[rule]]
contains = ["def double"]
answers = ["    return x + 2\\n", "    return x + x\\n\\ndef other(): pass", "    return x +\\n"]

[[rule]]
contains = ["def evens"]
answers = ["    return numbers\\n"]

[[rule]]
contains = ["def shout"]
answers = ["    return text\\n", "    return text.upper() + '!'\\n", "    while True:\\n        pass\\n"]
"""


def write(file, rows):
    """Rows as JSON Lines, compressed where the name says so; the file."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return file


def folder(place):
    """A folder with all data files and the rules of the scripted model."""
    place.mkdir(parents=True, exist_ok=True)
    write(place / "any-name.jsonl.gz", HUMANEVAL)
    write(place / "seen.jsonl", SEEN)
    write(place / "mbpp.jsonl", MBPP)
    (place / "sanitized-mbpp.json").write_text(json.dumps(SANITIZED))
    (place / "rules.toml").write_text(RULES)
    return place
