"""What `tandem answer` says about one question: the answer with its steps and citations, and how it came about.

    chains     5 at temperature 0.7
      1        Stockholm
               Pippi Longstocking was written by Astrid Lindgren. Astrid Lindgren was born in Stockholm.
    vote       Stockholm: 2 of 5
    gate       count 2 is below 3: looked up
    step       Astrid Lindgren was born in Stockholm.
      check    Where was Astrid Lindgren born?
      found    [cards.jsonl:3] Astrid Lindgren was born on a farm near Vimmerby.
      edited   Astrid Lindgren was born near Vimmerby.
    answer     Vimmerby

Labels stand in a column, texts are wrapped beside them. Prompts and single calls are left out (the items of a run have
them). Colour is for terminals only.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tandem.cli.answers import printable
from tandem.sources.passages.document import from_here
from tandem.text import count

if TYPE_CHECKING:
    from tandem.reason.running import Record
    from tandem.trace import Step
    from tandem.types import Finding

COLUMN = 11
"""Width of the labels."""
PIPED = 100
"""Width where standard output is no terminal."""
LONGEST = 400
"""Characters of a finding that are shown."""
_COLOURS = {"label": "2", "good": "32", "bad": "31", "strong": "1"}
_STAYS = {
    "no-evidence": "nothing was found; it stays",
    "source-failed": "a source did not answer; it stays",
    "query-invalid": "no query could be run; it stays",
    "not-asked": "there is no source; it stays",
    "undecided": "the findings do not say it; it stays",
    "cut": "the correction was cut; it stays",
    "refused": "the model refuses to say; it stays",
}


class Line(NamedTuple):
    """A label and its text."""

    depth: int
    label: str
    text: str
    tone: str = ""


def show(lines: Iterable[Line]) -> None:
    """Print lines, wrapped beside their labels."""
    live = sys.stdout.isatty()
    width = max(30, shutil.get_terminal_size().columns if live else PIPED)
    for line in lines:
        begin = "  " * line.depth + line.label
        begin = f"{begin:<{COLUMN}}" if len(begin) < COLUMN else f"{begin} "
        text = printable(" ".join(line.text.split()))
        wrapped = textwrap.wrap(text, max(20, width - COLUMN), break_on_hyphens=False) or [""]
        if len(begin) > COLUMN:
            wrapped = textwrap.wrap(f"{begin[COLUMN:]}{text}", max(20, width - COLUMN), drop_whitespace=False)
            begin = begin[:COLUMN]
        first, *rest = wrapped
        print(f"{coloured(begin, 'label')}{coloured(first, line.tone)}".rstrip())
        for more in rest:
            print(f"{' ' * COLUMN}{coloured(more.strip(), line.tone)}")


def coloured(text: str, tone: str) -> str:
    """The text in a tone, on a terminal that wants it."""
    if not tone or not text.strip() or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[tone]}m{text}\x1b[0m"


# ── The answer ──────────────────────────────────────────────────────────────────────────────────────────────────────


def answered(record: Record) -> None:
    """Print an answer, the steps it rests on with their citations, and where a person can look."""
    answer, live = record.answer, sys.stdout.isatty()
    cited = _citations(record)
    width = max(30, shutil.get_terminal_size().columns if live else PIPED)

    def tell(mark: str, text: str) -> None:
        indent = " " * (len(mark) + 1)
        for line in textwrap.wrap(f"{mark} {printable(text)}", width, subsequent_indent=indent, break_on_hyphens=False):
            print(line)

    if answer.text:
        print(coloured(printable(answer.text), "strong"))
    for number, text in enumerate(_steps(record, cited), 1):
        tell(f"  {number}.", text)
    for place, number in cited.items():
        finding = answer.findings[place]
        print(f"  [{number}] {printable(_place(finding))}")  # not wrapped: it is to be opened
        tell("     ", _short(finding.text))
    if rest := [_place(f) for place, f in enumerate(answer.findings) if place not in cited]:
        print("  looked at:")
        for told in dict.fromkeys(rest):
            print(f"     {printable(told)}")


def _place(finding: Finding) -> str:
    return ", ".join(part for part in (from_here(finding.place) or finding.source, finding.as_of) if part)


def _citations(record: Record) -> dict[int, int]:
    """Places among an answer's findings that its sentences cite, with their numbers."""
    places = dict.fromkeys(place for edit in _standing(record) for place in edit["cites"])
    return {place: number for number, place in enumerate(places, 1)}


