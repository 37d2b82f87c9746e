"""Laying a server's tokens over the bytes of its answer."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tandem.lm.wire.spans import UNKNOWN, Piece, place, spelled, tokens

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="�"), max_size=30)


@st.composite
def divided(draw: st.DrawFn, of: st.SearchStrategy[str] = words) -> tuple[str, list[bytes]]:
    """A text, and its bytes cut anywhere, within characters too; some pieces are empty."""
    text = draw(of)
    data = text.encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return text, [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def listed(pieces: list[bytes]) -> list[Piece]:
    return [Piece(piece, -0.5) for piece in pieces]


@given(divided())
def test_tokens_together_are_the_answer_and_their_spans_its_bytes(case: tuple[str, list[bytes]]) -> None:
    text, pieces = case
    placed = tokens(text, listed(pieces))
    assert placed is not None
    data = text.encode()
    assert "".join(token.text for token in placed) == text
    assert b"".join(data[token.start : token.end] for token in placed) == data
    assert all(a.end == b.start for a, b in pairwise(placed))


@given(divided(), st.integers(0, 30))
def test_a_cut_answer_keeps_the_tokens_before_the_cut(case: tuple[str, list[bytes]], characters: int) -> None:
    text, pieces = case
    kept = text[:characters]
    placed = tokens(text, listed(pieces), length=len(kept.encode()))
    assert placed is not None
    assert "".join(token.text for token in placed) == kept
    assert (placed[-1].end if placed else 0) == len(kept.encode())


@given(divided())
def test_an_end_mark_behind_the_answer_is_not_part_of_it(case: tuple[str, list[bytes]]) -> None:
    text, pieces = case
    assert tokens(text, listed([*pieces, b"<|im_end|>"])) == tokens(text, listed(pieces))


@given(divided())
def test_reasoning_before_the_answer_is_not_part_of_it(case: tuple[str, list[bytes]]) -> None:
    text, pieces = case
    before = [text.encode() + b" is what I think", b"</think>"]
    assert tokens(text, listed([*before, *pieces]), late=True) == tokens(text, listed(pieces))


@given(divided(st.text("aé漢😀 ", min_size=1, max_size=12)))
def test_pieces_that_hide_parts_of_characters_still_cover_the_answer(case: tuple[str, list[bytes]]) -> None:
    text, pieces = case
    shown = [piece.decode(errors="replace").encode() for piece in pieces]
    placed = tokens(text, listed(shown))
    if placed is None:
        # Only where a clean piece could not be told from what a hidden one may stand for.
        assert any(UNKNOWN in piece for piece in shown)
        return
    assert "".join(token.text for token in placed) == text


def test_a_character_in_three_tokens_is_the_text_of_the_last_and_a_byte_of_each() -> None:
    placed = tokens("a漢b", listed([b"a", UNKNOWN, UNKNOWN, UNKNOWN, b"b", b"<|end|>"]))
    assert placed is not None
    assert [(token.text, token.start, token.end) for token in placed] == [
        ("a", 0, 1),
        ("", 1, 2),
        ("", 2, 3),
        ("漢", 3, 4),
        ("b", 4, 5),
    ]


@given(divided(st.text("aé漢😀 ", min_size=1, max_size=12)), st.lists(st.sampled_from([b"<s>", b"x"]), max_size=2))
def test_hidden_characters_at_the_end_of_a_prompt_are_found_from_behind(
    case: tuple[str, list[bytes]], before: list[bytes]
) -> None:
    text, pieces = case
    shown = [piece.decode(errors="replace").encode() for piece in pieces]
    spans = place(text.encode(), [*before, b"|", *shown], late=True)
    if spans is not None:
        covered = [span for span in spans[len(before) + 1 :] if span]
        assert covered[0].start == 0 and covered[-1].end == len(text.encode())
        assert all(a.end == b.start for a, b in pairwise(covered))
        assert spans[len(before)] is None


def test_pieces_of_another_answer_are_refused() -> None:
    assert place(b"Paris", [b"Lon", b"don"]) is None
    assert tokens("Paris", listed([b"Par"])) is None


def test_a_token_without_a_probability_is_refused() -> None:
    assert tokens("ab", [Piece(b"a", None), Piece(b"b", -1.0)]) is None


def test_openai_spells_bytes_that_are_no_text() -> None:
    assert spelled("bytes:\\xe2\\x80") == b"\xe2\x80"
    assert spelled(" the") == b" the"
