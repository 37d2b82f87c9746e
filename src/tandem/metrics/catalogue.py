"""The metrics by name, for files of predictions: what each takes from a row, and what figures it gives.

What is measured is measured once for all rows, then taken together for each group of them. The metrics themselves are
in the modules around, on plain lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tandem.metrics import agreement, alpha, answers, coverage, fever, letters, rouge, translation, values
from tandem.metrics.columns import Field
from tandem.metrics.metric import Columns, Measured, Metric, Options, Rows
from tandem.metrics.pairs import several
from tandem.metrics.pass_at_k import KS, mean_pass_at_k
from tandem.stats import Interval, mean, proportion


def _shares(column: NDArray[np.float64], rows: Rows) -> Interval:
    return proportion(int(column[rows].sum()), len(rows))


def _mean(column: NDArray[np.float64], rows: Rows, most: float = 1.0) -> Interval:
    """Student's interval, as far as values between 0 and `most` can have such a mean."""
    found = mean(column[rows])  # type: ignore[arg-type]
    return Interval(found.value, max(0.0, found.low), min(most, found.high), found.n)


def _answers(columns: Columns, options: Options) -> Measured:
    closed = answers.CLOSED if options.closed else ()
    references = columns["reference"]
    if any(columns["aliases"]):
        both = zip(references, columns["aliases"], strict=True)
        references = [[*several(one), *(several(more) if more else ())] for one, more in both]
    found = answers.score_answers(columns["prediction"], references, closed=closed)
    return Measured(lambda rows: {"exact match": _shares(found.em, rows), "F1": _mean(found.f1, rows)}, "%")


def _fever(columns: Columns, options: Options) -> Measured:
    roles = ("label", "evidence", "predicted_label", "predicted_evidence")
    claims = [fever.Claim(*row) for row in zip(*(columns[role] for role in roles), strict=True)]
    found = fever.score_claims(claims, first=options.first)
    return Measured(found.figures, "%", _unknown_labels(columns))


def _fever_label(columns: Columns, _: Options) -> Measured:
    pairs = zip(columns["predicted_label"], columns["label"], strict=True)
    right = np.array([a.strip().upper() == b for a, b in pairs], dtype=np.float64)
    return Measured(lambda rows: {"label accuracy": _shares(right, rows)}, "%", _unknown_labels(columns))


def _unknown_labels(columns: Columns) -> tuple[str, ...]:
    other = Counter(x for x in columns["predicted_label"] if x.strip().upper() not in fever.LABELS)
    if not other:
        return ()
    (most, _), n = other.most_common(1)[0], other.total()
    return (f"{n:,} predicted labels are none of FEVER's, the most frequent {most[:40]!r}: they count as wrong",)


def _letters(columns: Columns, options: Options) -> Measured:
    most = options.choices or letters.MOST
    choices = [each or most for each in columns["choices"]]
    found = letters.score_letters(columns["prediction"], columns["reference"], choices)
    unread = np.array([reading != "read" for reading in found.readings], dtype=np.float64)
    counted = Counter(found.readings)
    told = ", ".join(f"{counted[reading]:,} {reading}" for reading in letters.READINGS)
    return Measured(
        lambda rows: {"accuracy": _shares(found.right, rows), "parse failures": _shares(unread, rows)},
        "%",
        (f"letters: {told}; where none was read the answer counts as wrong",),
    )


def _bleu(columns: Columns, options: Options) -> Measured:
    found = _bleu_statistics(columns, options)
    return Measured(lambda rows: {"BLEU": found.corpus(rows)}, notes=(f"sacrebleu: {found.signature}",))


def _sentence_bleu(columns: Columns, options: Options) -> Measured:
    each = _bleu_statistics(columns, options).sentences()
    note = "mean of sentence BLEU (exponential smoothing, effective order): not comparable with corpus BLEU"
    return Measured(lambda rows: {"mean sentence BLEU": _mean(each, rows, 100.0)}, notes=(note,))


def _bleu_statistics(columns: Columns, options: Options) -> translation.Bleu:
    return translation.bleu(
        columns["prediction"], columns["reference"], lowercase=options.lowercase, tokenize=options.tokenize
    )


def _chrf(word_order: int) -> Callable[[Columns, Options], Measured]:
    name = "chrF" + "+" * word_order

    def measure(columns: Columns, options: Options) -> Measured:
        counts = translation.chrf_statistics(
            columns["prediction"], columns["reference"], word_order=word_order, lowercase=options.lowercase
        )
        return Measured(lambda rows: {name: translation.corpus_chrf(counts[rows])})

    return measure


def _rouge(columns: Columns, options: Options) -> Measured:
    found = rouge.rouge_scores(columns["prediction"], columns["reference"], stemmed=options.stem)
    return _rouge_figures(found, rouge.KINDS)


def _rouge_lsum(columns: Columns, options: Options) -> Measured:
    found = rouge.rouge_lsum(columns["prediction"], columns["reference"], stemmed=options.stem)
    return _rouge_figures(found, (rouge.LSUM,))


