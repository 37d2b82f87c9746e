"""Does running the published wrong programs again give the published feedback?

    python experiments/persd_feedback.py --refine persd_inpd_refine.jsonl.gz --direct persd_inpd.jsonl.gz [--out FILE]

The data are those of personalised distillation (Chen et al. 2023): each prompt holds a task, a student's wrong program
and what its first failing test said. A failed assertion is recorded with INPUT, OUTPUT and EXPECTED, so the very call
can be made again; of any other error only class and message are recorded, so it can be met again only where loading
the program already raises it, or the function asked for is not there. The second file tells which one that is.

Each program is run twice. Where our feedback differs from the recorded one, the difference is put down to the first
reason that can be *shown* (the two outputs are equal as sets, as floats, up to addresses; the program differs between
our own two runs; …), else to none: `unexplained`. Task numbers by reason go to --out, no text of the data.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import json
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.evaluate.code.verdicts import AT_ONCE
from tandem.programs import rows, source
from tandem.programs.feedback import WORDS
from tandem.sandbox import Limits, Sandbox, Tests, Verdict
from tandem.together import each

LIMITS = Limits(cpu=3, wall=9, memory=2 << 30)
PREAMBLE = (
    "import sys, os, re, math, random, string, itertools, functools, collections, heapq, bisect, datetime, copy\n"
)
PREAMBLE += "from typing import *\nfrom collections import *\nfrom itertools import *\nfrom heapq import *\n"
"""The authors ran programs behind imports of their own; recorded outputs show `np` and heapq's `merge` among them."""
SURROUNDINGS = re.compile(r"\b(cpu_count|requests|urllib|http|socket|getcwd|listdir|platform|environ|input)\b")
RANDOM = re.compile(r"\b(random|randint|secrets|uuid|shuffle|time|datetime|now|urandom)\b")


@dataclass(frozen=True)
class Recorded:
    """One row: a wrong program and what was said of it."""

    id: int
    program: str
    entry: str
    kind: str
    """Class of the error."""
    text: str
    """Its message."""
    input: str
    output: str
    expected: str

    @property
    def cut(self) -> bool:
        """Whether one of the texts was cut to its first words."""
        return any(len(text.split()) >= WORDS for text in (self.input, self.output, self.expected))


def read(refine: Path, direct: Path) -> list[Recorded]:
    """The rows of both files, taken apart."""
    asked = {}
    for _, row in rows.read(direct):
        found = source.defined(row["finetuning_prompt"] + "    pass\n")
        asked[row["task_id"]] = found[-1] if found else ""
    return [taken_apart(row, asked.get(row["task_id"], "")) for _, row in rows.read(refine)]


def taken_apart(row: Mapping[str, Any], entry: str) -> Recorded:
    """Task, program and feedback out of a prompt."""
    before, _, after = row["finetuning_prompt"].rpartition("\nERROR:")
    _, _, given = before.partition('"""')
    _, _, program = given.partition('"""')
    said = after.rpartition('\n"""')[0].rpartition('\n"""')[0].strip()
    parts = {"input": "", "output": "", "expected": ""}
    match = re.fullmatch(r"AssertionError\s*\nINPUT:(.*?)\nOUTPUT:(.*?)\nEXPECTED:(.*)", said, re.DOTALL)
    if match:
        parts = dict(zip(parts, (m.strip() for m in match.groups()), strict=True))
    kind, _, text = said.partition(":")
    if not entry:
        entry = (source.defined(program) or ("",))[-1]
    return Recorded(row["task_id"], program.lstrip("\n"), entry, "AssertionError" if match else kind.strip(),
                    "" if match else text.strip().removesuffix(":").strip(), **parts)  # fmt: skip


# ── Running ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def run(recorded: Recorded, sandbox: Sandbox) -> list[Verdict]:
    """The recorded call, or only loading the program; twice."""
    tests = Tests((), entry=(recorded.entry,))
    if recorded.kind == "AssertionError":
        call = {"call": recorded.entry + recorded.input, "expected": recorded.expected}
        tests = Tests((call,), setup="import numpy as np\n" * ("np." in recorded.input), entry=(recorded.entry,))
    numeric = "np." in recorded.program + recorded.input
    program = PREAMBLE + "import numpy as np\n" * numeric + recorded.program
    return [await sandbox.examine(program, tests, LIMITS) for _ in range(2)]


# ── Comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────


def compare(recorded: Recorded, verdicts: list[Verdict]) -> tuple[str, str]:
    """`agrees`, `differs` or `no call recorded`; and for what reason."""
    verdict = verdicts[0]
    if recorded.kind != "AssertionError":
        return of_error(recorded, verdict)
    output = shown(verdict)
    if verdict.outcome == "failed" and same_text(output, recorded.output):
        return "agrees", "same output"
    return "differs", reason(recorded, verdicts, output)


def of_error(recorded: Recorded, verdict: Verdict) -> tuple[str, str]:
    """An error whose call is not recorded: only loading can be repeated."""
    first = verdict.first
    if first is None:
        return "no call recorded", recorded.kind
    ours, theirs = first.kind.rpartition(".")[2], recorded.kind.rpartition(".")[2]
    if ours == theirs:
        return "agrees", "same class when loaded"
    if {ours, theirs} <= {"SyntaxError", "IndentationError", "TabError"}:
        return "agrees", "class of the same syntax error in another Python"
    if ours in ("ModuleNotFoundError", "ImportError"):
        return "differs", "a package is not installed here"
    if recorded.entry not in source.defined(recorded.program):
        return "differs", "the recorded program has lost its header"
    if theirs == "Exit code":
        return "differs", "their process was killed"
    return "differs", f"unexplained: {recorded.kind} → {ours or verdict.outcome}"


def shown(verdict: Verdict) -> str:
    """What came back, as text; a text without its quotes, `None` as nothing, as the authors recorded it."""
    text = verdict.first.output if verdict.first else ""
    value = literal(text)
    return value if isinstance(value, str) else "" if text == "None" else text


def reason(recorded: Recorded, verdicts: list[Verdict], output: str) -> str:
    """Why our feedback differs, the first that can be shown."""
    verdict = verdicts[0]
    first = verdict.first
    kind = first.kind if first else ""
    if kind in ("ModuleNotFoundError", "ImportError"):
        return "a package is not installed here"
    if not is_call(f"f{recorded.input}"):
        cut = len(recorded.input.split()) >= WORDS
        return "the recorded input was cut to 50 words" if cut else "the recorded input is no call"
    if first is not None and "is not plain data" in first.text:
        return "a function is an argument, and is not sent to another process"
    if kind in ("ConnectionError", "URLError", "gaierror", "HTTPError", "ConnectTimeout"):
        return "needs the network"
    if recorded.entry not in source.defined(recorded.program):
        return "the recorded program has lost its header"
    if len({(v.outcome, shown(v)) for v in verdicts}) > 1:
        return "differs between our own two runs"
    if verdict.outcome == "passed":
        return passed(recorded)
    if verdict.outcome == "failed":
        return other_output(recorded, output)
    if verdict.outcome in ("timeout", "died"):
        return f"{verdict.outcome} here"
    if RANDOM.search(recorded.program):
        return "random or the clock"
    if kind in ("PermissionError", "OSError", "FileNotFoundError", "EOFError", "MemoryError"):
        return "the sandbox gives no files, input or that much memory"
    return f"unexplained: {kind or verdict.outcome}"


def is_call(text: str) -> bool:
    """Whether a text is one call."""
    try:
        return isinstance(ast.parse(text, mode="eval").body, ast.Call)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def passed(recorded: Recorded) -> str:
    """Why a program passes here that failed there."""
    if same_numbers(recorded.output, recorded.expected) or same_value(recorded.output, recorded.expected):
        return "passes here: the recorded output and expected value are equal as values"
    if recorded.cut:
        return "passes here: the recorded texts were cut to 50 words"
    if RANDOM.search(recorded.program):
        return "random or the clock"
    if SURROUNDINGS.search(recorded.program):
        return "depends on its surroundings: network, processors, files"
    if words_of(recorded.output) == words_of(recorded.expected):
        return "passes here: same elements in another order there"
    if only_numbers(recorded.output) == only_numbers(recorded.expected) is not None:
        return "passes here: the same numbers, written by NumPy there"
    if recorded.output == "" or recorded.expected in recorded.output:
        return "passes here: the recorded output holds the expected one"
    return "unexplained: passes here"


