"""The tokenizer a GGUF file describes: tokens, merges and marks from its metadata, splitting by the name it gives.

A GGUF file carries no `tokenizer.json`. It names how text is cut before merging (`tokenizer.ggml.pre`), and what the
name means is known only to the programs that read it; the names listed here cut as the model's own tokenizer does,
all others are refused. What this does not do: read the file (`tandem.decoder.gguf` does), or build unigram and
WordPiece tokenizers. Rejected: cutting as GPT-2 does when the name is unknown. `transformers` (5.24) does so, and for
SmolLM, whose digits stand alone, "n =  1" becomes other tokens than the model was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from tandem.errors import UserError
from tandem.tokenizer.tokenizer import Tokenizer

_KEY = "tokenizer.ggml."
_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 2, 3, 4, 5
"""Values of `token_type`; 1 is text and 6 a byte."""

# ── how text is cut before merging ──────────────────────────────────────────────────────────────────────────────────

_CONTRACTION = r"(?i:'(?:[sdmt]|ll|ve|re))"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_WHITE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"


@dataclass(frozen=True)
class Splitting:
    """What happens to a text before merging, in byte-level tokenizers."""

    pattern: str | None = None
    """Each match is a piece, and so is what lies between matches; None is GPT-2's own pattern."""
    digits: bool = False
    """Every digit is cut out first, as a piece of its own."""
    nfc: bool = False
    """Text is brought into Unicode's normal form C."""
    ignore_merges: bool = False
    """A piece that is itself a token becomes that token, whatever the merges say."""
    adds_bos: bool = False
    """The beginning mark is added to a text unless the file says otherwise."""


_DIGITS = Splitting(digits=True)
_LLAMA3 = Splitting("|".join([_CONTRACTION, _WORD, r"\p{N}{1,3}", _SIGNS, _WHITE]), ignore_merges=True, adds_bos=True)
_QWEN2 = Splitting("|".join([_CONTRACTION, _WORD, r"\p{N}", _SIGNS, _WHITE]), nfc=True)