def _standing(record: Record) -> Sequence[Mapping[str, Any]]:
    """The checked steps that the answer rests on; none where a step was edited and the answer is from before."""
    facts = record.answer.facts
    edits: Sequence[Mapping[str, Any]] = facts.get("edits", ())
    return () if "kept" in facts and any(edit["outcome"] == "edited" for edit in edits) else edits


def _steps(record: Record, cited: Mapping[int, int]) -> list[str]:
    """The sentences an answer rests on, with the numbers of what they cite."""
    if not (edits := _standing(record)):
        return [record.answer.rationale] if record.answer.rationale else []
    told = []
    for edit in edits:
        marks = "".join(f" [{cited[place]}]" for place in edit["cites"])
        told.append(f"{edit['text']}{' (corrected)' if edit['outcome'] == 'edited' else ''}{marks}")
    return told


# ── How it came about ───────────────────────────────────────────────────────────────────────────────────────────────


def explained(root: Step) -> Iterator[Line]:
    """The lines of a trace."""
    yield Line(0, "question", str(root.facts.get("question", "")))
    yield from _inside(root, 0)
    calls = [each.facts for each in root.walk() if each.name in ("generate", "score")]
    read, written = (sum(call.get(key, 0) for call in calls) for key in ("tokens_read", "tokens_written"))
    yield Line(0, "calls", f"{count(len(calls))}; {count(read)} tokens read, {count(written)} written")
    if adapted := dict.fromkeys(what for each in root.walk() for what in each.facts.get("adapted", ())):
        yield Line(0, "adapted", ", ".join(adapted))


def _inside(step: Step, depth: int) -> Iterator[Line]:
    for inner in step.steps:
        if inner.name not in ("generate", "score"):
            yield from _TELLERS.get(inner.name, _other)(inner, depth)
            if "error" in inner.facts:
                yield Line(depth, "failed", f"{inner.outcome}: {inner.facts['error']}", "bad")


def _chains(step: Step, depth: int) -> Iterator[Line]:
    chains = step.facts.get("chains", ())
    yield Line(depth, "chains", f"{step.facts['samples']} at temperature {step.facts['temperature']:g}")
    for number, chain in enumerate(chains, 1):
        yield Line(depth + 1, str(number), chain["answer"] or f"({chain['outcome']})", "strong")
        if chain["steps"]:
            yield Line(depth + 1, "", " ".join(chain["steps"]))


def _vote(step: Step, depth: int) -> Iterator[Line]:
    facts = step.facts
    mass = f", mass {facts['mass']:.2f}" if facts.get("mass") is not None else ""
    told = f"{facts['answer']}: {facts['count']} of {facts['n']}{mass}" if facts["count"] else "no chain has an answer"
    yield Line(depth, "vote", told)


def _gate(step: Step, depth: int) -> Iterator[Line]:
    facts = step.facts
    then = "looked up" if facts.get("opens") else "the answer stands"
    value = facts.get("value")
    if "threshold" not in facts:
        yield Line(depth, "gate", f"{facts.get('score')}: {then}")
    elif value is None:
        yield Line(depth, "gate", f"{facts['score']} is not known: {then}")
    else:
        below = "is below" if value < facts["threshold"] else "is not below"
        yield Line(depth, "gate", f"{facts['score']} {value:.3g} {below} {facts['threshold']:g}: {then}")