def words_of(text: str) -> list[str]:
    """Words and numbers, sorted."""
    return sorted(re.findall(r"\w+", text))


def other_output(recorded: Recorded, output: str) -> str:
    """Why another value came back."""
    theirs = recorded.output
    words = theirs.removesuffix("…").split()
    if len(words) >= WORDS and same_text(" ".join(output.split()[: len(words)]), " ".join(words)):
        return "same output, the recorded one cut to 50 words"
    if same_value(output, theirs):
        return "same value, written in another way"
    if same_numbers(output, theirs):
        return "same numbers to 1e-6"
    if only_numbers(output) == only_numbers(theirs) is not None:
        return "same numbers, written by NumPy there"
    if plain(output) == plain(theirs):
        return "same but for addresses"
    if words_of(output) == words_of(theirs):
        return "same elements in another order"
    if RANDOM.search(recorded.program):
        return "random or the clock"
    if SURROUNDINGS.search(recorded.program):
        return "depends on its surroundings: network, processors, files"
    if theirs == "" or output == "":
        return "nothing came back there or here: printed, or not taken as printed"
    if output in theirs or theirs in output:
        return "one output holds the other: printed lines besides the result"
    return "unexplained: another output"


def same_text(ours: str, theirs: str) -> bool:
    """Equal but for white space."""
    return ours.split() == theirs.split()


def same_value(ours: str, theirs: str) -> bool:
    """Equal as literals, sets as sets."""
    a, b = literal(ours), literal(theirs)
    return a is not NOTHING and b is not NOTHING and type(a) is type(b) and bool(a == b)


def same_numbers(ours: str, theirs: str) -> bool:
    """The same text but for numbers, and those equal to 1e-6."""
    number = r"-?\d+\.?\d*(?:[eE][-+]?\d+)?"
    if re.sub(number, "#", ours).split() != re.sub(number, "#", theirs).split():
        return False
    pairs = zip(re.findall(number, ours), re.findall(number, theirs), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=1e-6, abs_tol=1e-9) for a, b in pairs)


def only_numbers(text: str) -> list[float] | None:
    """The numbers of a text that holds nothing else but brackets and commas."""
    numbers = re.findall(r"-?\d+\.?\d*(?:[eE][-+]?\d+)?", text)
    rest = re.sub(r"-?\d+\.?\d*(?:[eE][-+]?\d+)?|[\s,\[\]()]|array", "", text)
    return [float(n) for n in numbers] if numbers and not rest else None


def plain(text: str) -> str:
    """Objects by their kind alone: without address and name."""
    text = re.sub(r"<(?:[\w.]*\.)?(\w+) object(?: of the program| at 0x[0-9a-f]+|;[^<>]*)>", r"<\1>", text)
    return re.sub(r"<(function|generator|map|filter|zip)\b[^<>]*(?:<\w+>[^<>]*)*>", r"<\1>", text)


NOTHING = object()


def literal(text: str) -> Any:
    """A literal's value, or `NOTHING`."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return NOTHING


# ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def measure(recorded: list[Recorded]) -> dict[str, dict[str, list[int]]]:
    """Result → reason → task numbers."""
    found: defaultdict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))

    async def one(row: Recorded) -> None:
        what, why = compare(row, await run(row, sandbox))
        found[what][why].append(row.id)

    async with Sandbox() as sandbox:
        await each(recorded, one, AT_ONCE)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--refine", type=Path, required=True)
    parser.add_argument("--direct", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="task numbers by reason, as JSON")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    recorded = read(options.refine, options.direct)[: options.limit]
    found = asyncio.run(measure(recorded))
    again = sum(map(len, found["agrees"].values())) + sum(map(len, found["differs"].values()))
    print(f"{len(recorded)} programs; {again} could be met again")
    for what, reasons in sorted(found.items()):
        print(f"{what}: {sum(map(len, reasons.values()))}")
        for why, n in Counter({why: len(ids) for why, ids in reasons.items()}).most_common():
            print(f"  {n:5} {why}")
    if options.out:
        lines = [
            f" {json.dumps(f'{what}: {why}')}: {len(ids) if what == 'agrees' else json.dumps(sorted(ids))}"
            for what, reasons in sorted(found.items())
            for why, ids in sorted(reasons.items())
        ]
        options.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