SPLITTINGS: Mapping[str, Splitting] = {
    "gpt-2": Splitting(),
    "smollm": _DIGITS,
    "starcoder": _DIGITS,
    "refact": _DIGITS,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "tekken": Splitting(
        "|".join([_CASED, r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", _WHITE]), ignore_merges=True, adds_bos=True
    ),
}
"""By the name in `tokenizer.ggml.pre`."""

_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "</s>",
)
"""Control tokens that end an answer in whatever model has them, named as ends by its file or not."""


# ── metadata → tokenizer ────────────────────────────────────────────────────────────────────────────────────────────


def build(metadata: Mapping[str, Any], *, rows: int, where: str) -> Tokenizer:
    """The tokenizer of a GGUF file's metadata; `rows` is the height of its embedding table, `where` the file.

    Raises:
        UserError: a key is missing, of the wrong form or not supported; the message names it.
    """
    tokens = _strings(metadata, "tokens", where)
    if len(tokens) > rows:
        raise UserError(
            f"{len(tokens):,} tokens for an embedding table of {rows:,} rows", where=f"{where}: {_KEY}tokens"
        )
    types = metadata.get(f"{_KEY}token_type") or [1] * len(tokens)
    if len(types) != len(tokens):
        raise UserError(f"{len(types):,} types for {len(tokens):,} tokens", where=f"{where}: {_KEY}token_type")
    # Rows without a token are named [PAD12] and the like; left out, they cannot be taken for text.
    vocabulary = {token: i for i, token in enumerate(tokens) if types[i] != _UNUSED}
    if len(vocabulary) != sum(kind != _UNUSED for kind in types):
        raise UserError("a token stands there twice", where=f"{where}: {_KEY}tokens")
    kind = metadata.get(f"{_KEY}model")
    try:
        if kind == "gpt2":
            core, adds_bos = _byte_level(metadata, vocabulary, where)
        elif kind == "llama":
            core, adds_bos = _sentencepiece(metadata, vocabulary, tokens, where), True
        else:
            raise UserError(
                f"tokenizers of the kind {kind!r} are not supported",
                where=f"{where}: {_KEY}model",
                remedy="gpt2 (byte-level BPE) and llama (SentencePiece BPE) are; or use its Hugging Face folder",
            )
    except UserError:
        raise
    except Exception as e:  # the Rust library raises plain Exception
        raise UserError(f"no tokenizer can be made of it: {e}", where=f"{where}: {_KEY}merges") from None
    special = [t for t, i in vocabulary.items() if types[i] in (_CONTROL, _UNKNOWN)]
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    core.add_tokens([AddedToken(t, normalized=False) for t, i in vocabulary.items() if types[i] == _USER_DEFINED])
    marks = {role: _mark(metadata, key, tokens, where) for role, key in _MARKS.items()}
    _add_marks(core, metadata, marks, adds_bos)
    template = metadata.get("tokenizer.chat_template")
    return Tokenizer(
        core,
        rows=rows,
        end=marks["eos"],
        pad=marks["pad"],
        bos=marks["bos"],
        unk=marks["unk"],
        chat_template=template if isinstance(template, str) else None,
        name=where,
    )


def ends(metadata: Mapping[str, Any]) -> list[int]:
    """Ids that end an answer: those the file names, the end of text first, then the known ones among its marks."""
    found = [metadata.get(f"{_KEY}{name}_token_id") for name in ("eos", "eot", "eom")]
    tokens, types = metadata.get(f"{_KEY}tokens") or [], metadata.get(f"{_KEY}token_type") or []
    found += [i for i, (token, kind) in enumerate(zip(tokens, types)) if kind == _CONTROL and token in _ENDS]
    return list(dict.fromkeys(i for i in found if isinstance(i, int)))


_MARKS = {"eos": "eos_token_id", "pad": "padding_token_id", "bos": "bos_token_id", "unk": "unknown_token_id"}


def _mark(metadata: Mapping[str, Any], key: str, tokens: Sequence[str], where: str) -> str | None:
    number = metadata.get(_KEY + key)
    if number is None:
        return None
    if not isinstance(number, int) or not 0 <= number < len(tokens):
        raise UserError(f"is {number!r}, outside the {len(tokens):,} tokens", where=f"{where}: {_KEY}{key}")
    return tokens[number]


def _byte_level(
    metadata: Mapping[str, Any], vocabulary: dict[str, int], where: str
) -> tuple[tokenizers.Tokenizer, bool]:
    name = metadata.get(f"{_KEY}pre")
    splitting = SPLITTINGS.get(name) if isinstance(name, str) else None
    if splitting is None:
        raise UserError(
            "does not say how text is split" if name is None else f"the way of splitting text {name!r} is not known",
            where=f"{where}: {_KEY}pre",
            remedy=f"known are {', '.join(SPLITTINGS)}; or use the model's Hugging Face folder",
        )
    merges = []
    for i, merge in enumerate(_strings(metadata, "merges", where)):
        left, gap, right = merge.partition(" ")
        if not (left and gap and right):
            raise UserError(f"entry {i} is {merge!r}, not two tokens", where=f"{where}: {_KEY}merges")
        merges.append((left, right))
    core = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=splitting.ignore_merges))
    if splitting.nfc:
        core.normalizer = normalizers.NFC()
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if splitting.digits else []
    if splitting.pattern:
        steps.append(pre_tokenizers.Split(Regex(splitting.pattern), behavior="isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=splitting.pattern is None))
    core.pre_tokenizer = steps[0] if len(steps) == 1 else pre_tokenizers.Sequence(steps)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.ByteLevel(trim_offsets=False)
    return core, splitting.adds_bos


def _sentencepiece(
    metadata: Mapping[str, Any], vocabulary: dict[str, int], tokens: Sequence[str], where: str
) -> tokenizers.Tokenizer:
    """Merges follow from the scores: the better a token's score, the earlier any two tokens become it."""
    scores = metadata.get(f"{_KEY}scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise UserError("there is not one score for each token", where=f"{where}: {_KEY}scores")
    merges = [
        (scores[i], left, right)
        for token, i in vocabulary.items()
        for left, right in ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        if left in vocabulary and right in vocabulary
    ]
    merges.sort(key=lambda merge: (-merge[0], -len(merge[1]), vocabulary[merge[1]]))
    unknown = _mark(metadata, _MARKS["unk"], tokens, where)
    core = tokenizers.Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=[(left, right) for _, left, right in merges],
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    prefix = bool(metadata.get(f"{_KEY}add_space_prefix", True))
    scheme = "first" if prefix else "never"
    core.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    core.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if prefix else []))
    return core


def _add_marks(
    core: tokenizers.Tokenizer, metadata: Mapping[str, Any], marks: Mapping[str, str | None], adds_bos: bool
) -> None:
    """Have other programs begin and end a text with the marks the file asks for; our `encode` adds none."""
    bos = marks["bos"] if metadata.get(f"{_KEY}add_bos_token", adds_bos) else None
    eos = marks["eos"] if metadata.get(f"{_KEY}add_eos_token", False) else None
    used = [mark for mark in (bos, eos) if mark is not None]
    if used:
        template = processors.TemplateProcessing(
            single=[*([bos] if bos else []), "$A:0", *([eos] if eos else [])],
            pair=[*([bos] if bos else []), "$A:0", *([eos] if eos else []), *([f"{bos}:1"] if bos else []), "$B:1"]
            + ([f"{eos}:1"] if eos else []),
            special_tokens=[(mark, core.token_to_id(mark)) for mark in dict.fromkeys(used)],
        )
        before = core.post_processor
        core.post_processor = processors.Sequence([before, template]) if before is not None else template


def _strings(metadata: Mapping[str, Any], name: str, where: str) -> list[str]:
    value = metadata.get(_KEY + name)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise UserError(
            "is missing" if value is None else "is not a list of texts",
            where=f"{where}: {_KEY}{name}",
            remedy="use a GGUF file of a whole model",
        )
    return value
