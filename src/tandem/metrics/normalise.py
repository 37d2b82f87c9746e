"""The form in which short answers are compared: SQuAD's, in one place for the whole project.

What this does not do: find the answer in what a model wrote (`letters` does for choices), or know numbers and dates.
Accents stay: the published rule keeps them, and removing them would move published figures.
"""

from __future__ import annotations

import re
import string
import unicodedata

ARTICLES = frozenset({"a", "an", "the"})
"""Words that do not count."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def answer_tokens(answer: str) -> list[str]:
    """The words of an answer in SQuAD's normal form: lower case, without ASCII punctuation and articles.

    The rule of the SQuAD evaluation (Rajpurkar et al. 2016, §6.1), after Unicode NFC.
    """
    if answer.isascii() and answer.isprintable():  # then a word ends at a space only, and looking it up is enough
        return [word for word in answer.lower().translate(_PUNCTUATION).split() if word not in ARTICLES]
    folded = unicodedata.normalize("NFC", answer).lower().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", folded).split()


def normalise_answer(answer: str) -> str:
    """An answer in SQuAD's normal form, its words joined by single spaces."""
    return " ".join(answer_tokens(answer))


def answer_form(answer: str) -> str:
    """The form in which answers are compared; one of articles and punctuation only (`A`, `+`) stays as it is.

    The published rule makes all such answers equal: it takes `The The` for `A`, and nothing at all for `+`.
    """
    return normalise_answer(answer) or answer.strip().casefold()
