"""The tokenizer everyone uses: text to ids and back, its marks, its chat template, its rows in an embedding table.

A `tokenizers.Tokenizer` does the work, so whatever a `tokenizer.json` says is what happens; this class adds what the
file leaves open (which id ends a text, which pads, how many rows) and two promises: `encode` never adds a mark, and
never makes one out of what a user wrote. Does not read or write folders (`folder`), nor judge (`findings`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from tandem.errors import UserError
from tandem.tokenizer import chat
from tandem.tokenizer.bytelevel import unspell
from tandem.tokenizer.pieces import PieceTable, splits_like_gpt2
from tandem.types import Message


class Tokenizer:
    """Text to token ids and back. Implements `types.Encoder`."""

    def __init__(
        self,
        core: tokenizers.Tokenizer,
        *,
        rows: int,
        end: str | None = None,
        pad: str | None = None,
        bos: str | None = None,
        unk: str | None = None,
        chat_template: str | None = None,
        name: str = "this tokenizer",
    ) -> None:
        """Wrap `core`; `rows` is the height of the embedding table, the marks are tokens of `core` by their text."""
        core.no_padding()
        core.no_truncation()
        core.encode_special_tokens = True
        self.core = core
        """The `tokenizers.Tokenizer` underneath; marks in a text are ordinary text to it."""
        self.name = name
        """Where it came from, for messages."""
        self.marks: dict[str, str] = {
            role: token for role, token in (("eos", end), ("pad", pad), ("bos", bos), ("unk", unk)) if token is not None
        }
        """The tokens that have a role, by the role's name in Hugging Face files: eos, pad, bos, unk."""
        self.chat_template = chat_template
        """The Jinja template that lays out a conversation, or None."""
        self._ids: dict[str, int] = core.get_vocab(with_added_tokens=True)
        self._added: dict[int, tokenizers.AddedToken] = core.get_added_tokens_decoder()
        for role, token in self.marks.items():
            if token not in self._ids:
                raise UserError(
                    f"{role} token {token!r} is not in the vocabulary", where=name, remedy="name a token it has"
                )
        self.vocabulary = rows
        """Rows of an embedding table for it: every id is below this."""
        if rows <= max(self._ids.values(), default=0):
            raise UserError(
                f"{rows:,} rows cannot hold id {max(self._ids.values()):,}", where=name, remedy="give it more rows"
            )
        self._pieces = PieceTable(core) if splits_like_gpt2(core) else None

    # ── marks and sizes ─────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def live(self) -> int:
        """Ids that stand for text or for a mark; a token that is only there to pad does not count."""
        only_pads = "pad" in self.marks and [*self.marks.values()].count(self.marks["pad"]) == 1
        return len(set(self._ids.values())) - int(only_pads)

    @property
    def end(self) -> int:
        """Id of end of text, the boundary between documents.

        Raises:
            UserError: the tokenizer names none.
        """
        if "eos" not in self.marks:
            raise UserError(
                "no end-of-text token is named",
                where=self.name,
                remedy='add "eos_token" to its tokenizer_config.json, naming a token it has',
            )
        return self._ids[self.marks["eos"]]

    @cached_property
    def pad(self) -> int:
        """Id that fills short rows: its own token, else the first row no token uses, else end of text.

        Only a tokenizer whose every row is in use shares it with end of text; `check` says so, and a mask is needed.
        """
        if "pad" in self.marks:
            return self._ids[self.marks["pad"]]
        used = set(self._ids.values())
        return next((row for row in range(max(used) + 1, self.vocabulary)), None) or self.end

    @property
    def bos(self) -> int | None:
        """Id that opens a text where the tokenizer names one; `encode` does not add it."""
        return self._ids[self.marks["bos"]] if "bos" in self.marks else None

    @property
    def unk(self) -> int | None:
        """Id for text that cannot be spelt; byte-level tokenizers have none."""
        return self._ids[self.marks["unk"]] if "unk" in self.marks else None

    def id_of(self, token: str) -> int | None:
        """The id of a token given as its entry reads (`<|im_start|>`, `Ġthe`), or None."""
        return self._ids.get(token)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of marks: tokens that are not text."""
        marks = {i for i, token in self._added.items() if token.special}
        return frozenset(marks | {self._ids[token] for token in self.marks.values()})

    @property
    def byte_level(self) -> bool:
        """Whether tokens are bytes spelt in GPT-2's alphabet: any bytes then come back as they were."""
        return self._bytes is not None

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of everything that decides the ids: vocabulary, merges, splitting, rows, end and pad."""
        content = json.loads(self.core.to_str())
        parts = {k: content.get(k) for k in ("added_tokens", "normalizer", "pre_tokenizer", "model")}
        parts["rows"], parts["marks"] = self.vocabulary, sorted(self.marks.items())
        canonical = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    # ── text → ids ──────────────────────────────────────────────────────────────────────────────────────────────────

    def encode(self, text: str) -> list[int]:
        """Token ids of a text. Adds no mark, and reads `<|endoftext|>` in it as the thirteen characters it is.

        A lone surrogate, which no UTF-8 can hold, counts as U+FFFD.
        """
        text = well_formed(text)
        if self._pieces is not None:
            return self._pieces.encode(text)
        ids: list[int] = self.core.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, the same as `encode` gives one by one; many short texts are faster together."""
        return [ids.tolist() for ids in self.encode_arrays(texts)]

    def encode_arrays(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """What `encode_batch` gives, as arrays: for a corpus, where lists of Python numbers cost more than encoding."""
        texts = [well_formed(text) for text in texts]
        if self._pieces is not None:
            return self._pieces.arrays(texts)
        encodings = self.core.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in encodings]

    def encode_bytes(self, data: bytes) -> list[int]:
        """Token ids of any bytes, valid UTF-8 or not: valid stretches as text, stray bytes one token each.

        Raises:
            UserError: stray bytes in a tokenizer that is not byte-level.
        """
        ids: list[int] = []
        while data:
            try:
                return ids + self.encode(data.decode("utf-8"))
            except UnicodeDecodeError as e:
                ids += self.encode(data[: e.start].decode("utf-8"))
                ids += [self._byte(b) for b in data[e.start : e.end]]
                data = data[e.end :]
        return ids

    def encode_marked(self, text: str) -> list[int]:
        """Token ids of a text written by the program, where a mark's text means the mark: a rendered template."""
        ids: list[int] = self._marking.encode(well_formed(text), add_special_tokens=False).ids
        return ids

    # ── ids → text ──────────────────────────────────────────────────────────────────────────────────────────────────

    def decode(self, ids: Sequence[int], *, marks: bool = True) -> str:
        """The text of token ids; invalid UTF-8 becomes U+FFFD, padding rows nothing, marks their text or nothing.

        Raises:
            UserError: an id outside the table.
        """
        if self._bytes is not None:
            return self.decode_bytes(ids, marks=marks).decode("utf-8", errors="replace")
        self._all_inside(ids)
        text: str = self.core.decode(list(ids), skip_special_tokens=not marks)
        return text

    def decode_bytes(self, ids: Sequence[int], *, marks: bool = True) -> bytes:
        """The bytes of token ids, exactly; of a tokenizer that is not byte-level, the UTF-8 of its text."""
        self._all_inside(ids)
        if self._bytes is None:
            return self.decode(ids, marks=marks).encode()
        table = self._bytes
        if not marks:
            ids = [i for i in ids if i not in self.special_ids]
        return b"".join([table[i] for i in ids])

    # ── conversations ───────────────────────────────────────────────────────────────────────────────────────────────

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> str:
        """A conversation as the tokenizer's own chat template lays it out, ready for `encode_marked`.

        Raises:
            UserError: it has no template, or the template refuses the conversation.
        """
        if self.chat_template is None:
            raise UserError(
                "it has no chat template", where=self.name, remedy="choose a template by name, such as xgen"
            )
        return chat.render(
            self.chat_template, messages, add_generation_prompt=add_generation_prompt, marks=self.marks, where=self.name
        )

    def encode_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool = True) -> list[int]:
        """Ids of a rendered conversation. The template's marks are marks; the same text within a message is text.

        So nobody ends a turn or speaks for the system by writing `<|im_end|>` into a question.
        """
        written = [token.content for token in self._added.values() if token.special]
        shielded, shields = chat.shield(messages, written)
        rendered = self.render(shielded, add_generation_prompt=add_generation_prompt)
        if not shields:
            return self.encode_marked(rendered)
        ids: list[int] = []
        for part in re.split("(" + "|".join(map(re.escape, sorted(written, key=len, reverse=True))) + ")", rendered):
            ids += [self._ids[part]] if part in written else self.encode(chat.unshield(part, shields))
        return ids

    # ── keeping ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self, folder: Path) -> None:
        """Write it as a Hugging Face folder that `transformers.AutoTokenizer` and `load` read."""
        from tandem.tokenizer.folder import save

        save(self, folder)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _marking(self) -> tokenizers.Tokenizer:
        """A second core in which a mark's text means the mark: the switch is not safe to turn while another encodes."""
        return tokenizers.Tokenizer.from_str(self.core.to_str())

    @cached_property
    def _bytes(self) -> list[bytes] | None:
        """Bytes of each row, or None where tokens are not spelt in the byte alphabet."""
        if "ByteLevel" not in str(json.loads(self.core.to_str()).get("decoder")):
            return None
        table = [b""] * self.vocabulary
        for token, i in self._ids.items():
            data = None if i in self._added else unspell(token)
            table[i] = token.encode() if data is None else data
        return table

    def _byte(self, byte: int) -> int:
        table = self._bytes
        found = None if table is None else self._byte_ids.get(byte)
        if found is None:
            raise UserError(f"no token for the byte {byte:#04x}", where=self.name, remedy="give it valid UTF-8")
        return found

    @cached_property
    def _byte_ids(self) -> dict[int, int]:
        assert self._bytes is not None
        return {data[0]: i for i, data in enumerate(self._bytes) if len(data) == 1 and i not in self._added}

    def _all_inside(self, ids: Sequence[int]) -> None:
        stray = next((i for i in (min(ids), max(ids)) if not 0 <= i < self.vocabulary), None) if len(ids) else None
        if stray is not None:
            raise UserError(
                f"id {stray} is outside its {self.vocabulary:,} rows", where=self.name, remedy="use its own ids"
            )


def well_formed(text: str) -> str:
    """The text with lone surrogates, which have no UTF-8, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
