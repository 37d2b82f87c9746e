"""Byte-level BPE trained on one's own text, laid out like XGen's: bytes, merges, white-space runs, marks.

Pieces are counted (`counting`), and merges learnt from the counts (`merging`). Runs of spaces and tabs that training
did not find are added after it, so that each is one token to ordinary encoding. Does not read files: give it texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import AddedToken

from tandem.errors import UserError
from tandem.tokenizer.bytelevel import END, PAD, RUNS, assemble, spell, spelling
from tandem.tokenizer.counting import count_pieces
from tandem.tokenizer.folder import ROW_MULTIPLE, round_up
from tandem.tokenizer.merging import learn
from tandem.tokenizer.tokenizer import Tokenizer, well_formed

_LONGEST = 64
"""Tokens of this many bytes or more are not made."""
_LEAST = 2
"""A pair is merged that occurs at least this often."""


def train(
    texts: Iterable[str],
    vocabulary: int,
    *,
    whitespace_runs: bool = True,
    specials: Sequence[str] = (),
    row_multiple: int = ROW_MULTIPLE,
) -> Tokenizer:
    """Train on `texts` (read once, in bounded pieces) to a vocabulary of `vocabulary` live ids, end of text included.

    Ids: 256 bytes, merges, the runs of 31–2 spaces and 9–2 tabs not found by merging, `<|endoftext|>`, `specials`, and
    the pad token above all live ids. Rows are rounded up to a multiple of `row_multiple`. A text too small for the
    vocabulary gives a smaller one.

    Raises:
        UserError: a vocabulary too small for bytes, runs and marks; a special that repeats or that text can produce.
    """
    marks = [END, *specials]
    fixed = len(spelling()) + len(marks) + (len(RUNS) if whitespace_runs else 0)
    if vocabulary < fixed:
        raise UserError(
            f"a vocabulary of {vocabulary:,} cannot hold 256 bytes, {len(marks)} marks"
            + (f" and {len(RUNS)} runs of white space" if whitespace_runs else ""),
            where="vocabulary",
            remedy=f"ask for at least {fixed:,}",
        )
    if len(set(marks)) < len(marks) or PAD in marks:
        raise UserError(f"a special token repeats: {[*marks, PAD]}", where="specials", remedy="name each once")
    data, counts = count_pieces(well_formed(text) for text in texts)
    learnt = learn(data, counts, vocabulary - len(marks), longest=_LONGEST, least=_LEAST)
    merges = [(spell(left), spell(right)) for left, right in learnt]
    runs = [spell(run.encode()) for run in RUNS] if whitespace_runs else []
    tokens, merges = _fit(merges, runs, vocabulary - len(marks))
    core = assemble({token: i for i, token in enumerate(tokens)}, merges)
    for mark in specials:
        ids = core.encode(mark, add_special_tokens=False).ids if mark else []
        if len(ids) < 2:
            raise UserError(
                f"special token {mark!r} is what ordinary text makes",
                where="specials",
                remedy="give it brackets, such as <|name|>",
            )
    core.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in (*marks, PAD)])
    rows = round_up(core.get_vocab_size(with_added_tokens=True), row_multiple)
    return Tokenizer(core, rows=rows, end=END, pad=PAD, name="the trained tokenizer")


def _fit(
    merges: list[tuple[str, str]], runs: Sequence[str], vocabulary: int
) -> tuple[list[str], list[tuple[str, str]]]:
    """As many merges as fit beside the runs they do not make; then those runs, and every way to merge them."""
    tokens = list(spelling())
    known = set(tokens)
    missing = [run for run in runs if run not in known]
    kept = 0
    for left, right in merges:
        token = left + right
        if token in known:  # a second way to a token: keeps its place among the merges
            kept += 1
            continue
        after = [run for run in missing if run != token]
        if len(tokens) + 1 + len(after) > vocabulary:
            break
        tokens.append(token)
        known.add(token)
        missing = after
        kept += 1
    tokens += missing
    known |= set(missing)
    grown = [(run[:cut], run[cut:]) for run in missing for cut in range(1, len(run))]
    return tokens, merges[:kept] + [pair for pair in grown if known.issuperset(pair)]
