"""Byte-level BPE as GPT-2 defined it: the byte alphabet, the split into pieces, and a model assembled from its parts.

Says how bytes are spelt in a `tokenizer.json`, where text is cut before merging, and which runs of white space are
tokens of their own. Does not train, read files, or know any particular vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

PIECE = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
"""GPT-2's split of text into pieces (Radford et al. 2019, §2.2); a token never crosses from one piece into the next.

The last space of a run goes with the word after it, so `n` spaces before a word are one piece of `n − 1` and the word
with its space. `pre_tokenizers.ByteLevel` has the same expression built in, written with its alternatives apart.
"""

SPACES = tuple(" " * n for n in range(31, 1, -1))
"""XGen's runs of spaces in the order of their ids: 31 down to 2."""
TABS = tuple("\t" * n for n in range(9, 1, -1))
"""XGen's runs of tabs in the order of their ids: 9 down to 2."""
RUNS = SPACES + TABS

END = "<|endoftext|>"
PAD = "<|pad|>"


@cache
def spelling() -> tuple[str, ...]:
    """The character that stands for each byte in a byte-level vocabulary file.

    Bytes that print in Latin-1 stand for themselves; the other 68 take the characters from U+0100 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return tuple(chr(b) if b in printable else chr(next(spare)) for b in range(256))


@cache
def _bytes_by_character() -> dict[str, int]:
    return {character: byte for byte, character in enumerate(spelling())}


def spell(data: bytes) -> str:
    """A token's bytes as a `tokenizer.json` writes them: `b" the"` → `Ġthe`."""
    characters = spelling()
    return "".join([characters[b] for b in data])


def unspell(token: str) -> bytes | None:
    """The bytes a vocabulary entry stands for, or None when it is not written in the byte alphabet."""
    table = _bytes_by_character()
    try:
        return bytes([table[c] for c in token])
    except KeyError:
        return None


def assemble(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    """A byte-level BPE tokenizer from spelt tokens with their ids and merges in the order they apply.

    A piece that is itself a token becomes that token without merging (`ignore_merges`), as in tiktoken: this is what
    makes a run of white space one token although no merge may lead to it.
    """
    tokenizer = Tokenizer(models.BPE(vocab=dict(vocabulary), merges=list(merges), ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    # Offsets only: without it `transformers` counts a word's leading space as part of the word.
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer
