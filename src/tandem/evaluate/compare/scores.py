"""Per-item scores of one system on one task, and how to show an item: what comparisons are made of.

A row of a file becomes a score for each metric; rows with the same id are samples of one item, and its score is their
mean, or pass@k. A score that is missing or no number is NaN and is left out of the comparison, counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.evaluate.choices import METRICS
from tandem.metrics.pass_at_k import KS, pass_at_k

KNOWN = (
    *(*METRICS, "mass", "passed", "right", "correct", "score", "em", "exact_match", "f1", "rouge", "bleu", "win"),
    *("preference", "rating"),
    *("exact match", "F1", "accuracy", "label accuracy", "mean sentence BLEU"),
    *("ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"),
)
"""Fields that are taken for scores where nobody names one."""
_PROMPT = ("prompt", "question", "text", "input", "instruction", "claim", "source")
_PREDICTION = ("extracted", "prediction", "predicted", "answer", "output", "response", "completion", "written")
_GOLD = ("gold", "reference", "references", "expected", "label", "target", "answers")


@dataclass(frozen=True)
class Scores:
    """What one system got on one task."""

    task: str
    """Name of the task."""
    ids: tuple[str, ...]
    """Items in the file's order."""
    values: Mapping[str, NDArray[np.float64]]
    """Metric → each item's score; NaN where it has none."""
    lines: tuple[Any, ...]
    """Each item's first line, as JSON bytes or parsed: for showing it."""
    samples: tuple[int, ...]
    """Each item's rows."""
    passed: NDArray[np.float64] | None = None
    """Of several samples each, how many pass."""
    groups: tuple[str, ...] | None = None
    """Each item's group, where the records have one."""
    asked: tuple[int, ...] = ()
    """Hash of each item's prompt and choices, 0 where the record has none: the same within one process only."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the figures depend on: version, shots, hashes of data."""

    def pass_at(self, k: int) -> NDArray[np.float64]:
        """Each item's pass@k; NaN where it has fewer samples than k."""
        assert self.passed is not None
        both = zip(self.samples, self.passed, strict=True)
        return np.array([pass_at_k(n, int(c), k) if n >= k else np.nan for n, c in both])

    def row(self, place: int) -> dict[str, Any]:
        """The first record of an item."""
        line = self.lines[place]
        return line if isinstance(line, dict) else dict(json.loads(line))


def gather(
    task: str,
    rows: Sequence[tuple[str, Mapping[str, Any], Any]],
    metrics: Sequence[str] = (),
    *,
    where: str,
    facts: Mapping[str, Any] | None = None,
    group: str | None = "group",
) -> Scores:
    """Scores out of rows, each (id, record, what to keep for showing). `metrics` names fields; none: the known ones.

    Raises UserError with the fields there are where no row has a score.
    """
    known: dict[str, None] = {}
    for _, record, _ in rows:
        known.update(dict.fromkeys(record))
    chosen = [name for name in metrics or KNOWN if name in known]
    if lacking := [name for name in metrics if name not in known]:
        raise _no_score(f"no field {lacking[0]!r}", rows, known, where)
    chosen = [name for name in chosen if any(_number(record.get(name)) is not None for _, record, _ in rows)]
    if not chosen:
        raise _no_score(
            f"{metrics[0]} holds no number" if metrics else "no field is known for a score", rows, known, where
        )
    places: dict[str, int] = {}
    of = np.array([places.setdefault(id, len(places)) for id, _, _ in rows])
    samples = np.bincount(of, minlength=len(places))
    firsts = np.unique(of, return_index=True)[1]
    values = {}
    for name in chosen:
        each = [_number(record.get(name)) for _, record, _ in rows]
        column = np.array([np.nan if value is None else value for value in each])
        values[name] = np.bincount(of, weights=column, minlength=len(places)) / samples
    passed = None
    if "passed" in values and samples.max() > 1:
        passed = np.rint(values.pop("passed") * samples)
    first = [rows[place] for place in firsts]
    has_group = group is not None and all(record.get(group) not in (None, "") for _, record, _ in first)
    return Scores(
        task,
        tuple(places),
        values,
        tuple(kept for _, _, kept in first),
        tuple(samples.tolist()),
        passed,
        tuple(str(record[group]) for _, record, _ in first) if has_group and group is not None else None,
        tuple(_asked(record) for _, record, _ in first),
        facts or {},
    )


