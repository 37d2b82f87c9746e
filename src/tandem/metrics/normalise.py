"""The form in which short answers are compared: SQuAD's, in one place for the whole project.

What this does not do: find the answer in what a model wrote (`letters` does for choices), or know numbers and dates.
Accents stay: the published rule keeps them, and removing them would move published figures.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from itertools import compress

ARTICLES = frozenset({"a", "an", "the"})
"""Words that do not count."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(answer: str) -> str:
    """An answer in SQuAD's normal form: lower case, no ASCII punctuation, no articles, single spaces.

    The rule of the SQuAD evaluation (Rajpurkar et al. 2016, §6.1), in Unicode NFC.
    """
    folded = unicodedata.normalize("NFC", answer).lower().translate(_PUNCTUATION)
    composed = unicodedata.normalize("NFC", folded)  # what lower case and punctuation kept apart: `c:` and a cedilla
    return " ".join(_ARTICLES.sub(" ", composed).split())


def answer_form(answer: str) -> str:
    """The form in which answers are compared; one of articles and punctuation only (`A`, `+`) stays as it is.

    The published rule makes all such answers equal: it takes `The The` for `A`, and nothing at all for `+`.
    """
    return normalise_answer(answer) or answer.strip().casefold()


def answer_forms(answers: Sequence[str]) -> list[str]:
    """`answer_form` of each, in about a third of the time: what is plain ASCII is folded all at once."""
    # In printable ASCII without punctuation a word ends at a space only, so that looking words up finds the articles.
    plain = [answer.isascii() and answer.isprintable() for answer in answers]
    folded = iter(
        "\n".join(compress(answers, plain)).lower().translate(_PUNCTUATION).split("\n")  # no such text has a new line
    )
    forms = []
    for answer, at_once in zip(answers, plain, strict=True):
        if not at_once:
            forms.append(answer_form(answer))
            continue
        words = next(folded).split()
        if not ARTICLES.isdisjoint(words):
            words = [word for word in words if word not in ARTICLES]
        forms.append(" ".join(words) or answer_form(answer))
    return forms