def _rouge_figures(found: rouge.Rouge, kinds: Sequence[str]) -> Measured:
    problem = f"{found.empty:,} rows have a reference without a letter a-z or digit, which ROUGE cannot match"
    return Measured(
        lambda rows: {name: _mean(found.f[:, i], rows) for i, name in enumerate(kinds)},
        "%",
        (problem,) if found.empty else (),
    )


def _coverage(columns: Columns, _: Options) -> Measured:
    scores, right = np.array(columns["score"]), np.array(columns["correct"])
    return Measured(
        lambda rows: {
            "AUC over coverage": coverage.auc_over_coverage(scores[rows], right[rows]),
            "accuracy": _shares(right, rows),
        },
        "%",
    )


def _roc(columns: Columns, _: Options) -> Measured:
    scores, right = np.array(columns["score"]), np.array(columns["correct"])
    return Measured(lambda rows: {"ROC-AUC": coverage.roc_auc(scores[rows], right[rows])})


def _pass_at_k(columns: Columns, options: Options) -> Measured:
    passed = np.array(columns["passed"])
    numbers = {task: number for number, task in enumerate(dict.fromkeys(columns["task_id"]))}
    task_of = np.array([numbers[task] for task in columns["task_id"]])

    def counts(rows: Rows) -> list[tuple[int, int]]:
        n = np.bincount(task_of[rows], minlength=len(numbers))
        right = np.bincount(task_of[rows], weights=passed[rows], minlength=len(numbers))
        return [(int(a), int(c)) for a, c in zip(n, right, strict=True) if a]

    def figures(rows: Rows) -> dict[str, Interval]:
        found = counts(rows)
        ks = options.k or tuple(k for k in KS if k <= min(n for n, _ in found))
        return {f"pass@{k}": mean_pass_at_k(found, k) for k in ks}

    sizes = sorted({n for n, _ in counts(np.arange(len(passed)))})
    samples = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    return Measured(figures, "%", (f"pass@k: {len(numbers):,} tasks, {samples} samples each",))


def _kappa(columns: Columns, options: Options) -> Measured:
    first, second = (_named(columns[role], options.labels) for role in ("rater_1", "rater_2"))
    labels = list(options.labels) if options.labels else agreement.in_order([*first, *second])
    ordered = bool(options.labels) or agreement.are_numbers(set(labels))
    number = {each: i for i, each in enumerate(labels)}
    a, b = (np.array([number[each] for each in side]) for side in (first, second))
    notes: tuple[str, ...] = ()
    if not ordered:
        notes = ("κ by distance needs the labels' order: give it with --labels",)
    elif not options.labels and (gaps := _gaps(labels)):
        notes = (f"between labels but never given, so no place apart: {gaps}; where they count: --labels",)

    def figures(rows: Rows) -> dict[str, Interval]:
        table = np.bincount(a[rows] * len(labels) + b[rows], minlength=len(labels) ** 2)
        table = table.reshape(len(labels), len(labels))
        found = {"agreement": proportion(int(np.trace(table)), len(rows)), "κ": agreement.table_kappa(table)}
        if ordered:
            found |= {f"κ, {w} weights": agreement.table_kappa(table, weights=w) for w in agreement.WEIGHTS[1:]}
        return found

    return Measured(figures, notes=notes)


def _gaps(labels: Sequence[Any]) -> str:
    """Whole numbers between the labels, where all labels are such and there are few."""
    if not all(float(each).is_integer() for each in labels) or labels[-1] - labels[0] > agreement.MOST:
        return ""
    return ", ".join(str(x) for x in range(int(labels[0]), int(labels[-1])) if x not in labels)


def _alpha(columns: Columns, options: Options) -> Measured:
    units = [_named(unit, options.labels) for unit in columns["ratings"]]
    alone = sum(sum(each is not None for each in unit) < 2 for unit in units)

    def figures(rows: Rows) -> dict[str, Interval]:
        chosen = [units[i] for i in rows]
        return {f"α, {options.level}": alpha.krippendorff(chosen, options.level, labels=options.labels)}

    return Measured(figures, notes=(f"{alone:,} rows have fewer than two ratings and do not count",) if alone else ())


def _named(given: Sequence[Any], labels: tuple[str, ...] | None) -> Sequence[Any]:
    """Labels as text where all labels were named, since names are text."""
    return given if labels is None else [each if each is None or type(each) is str else f"{each:g}" for each in given]


def _claims_wrong(columns: Columns, options: Options) -> Sequence[str]:
    return [
        "evidence: none, for a claim that has some" if label != fever.NEI and not groups else ""
        for label, groups in zip(columns["label"], columns["evidence"], strict=True)
    ]


def _letters_wrong(columns: Columns, options: Options) -> Sequence[str]:
    most = options.choices or letters.MOST
    return [
        "reference: beyond the choices" if ord(reference) - ord("A") >= (choices or most) else ""
        for reference, choices in zip(columns["reference"], columns["choices"], strict=True)
    ]


