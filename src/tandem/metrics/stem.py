"""Porter's stemmer for English (Porter 1980) with the changes that ROUGE's common implementation relies on.

The changes are those of NLTK's default mode: a list of irregular forms; `ies` and `ied` keep the e in words of four
letters; y becomes i after a consonant only; `bli`, `fulli`, `logi` and a repeated second step after `alli`; words of
two letters stay, and a vowel and a consonant count as a short word. Porter's original gives other ROUGE figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

_IRREGULAR = {
    "sky": "sky",
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "news": "news",
    "innings": "inning",
    "inning": "inning",
    "outings": "outing",
    "outing": "outing",
    "cannings": "canning",
    "canning": "canning",
    "howe": "howe",
    "proceed": "proceed",
    "exceed": "exceed",
    "succeed": "succeed",
}
_PLURALS = (("sses", "ss"), ("ies", "i"), ("ss", "ss"), ("s", ""))
_SECOND = (
    *(("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble")),
    *(("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate")),
    *(("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al")),
    *(("iviti", "ive"), ("biliti", "ble"), ("fulli", "ful")),
)
_THIRD = (
    *(("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")),
)
_FOURTH = (
    *(("al", ""), ("ance", ""), ("ence", ""), ("er", ""), ("ic", ""), ("able", ""), ("ible", ""), ("ant", "")),
    *(("ement", ""), ("ment", ""), ("ent", ""), ("ion", ""), ("ou", ""), ("ism", ""), ("ate", ""), ("iti", "")),
    *(("ous", ""), ("ive", ""), ("ize", "")),
)
Rules = Iterable[tuple[str, str]]


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """The stem of a lower-case word."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = word[:-1] if len(word) == 4 and word.endswith("ies") else _replaced(word, _PLURALS)
    word = _second_step(_y(_past(word)))
    word = _replaced(word, _THIRD, lambda front, _: _measure(front) > 0)
    word = _replaced(word, _FOURTH, _may_lose)
    return _tidied(word)


def _past(word: str) -> str:
    """Without -ed and -ing, the end mended."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    front = next((word[: -len(e)] for e in ("ed", "ing") if word.endswith(e) and "v" in _shape(word[: -len(e)])), None)
    if front is None:
        return word
    if front.endswith(("at", "bl", "iz")):
        return front + "e"
    if _doubled(front):
        return front if front[-1] in "lsz" else front[:-1]
    return front + "e" if _measure(front) == 1 and _short(front) else front


def _y(word: str) -> str:
    """A final y after a consonant as i, but for words of two letters."""
    return word[:-1] + "i" if len(word) > 2 and word[-1] == "y" and _shape(word[:-1])[-1] == "c" else word


def _second_step(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _second_step(word[:-2])
    if word.endswith("logi"):  # the l counts as part of what stays: geology, but also archaeology
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replaced(word, _SECOND, lambda front, _: _measure(front) > 0)


def _may_lose(front: str, ending: str) -> bool:
    return _measure(front) > 1 and (ending != "ion" or front[-1] in "st")


def _tidied(word: str) -> str:
    """Without a final e and a doubled l."""
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _short(word[:-1])):
            word = word[:-1]
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _replaced(word: str, rules: Rules, allowed: Callable[[str, str], bool] | None = None) -> str:
    """The first rule whose ending fits decides, whether it is allowed or not."""
    for ending, new in rules:
        if word.endswith(ending):
            front = word[: -len(ending)]
            return front + new if allowed is None or allowed(front, ending) else word
    return word


@lru_cache(maxsize=1 << 17)
def _shape(word: str) -> str:
    """Each letter as c or v; y is a consonant at the beginning and after a vowel."""
    shape = ""
    for i, letter in enumerate(word):
        vowel = letter in "aeiou" or (letter == "y" and i > 0 and shape[-1] == "c")
        shape += "v" if vowel else "c"
    return shape


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant."""
    return _shape(word).count("vc")


def _doubled(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _short(word: str) -> bool:
    """Ends in consonant, vowel, consonant other than w, x, y; or is a vowel and a consonant."""
    shape = _shape(word)
    return (shape.endswith("cvc") and word[-1] not in "wxy") or shape == "vc"
