"""`qmsum`: a question over the transcript of a meeting, answered in a few sentences, scored by ROUGE as in SCROLLS.

The prompt has SCROLLS' parts in its order (transcript, blank line, question, answer). A transcript that does not fit is
cut by a named policy (`text=lead`, `tail`, `middle-out`), for all questions of a meeting at the same place, so that
they share what is read. `text=oracle` shows only the turns that annotators found relevant: an upper bound, never
comparable with the others. Scores are means of F; the geometric mean of the three is SCROLLS' figure. Words are not
stemmed. Questions of a meeting are not independent: intervals resample meetings.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.evaluate.long.asking import Asked, Asking, Request, ask, seen
from tandem.evaluate.long.cuts import POLICIES, Cut, cut
from tandem.evaluate.long.found import Found, excerpt
from tandem.evaluate.long.inputs import Inputs, find
from tandem.evaluate.long.settings import at_least, one_of
from tandem.lm.meter import worst_read
from tandem.metrics.rouge import KINDS, rouge_scores
from tandem.programs import rows
from tandem.results import Example, Figure, Item, Table
from tandem.runs import file_hash
from tandem.stats import bootstrap
from tandem.text import count

VERSION = "1"
ORACLE = "oracle"
MEAN = "geometric mean"
MEETINGS = 'a line of meetings is {"meeting_id": …, "turns": [{"speaker": …, "content": …}, …]}'
QUERIES = (
    'a line of queries is {"meeting_id": …, "query": …, "answer": …, "kind": …, "relevant_turns": [[first, last], …]}'
)


@dataclass(frozen=True)
class Settings:
    """What `--set` may say."""

    text: str = "lead"
    """What of a transcript stays: lead, tail, middle-out; or oracle, the relevant turns alone."""
    answer_tokens: int = 256
    """Longest answer; the transcript gets what it leaves of the context."""

    def __post_init__(self) -> None:
        at_least(1, answer_tokens=self.answer_tokens)
        one_of("text", self.text, (*POLICIES, ORACLE))


@dataclass(frozen=True)
class Query:
    """One question over a meeting."""

    id: str
    """Meeting and number."""
    meeting: str
    """Of the meeting."""
    text: str
    """What is asked."""
    answer: str
    """The reference."""
    kind: str
    """`general` or `specific`."""
    relevant: tuple[tuple[int, int], ...] | None
    """First and last turn of each relevant part; None for general questions."""


class Qmsum:
    """The task as it was asked for."""

    version = VERSION

    def __init__(self, name: str, split: str, settings: Settings, inputs: Inputs) -> None:
        self.name, self.settings = name, settings
        self.turns, self.queries, files = read(split, inputs)
        self.left_out = 0
        if settings.text == ORACLE:
            every = len(self.queries)
            self.queries = [query for query in self.queries if query.relevant]
            self.left_out = every - len(self.queries)
        self.queries = self.queries[: inputs.first(len(self.queries))]
        if not self.queries:
            raise UserError("no query has relevant turns", where=name, remedy="choose another --set text=")
        self.total = len(self.queries)
        self.facts: Mapping[str, Any] = asdict(settings) | {"items": self.total} | files

    async def measure(self, model: Asked, asking: Asking) -> Found:
        """Ask every query over what fits of its meeting."""
        most = model.abilities.context - asking.how(self.settings.answer_tokens).max_tokens
        shown = self._shown(model, asking, most)
        how = asking.how(self.settings.answer_tokens, "\n\n")
        requests = [Request(q.id, asking.prompt(body(shown[q.id].text, q), "Answer:"), how) for q in self.queries]
        replies = await ask(requests, model, asking)
        there = [query for query in self.queries if query.id in replies.got]
        texts = [replies.got[query.id].text.strip() for query in there]
        scores = rouge_scores(texts, [query.answer for query in there]).f if there else np.zeros((0, 3))
        found = []
        for query, text, of in zip(there, texts, scores.tolist(), strict=True):
            cutting = shown[query.id]
            found.append(
                {
                    "id": query.id,
                    "group": query.kind,
                    "meeting": query.meeting,
                    "question": query.text,
                    "gold": query.answer,
                    "written": text,
                    "outcome": replies.got[query.id].outcome,
                    **dict(zip(KINDS, of, strict=True)),
                    "rouge": math.prod(of) ** (1 / 3),
                    "words": cutting.words,
                    "words_kept": cutting.kept,
                }
            )
        notes = [*self._cutting(shown), *replies.notes()]
        prompts = {request.id: seen(request.prompt) for request in requests}
        return _found(self, found, there, scores, notes, prompts, replies.missing, replies.aside())

    def _shown(self, model: Asked, asking: Asking, most: int) -> dict[str, Cut]:
        """What each query shows of its meeting; the same for all queries of one, but for the oracle."""
        policy = self.settings.text if self.settings.text in POLICIES else "lead"
        found: dict[str, Cut] = {}
        together: dict[str, list[Query]] = {}
        for query in self.queries:
            together.setdefault(query.id if self.settings.text == ORACLE else query.meeting, []).append(query)
        for group in together.values():
            text = transcript(self.turns[group[0].meeting], group[0] if self.settings.text == ORACLE else None)
            longest = max(group, key=lambda query: worst_read(model.count(asking.prompt(body("", query), "Answer:"))))

            def fits(part: str, longest: Query = longest) -> bool:
                return worst_read(model.count(asking.prompt(body(part, longest), "Answer:"))) <= most

            cutting = cut(text, policy, fits)
            if cutting is None:
                raise UserError(
                    f"a context of {count(model.abilities.context)} tokens has no room for a transcript beside the "
                    f"query and an answer of {count(model.abilities.context - most)} tokens",
                    where=longest.id,
                    remedy="use a model with a longer context, or shorter answers: --set answer_tokens=64",
                )
            found |= dict.fromkeys((query.id for query in group), cutting)
        return found

    def _cutting(self, shown: Mapping[str, Cut]) -> list[str]:
        """What was cut, told loudly."""
        told = []
        if self.settings.text == ORACLE:
            told.append("ORACLE: only the annotated relevant turns are shown; not comparable with other figures")
        if self.left_out:
            told.append(f"{count(self.left_out)} general queries have no relevant turns and are left out")
        short = [one for one in shown.values() if one.short]
        if short:
            shares = [one.share for one in short]
            policy = self.settings.text if self.settings.text in POLICIES else "lead"
            told.append(
                f"CUT ({policy}): {count(len(short))} of {count(len(shown))} prompts show only a part of their text, "
                f"on average {sum(shares) / len(shares):.0%} of its words ({min(shares):.0%} to {max(shares):.0%})"
            )
        return told


def body(text: str, query: Query) -> str:
    """Transcript and question, without the cue."""
    return f"{text}\n\nQuestion: {query.text}"


def transcript(turns: Sequence[tuple[str, str]], query: Query | None = None) -> str:
    """The turns of a meeting, a line each; with a query, those that are relevant to it."""
    chosen = range(len(turns))
    if query is None:
        return "\n".join(f"{turns[n][0]}: {turns[n][1]}" for n in chosen)
    within = sorted({n for first, last in query.relevant or () for n in chosen[first : last + 1]})
    return "\n".join(f"{turns[n][0]}: {turns[n][1]}" for n in within)


def _found(
    task: Qmsum,
    found: Sequence[Mapping[str, Any]],
    there: Sequence[Query],
    scores: NDArray[np.float64],
    notes: Sequence[str],
    prompts: Mapping[str, str],
    missing: tuple[tuple[str, str], ...],
    aside: tuple[str, ...],
) -> Found:
    kinds = [kind for kind in ("all", *dict.fromkeys(query.kind for query in there)) if there]
    if len(kinds) == 2:
        kinds = kinds[:1]
    of_kind: dict[str, list[Figure]] = {}
    for kind in kinds:
        rows_ = [n for n, query in enumerate(there) if kind in ("all", query.kind)]
        of_kind[kind] = figures([there[n].meeting for n in rows_], scores[rows_])
    table = Table(
        "ROUGE",
        ("queries", *KINDS, MEAN, "n"),
        tuple((kind, *of_kind[kind], of_kind[kind][0].n) for kind in kinds),
        note="Mean F, words not stemmed. Geometric mean: of the three means, as in SCROLLS. 95 % intervals: bootstrap "
        "over meetings; over queries where there is only one meeting.",
    )
    outcomes = Counter(row["outcome"] for row in found)
    words = Table(
        "Answers",
        ("outcome", "answers", "mean words"),
        tuple(
            (outcome, n, sum(len(r["written"].split()) for r in found if r["outcome"] == outcome) / n)
            for outcome, n in outcomes.items()
        ),
    )
    examples = [
        Example(row["id"], excerpt(prompts[row["id"]]), (("model", row["written"]),), row["gold"]) for row in found[:3]
    ]
    items: list[Item] = [table, words, *examples]
    rows_of = tuple((kind, each) for kind in kinds for each in of_kind[kind])
    mean = of_kind["all"][-1] if kinds else None
    headline = (
        (Figure(f"{task.name}, {MEAN} of ROUGE", mean.value, "%", mean.low, mean.high, n=mean.n),) if mean else ()
    )
    lead = f"{count(len(there))} queries over {count(len({q.meeting for q in there}))} meetings."
    return Found(task.name, VERSION, rows_of, headline, tuple(items), tuple(found), lead, tuple(notes), missing, aside)


def figures(meetings: Sequence[str], scores: NDArray[np.float64]) -> list[Figure]:
    """Means of ROUGE's kinds and their geometric mean, with intervals over meetings."""
    places = {meeting: n for n, meeting in enumerate(dict.fromkeys(meetings))}
    owner = np.array([places[meeting] for meeting in meetings])
    if len(places) == 1:
        owner = np.arange(len(meetings))
    sums = np.stack([np.bincount(owner, weights=scores[:, kind]) for kind in range(len(KINDS))], axis=1)
    sizes = np.bincount(owner).astype(np.float64)

    def means(chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        which = chosen.astype(np.intp)
        return np.asarray(sums[which].sum(axis=0) / sizes[which].sum())

    def made(name: str, statistic: Callable[[NDArray[np.float64]], float]) -> Figure:
        found = bootstrap(list(range(len(sizes))), statistic)
        low, high = (found.low, found.high) if len(sizes) > 1 else (None, None)
        return Figure(name, found.value, "%", low, high, n=len(meetings))

    each = [made(kind, lambda chosen, n=n: float(means(chosen)[n])) for n, kind in enumerate(KINDS)]  # type: ignore[misc]
    return [*each, made(MEAN, lambda chosen: float(np.prod(means(chosen)) ** (1 / len(KINDS))))]


def read(split: str, inputs: Inputs) -> tuple[dict[str, list[tuple[str, str]]], list[Query], dict[str, str]]:
    """Turns by meeting, queries, and the files' hashes. Raises UserError with file and line on what cannot be used."""
    names = {f"qmsum_{split}_meetings": MEETINGS, f"qmsum_{split}_queries": QUERIES}
    files: dict[str, Path] = {}
    for name, form in names.items():
        file = find(name, inputs.data, form)
        if file is None:
            remedy = f"put {name}.jsonl.gz into a folder and name that, or give {name}=FILE; {form}"
            raise UserError(f"no data called {name}", where="--data", remedy=remedy)
        files[name] = file
    meetings, asked = files.values()
    turns: dict[str, list[tuple[str, str]]] = {}
    for where, row in rows.read(meetings):
        fields = _fields(row, where, MEETINGS, "meeting_id", "turns")
        try:
            turns[str(fields["meeting_id"])] = [(str(t["speaker"]), str(t["content"])) for t in fields["turns"]]
        except (TypeError, KeyError):
            raise UserError("turns is no list of speakers with contents", where=where, remedy=MEETINGS) from None
    queries: list[Query] = []
    numbers: Counter[str] = Counter()
    for where, row in rows.read(asked):
        fields = _fields(row, where, QUERIES, "meeting_id", "query", "answer")
        meeting = str(fields["meeting_id"])
        if meeting not in turns:
            raise UserError(f"there is no meeting {meeting!r} in {meetings.name}", where=where, remedy=MEETINGS)
        numbers[meeting] += 1
        parts = fields.get("relevant_turns")
        try:
            relevant = tuple((int(first), int(last)) for first, last in parts) if parts else None
        except (TypeError, ValueError):
            raise UserError("relevant_turns is no list of [first, last]", where=where, remedy=QUERIES) from None
        kind = str(fields.get("kind", "all"))
        id = f"{meeting}-{numbers[meeting]:02d}"
        queries.append(Query(id, meeting, str(fields["query"]), str(fields["answer"]), kind, relevant))
    if not queries:
        raise UserError("holds no rows", where=str(asked), remedy=QUERIES)
    return turns, queries, {f"{name}_sha256": file_hash(file) for name, file in files.items()}


def _fields(row: Any, where: str, form: str, *names: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError("is not an object", where=where, remedy=form)
    if lacking := [name for name in names if name not in row]:
        raise UserError(f"no field {', '.join(lacking)} (its fields: {', '.join(row):.200})", where=where, remedy=form)
    return row