def _labels_wrong(columns: Columns, options: Options) -> Sequence[str]:
    """Labels that were not named, of two raters or of any number."""
    if options.labels is None:
        return ()
    units = columns["ratings"] if "ratings" in columns else zip(columns["rater_1"], columns["rater_2"], strict=True)
    named = {None, *options.labels}
    other = [next((each for each in _named(unit, options.labels) if each not in named), None) for unit in units]
    return ["" if each is None else f"{each!r} is not among --labels" for each in other]


_PREDICTION = Field("prediction", "text", values.text)
_REFERENCE = Field("reference", "text, or a list of texts of which any will do", values.texts)
_TEXTS = (_PREDICTION, _REFERENCE)
_ACCEPTED = (
    *_TEXTS,
    Field("aliases", "further accepted answers: text, or a list; null", values.more_texts, optional=True),
)
_PREDICTED = Field("predicted_label", "text", values.text)
_GOLD = Field("label", "SUPPORTS, REFUTES or NOT ENOUGH INFO", values.fever_label)
_SCORED = (
    Field("score", "a number, higher is more certain", values.number),
    Field("correct", "true or false, 1 or 0", values.verdict),
)
_SQUAD = "Rajpurkar et al. 2016 §6.1; SQuAD's normalising"

CATALOGUE: dict[str, Metric] = {
    "em": Metric(
        "answers equal to an accepted one after normalising",
        _ACCEPTED,
        _answers,
        _SQUAD,
        only=("exact match",),
    ),
    "f1": Metric(
        "words in common with the best accepted answer",
        _ACCEPTED,
        _answers,
        f"{_SQUAD}; Yang et al. 2018 for --closed",
        ("closed",),
        only=("F1",),
    ),
    "letters": Metric(
        "letters of choices read from what was written, and how often none could be read",
        (
            _PREDICTION,
            Field("reference", "a letter, or the number of a choice from 0", values.letter),
            Field("choices", "how many, or the list of them", values.choices, optional=True),
        ),
        _letters,
        "rules of its own: docs/metrics.md",
        ("choices",),
        wrong=_letters_wrong,
    ),
    "fever": Metric(
        "label accuracy, FEVER score, precision, recall and F1 of the evidence",
        (
            _PREDICTED,
            _GOLD,
            Field("predicted_evidence", "[page, sentence number] pairs, best first", values.sentences),
            Field("evidence", "groups of FEVER's [annotation, id, page, number], or of pairs; null", values.evidence),
        ),
        _fever,
        "Thorne et al. 2018 §5; the shared task's scorer",
        ("first",),
        wrong=_claims_wrong,
    ),
    "fever-label": Metric("label accuracy alone", (_PREDICTED, _GOLD), _fever_label, "Thorne et al. 2018 §5"),
    "bleu": Metric(
        "corpus BLEU", _TEXTS, _bleu, "Papineni et al. 2002; sacrebleu (Post 2018)", ("lowercase", "tokenize")
    ),
    "sentence-bleu": Metric(
        "mean of sentence BLEU", _TEXTS, _sentence_bleu, "sacrebleu's sentence BLEU", ("lowercase", "tokenize")
    ),
    "chrf": Metric("chrF, character n-grams", _TEXTS, _chrf(0), "Popović 2015; as sacrebleu", ("lowercase",)),
    "chrf++": Metric("chrF++, with words", _TEXTS, _chrf(2), "Popović 2017; as sacrebleu", ("lowercase",)),
    "rouge": Metric("ROUGE-1, -2, -L, mean F", _TEXTS, _rouge, "Lin 2004; rouge-score's rules", ("stem",)),
    "rouge-lsum": Metric(
        "ROUGE-Lsum, a line a sentence, mean F", _TEXTS, _rouge_lsum, "Lin 2004 §3.2; rouge-score's rules", ("stem",)
    ),
    "auc": Metric(
        "mean accuracy over coverage, most certain answers first",
        _SCORED,
        _coverage,
        "Zhao et al. 2023, Verify-and-Edit",
    ),
    "roc-auc": Metric("how often right answers score above wrong ones", _SCORED, _roc, "Mann and Whitney 1947"),
    "pass@k": Metric(
        "chance that one of k samples of a task passes, averaged over tasks",
        (
            Field("task_id", "text or a number; rows of one task are its samples", values.label),
            Field("passed", "true or false, 1 or 0", values.verdict),
        ),
        _pass_at_k,
        "Chen et al. 2021 §2.1",
        ("k",),
    ),
    "kappa": Metric(
        "Cohen's κ of two raters, plain and by distance",
        (Field("rater_1", "a label", values.label), Field("rater_2", "a label", values.label)),
        _kappa,
        "Cohen 1960, 1968; distances as scikit-learn",
        ("labels",),
        wrong=_labels_wrong,
    ),
    "alpha": Metric(
        "Krippendorff's α of any number of raters",
        (Field("ratings", "a list of labels, null where one is missing; or an object", values.ratings),),
        _alpha,
        "Krippendorff 2004 ch. 11",
        ("level", "labels"),
        wrong=_labels_wrong,
    ),
}
"""What there is, in the order of the list for people."""
