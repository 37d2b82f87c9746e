"""What a failed run says to whoever is to mend the program: the test, what went in, what came out, what should have.

The form is that of personalised distillation (Chen et al. 2023): the class of the error, then INPUT, OUTPUT, EXPECTED,
each cut to 50 words. What this does not do: show a hidden test; it is given the tests that may be shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tandem.sandbox.verdict import Verdict

WORDS = 50
"""Words of each part that are kept."""


def feedback(verdict: Verdict, tests: Sequence[str | Mapping[str, str]] = ()) -> str:
    """The first test that did not pass, in words; empty where all passed, or there is no verdict."""
    first = verdict.first
    if first is None or verdict.outcome in ("broken", "infrastructure"):
        return ""
    lines = []
    if first.kind:
        said = first.message if first.outcome == "failed" else first.text
        place = f" (line {first.line})" if first.line and first.outcome == "error" else ""
        lines.append(f"{first.kind}: {cut(said)}{place}" if said else first.kind + place)
    else:
        lines.append({"timeout": "Timeout"}.get(first.outcome, "Ended") + f": {cut(first.text)}")
    test = tests[first.number] if first.number < len(tests) else ""
    if first.outcome == "failed" and isinstance(test, str):
        lines.append(f"TEST: assert {cut(first.text)}")
    elif first.input and isinstance(test, str) and len(test.splitlines()) == 1:
        lines.append(f"TEST: {cut(test.strip())}")
    for name in ("input", "output", "expected"):
        if value := getattr(first, name):
            lines.append(f"{name.upper()}: {cut(value)}")
    return "\n".join(lines)


def cut(text: str, words: int = WORDS) -> str:
    """A text's first words; its own spacing stays where it is short enough."""
    kept = text.split(maxsplit=words)
    return text if len(kept) <= words else " ".join(kept[:words]) + " …"