def metrics_of(
    a: Scores, b: Scores, ks: Sequence[int] = ()
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Metric → both systems' scores, for the metrics that both have."""
    found = {name: (a.values[name], b.values[name]) for name in a.values if name in b.values}
    if "passed" in a.values or a.passed is not None:
        found.pop("passed", None)
        one, other = (_counted(side) for side in (a, b))
        if one is not None and other is not None:
            least = min(*one.samples, *other.samples)
            for k in ks or [k for k in KS if k <= least]:
                found[f"pass@{k}"] = one.pass_at(k), other.pass_at(k)
    return found


def _counted(side: Scores) -> Scores | None:
    """With `passed` as a count, whatever the number of samples."""
    if side.passed is not None or "passed" not in side.values:
        return side if side.passed is not None else None
    whole = side.values["passed"]
    return Scores(side.task, side.ids, {}, side.lines, side.samples, whole) if not np.isnan(whole).any() else None


def shown(record: Mapping[str, Any], metric: str) -> tuple[str, str, str]:
    """(prompt, prediction, gold) of a record in words; empty where it has none."""
    choices = record.get("choices")
    if isinstance(choices, list) and isinstance(record.get("gold"), int | list):
        gold = record["gold"]
        right = gold if isinstance(gold, list) else [gold]
        prompt = record.get("prompt", "")
        stems = prompt if isinstance(prompt, list) else [prompt]
        said = _chosen(record, metric)
        words = [
            f"{stems[i]} {choices[i]}" if len(stems) > 1 else str(choices[i]) for i in range(min(len(choices), 1 << 16))
        ]
        names = [words[i] for i in right if isinstance(i, int) and 0 <= i < len(words)]
        return str(stems[0]) if len(stems) == 1 else "", words[said] if said is not None else "", " / ".join(names)
    if "completion" in record and "task_id" in record:
        what = f"\n{record['result']}" if record.get("result") else ""
        return str(record["task_id"]), f"{record['completion']}{what}", ""
    taken = [_first(record, names) for names in (_PROMPT, _PREDICTION, _GOLD)]
    return taken[0], taken[1], taken[2]


def _chosen(record: Mapping[str, Any], metric: str) -> int | None:
    """The choice that a metric goes by: the record has that of acc only, and the log-probabilities."""
    said, logprobs, choices = record.get("prediction"), record.get("logprobs"), record["choices"]
    if metric in ("acc_norm", "acc_bytes") and isinstance(logprobs, list) and len(logprobs) == len(choices):
        size = [
            max(1, len(str(c)) if metric == "acc_norm" else len(str(c).encode("utf-8", "replace"))) for c in choices
        ]
        each = [-np.inf if p is None else p / n for p, n in zip(logprobs, size, strict=True)]
        return int(np.argmax(each))
    return said if isinstance(said, int) and 0 <= said < len(choices) else None


def _first(record: Mapping[str, Any], names: Sequence[str]) -> str:
    for name in names:
        if (value := record.get(name)) not in (None, ""):
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return ""


def _number(value: Any) -> float | None:
    """A score: a number or true or false; NaN and infinities are none."""
    if not isinstance(value, bool | int | float):
        return None
    number = float(value)
    return number if np.isfinite(number) else None


def _asked(record: Mapping[str, Any]) -> int:
    parts = [record[name] for name in ("prompt", "question", "choices") if name in record]
    return hash(repr(parts)) if parts else 0


def _no_score(problem: str, rows: Sequence[tuple[str, Mapping[str, Any], Any]], known: Any, where: str) -> UserError:
    numbers = [name for name in known if any(_number(record.get(name)) is not None for _, record, _ in rows[:1000])]
    there = (
        f"fields with numbers: {', '.join(numbers)}"
        if numbers
        else f"its fields, none with numbers: {', '.join(known)}"
    )
    return UserError(f"{problem} ({there:.300})", where=where, remedy="say which one holds the score: --score FIELD")