def _checked(step: Step, depth: int) -> Iterator[Line]:
    facts = step.facts
    yield Line(depth, "step", facts["sentence"])
    if "question" in facts:
        yield Line(depth + 1, "check", facts["question"])
    yield from _inside(step, depth + 1)
    how = facts.get("edited", step.outcome)
    if how == "edited":
        yield Line(depth + 1, "edited", facts["edit"], "good")
    else:
        yield Line(depth + 1, "confirmed" if how == "confirmed" else "stays", _STAYS.get(how, ""))


def _look_up(step: Step, depth: int) -> Iterator[Line]:
    for asked in (inner for inner in step.steps if inner.name == "ask source"):
        facts = asked.facts
        how = (
            f"found {facts['found']}" if facts.get("found") else "nothing" if asked.outcome == "done" else asked.outcome
        )
        problem = facts.get("refused") or facts.get("failed") or ""
        told = f"{facts['source']}: {how}{f' ({problem})' if problem else ''}"
        yield Line(depth, "asked", told, "bad" if problem else "")
        if facts.get("language") != "text" and facts.get("query"):
            yield Line(depth, "query", facts["query"])
    for found in step.facts.get("findings", ()):
        title = f"{found['title']}: " if found.get("title") else ""
        place = from_here(str(found.get("place") or "")) or found.get("source")
        yield Line(depth, "found", f"[{place}] {title}{_short(found['text'])}")


def _finish(step: Step, depth: int) -> Iterator[Line]:
    yield Line(depth, "answer", step.facts.get("answer") or f"({step.facts.get('outcome', step.outcome)})", "strong")


def _turn(step: Step, depth: int) -> Iterator[Line]:
    facts = step.facts
    yield Line(depth, f"turn {facts['n']}", facts.get("thought", ""))
    if "action" in facts:
        yield Line(depth + 1, "action", f"{facts['action']}[{facts['argument']}]")
    yield from _inside(step, depth + 1)
    if "observation" in facts and not any(inner.name == "look up" for inner in step.steps):
        yield Line(depth + 1, "observed", facts["observation"])


def _back_off(step: Step, depth: int) -> Iterator[Line]:
    facts = step.facts
    yield Line(depth, "back off", facts.get("why") or f"{facts.get('count')} of {facts.get('n')} agree")
    yield from _inside(step, depth + 1)


def _domains(step: Step, depth: int) -> Iterator[Line]:
    named = step.facts.get("domains", ())
    yield Line(depth, "fields", named if isinstance(named, str) else ", ".join(named))
    if left := step.facts.get("not asked"):
        yield Line(depth, "not asked", ", ".join(left))


def _go_on(step: Step, depth: int) -> Iterator[Line]:
    yield Line(depth, "goes on", " ".join(step.facts.get("steps", ())) or "with no further step")


def _sure(step: Step, depth: int) -> Iterator[Line]:
    sure = step.facts.get("sure")
    yield Line(depth, "says", "no number" if sure is None else f"{sure:.0%} sure")


def _other(step: Step, depth: int) -> Iterator[Line]:
    yield Line(depth, step.name, "; ".join(f"{key} {_value(value)}" for key, value in step.facts.items()))
    yield from _inside(step, depth + 1)


def _nothing(step: Step, depth: int) -> Iterator[Line]:
    yield from ()


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST].rpartition(' ')[0]} …"


_TELLERS: dict[str, Callable[[Step, int], Iterator[Line]]] = {
    "sample chains": _chains,
    "vote": _vote,
    "gate": _gate,
    "ask how sure": _sure,
    "verify": _checked,
    "correct": _checked,
    "look up": _look_up,
    "choose domains": _domains,
    "go on": _go_on,
    "finish": _finish,
    "answer directly": _finish,
    "turn": _turn,
    "ask for the action": _nothing,
    "back off": _back_off,
}
