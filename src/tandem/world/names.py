"""Names built from syllables: pronounceable, distinct by construction, and telling by their form what they name.

People have a given and a family name (Tavi Kelmard), towns and countries one word with an ending of their kind
(Orvikford, Melnoria), organisations a stem and a word for their kind (Sorun College), works a title in three words
(The Devan Lantern). Pools grow with the square root of the world, so that the names of a small world are made of few
pieces, which a small tokenizer learns as tokens. Drawing names at random and removing doubles was rejected: the number
of draws is not known beforehand, and the names of a prefix would depend on the whole.
"""

from __future__ import annotations

from math import gcd, isqrt

from tandem.world.noise import Draws, permutation

_ONSETS = ("b", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z")
_CLUSTERS = ("br", "dr", "gr", "tr")
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("l", "n", "r", "s", "m")
_OPEN = tuple(o + v for o in _ONSETS + _CLUSTERS for v in _VOWELS)
_CLOSED = tuple(o + v + c for o in _ONSETS for v in _VOWELS for c in _CODAS)
FAMILY_ENDINGS = ("ard", "ett", "ing", "ow")
TOWN_ENDINGS = ("ford", "wick", "dale", "ham", "mouth")
_COUNTRY_ENDINGS = ("ia", "land")
_SCHOOL_WORDS = ("College", "Academy", "Institute")
_COMPANY_WORDS = ("Works", "Bank", "Mills", "Press", "Motors")
_TITLE_WORDS = ("Letters", "Garden", "Mirror", "River", "Lantern", "Winter", "Journey", "Crown", "Bridge", "Island")


def people(seed: int, n: int) -> list[tuple[str, str]]:
    """`n` distinct (given name, family name) pairs."""
    pool = 3 * isqrt(n) // 2 + 6
    given = _stems(seed, "given", pool)
    family = [a + b for a, b in _pairs(seed, "family", _stems(seed, "family", pool), FAMILY_ENDINGS, pool)]
    return _pairs(seed, "people", given, family, n)


def towns(seed: int, n: int) -> list[str]:
    """`n` distinct names of towns."""
    return [a + b for a, b in _compounds(seed, "town", TOWN_ENDINGS, n)]


def countries(seed: int, n: int) -> list[str]:
    """`n` distinct names of countries."""
    return [a + b for a, b in _compounds(seed, "country", _COUNTRY_ENDINGS, n)]


def organisations(seed: int, schools: int, companies: int) -> list[tuple[str, str]]:
    """Distinct (stem, word) pairs: first the schools, then the companies."""
    return _compounds(seed, "school", _SCHOOL_WORDS, schools) + _compounds(seed, "company", _COMPANY_WORDS, companies)


def works(seed: int, n: int) -> list[tuple[str, str]]:
    """`n` distinct (stem, word) pairs; the title is `The stem word`."""
    return _compounds(seed, "work", _TITLE_WORDS, n)


def _compounds(seed: int, stream: str, endings: tuple[str, ...], n: int) -> list[tuple[str, str]]:
    stems = _stems(seed, stream, 2 * n // len(endings) + 4)
    return _pairs(seed, stream, stems, list(endings), n)


def _pairs(
    seed: int, stream: str, left: list[str], right: list[str] | tuple[str, ...], n: int
) -> list[tuple[str, str]]:
    """`n` distinct pairs in an order that looks random: i ↦ a·i + b is a bijection modulo the number of pairs."""
    total = len(left) * len(right)
    assert n <= total, (stream, n, total)
    draws = Draws(seed, f"pairs {stream}")
    start, step = draws.below(total), 1 + draws.below(total)
    while gcd(step, total) != 1:
        step += 1
    return [(left[x // len(right)], right[x % len(right)]) for x in ((start + step * i) % total for i in range(n))]


def _stems(seed: int, stream: str, n: int) -> list[str]:
    """`n` distinct capitalised stems: an open and a closed syllable, or two open and a closed one when many are needed.

    Syllables begin with consonants and hold one vowel, so a stem splits into syllables in one way only: distinct
    syllables make distinct stems. The inventory is as small as the number of stems allows.
    """
    side = isqrt(2 * n) + 2
    opened = [_OPEN[i] for i in permutation(seed, f"open {stream}", len(_OPEN))[:side]]
    closed = [_CLOSED[i] for i in permutation(seed, f"closed {stream}", len(_CLOSED))[:side]]
    if len(opened) * len(closed) < n:
        opened = [a + b for a in opened for b in opened]
    return [(a + b).capitalize() for a, b in _pairs(seed, f"stem {stream}", opened, closed, n)]
