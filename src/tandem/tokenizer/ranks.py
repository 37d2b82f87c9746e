"""GPT-2-shaped rank tables: read from any of the forms they are published in, and turned into merges.

A rank table gives each token, as bytes, its place in the order of merging, which is also its id. Forms read: a
tiktoken file (base64 and rank a line), `vocab.bpe` or `merges.txt` with or without its `encoder.json` or `vocab.json`,
and a byte-level `tokenizer.json`. Nothing is fetched: the file is the user's.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path

from tandem.errors import UserError
from tandem.tokenizer.bytelevel import END, spell, spelling, unspell

_PAIRS = {"vocab.bpe": "encoder.json", "merges.txt": "vocab.json"}
_REMEDY = (
    "give a tiktoken file (base64 token and rank a line), vocab.bpe or merges.txt (its encoder.json or vocab.json "
    "beside it is used when there), or a folder with a byte-level tokenizer.json"
)


def read(path: Path) -> dict[bytes, int]:
    """The rank table in a file or folder: token bytes → rank.

    Raises:
        UserError: nothing readable there, a malformed line (file and line named), a rank given twice, or a merge of
            tokens that do not exist.
    """
    path = Path(path)
    if path.is_dir():
        for name in ("tokenizer.json", *_PAIRS):
            if (path / name).is_file():
                return read(path / name)
        found = sorted(p for p in path.iterdir() if p.suffix in (".tiktoken", ".bpe"))
        if len(found) == 1:
            return read(found[0])
        raise UserError("no rank table in this folder", where=str(path), remedy=_REMEDY)
    if not path.is_file():
        raise UserError("no such rank file", where=str(path), remedy=_REMEDY)
    if path.name in ("encoder.json", "vocab.json"):
        merges = path.with_name("vocab.bpe" if path.name == "encoder.json" else "merges.txt")
        if not merges.is_file():
            raise UserError(
                f"the order of merging is missing: no {merges.name} beside it", where=str(path), remedy=_REMEDY
            )
        return _from_merges(merges, path)
    if path.suffix == ".json":
        return _from_tokenizer_json(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise UserError(f"not a text file ({e.reason} at byte {e.start})", where=str(path), remedy=_REMEDY) from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.startswith("#version") or path.name in _PAIRS:
        vocabulary = path.with_name(_PAIRS.get(path.name, "encoder.json"))
        return _from_merges(path, vocabulary if vocabulary.is_file() else None)
    return _from_tiktoken(path, text)


def merges_of(ranks: Mapping[bytes, int]) -> list[tuple[str, str]]:
    """Every pair of tokens whose bytes together are a token, spelt, in the order the merged token's rank gives.

    tiktoken merges any two neighbours that together are in the table; a `tokenizer.json` merges only pairs it lists.
    Listing all pairs makes the two agree where one merge per token, as GPT-2's own file has it, would not.
    """
    merges: list[tuple[int, int, int, bytes, bytes]] = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in ranks and right in ranks:
                merges.append((rank, ranks[left], ranks[right], left, right))
    merges.sort()
    spelt = {token: spell(token) for token in ranks}
    return [(spelt[left], spelt[right]) for *_, left, right in merges]


def _from_tiktoken(path: Path, text: str) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    taken: set[int] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            encoded, written = line.split()
            token, rank = base64.b64decode(encoded, validate=True), int(written)
        except (ValueError, binascii.Error):
            raise UserError(
                f"expected a token in base64 and its rank, found {line[:40]!r}", where=where, remedy=_REMEDY
            ) from None
        if not token or token in ranks or rank in taken:
            raise UserError(f"empty or repeated token or rank: {line[:40]!r}", where=where, remedy="repair the file")
        ranks[token] = rank
        taken.add(rank)
    return ranks


def _from_merges(path: Path, vocabulary: Path | None) -> dict[bytes, int]:
    """256 bytes in the order of their spelling characters, then one token for each merge: GPT-2's own numbering."""
    ranks = {bytes([b]): i for i, b in enumerate(_bytes_in_order())}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        where = f"{path}:{number}"
        halves = [unspell(half) for half in line.split(" ")]
        if len(halves) != 2 or None in halves or not all(half in ranks for half in halves):
            raise UserError(
                f"expected two tokens that exist by this line, found {line[:40]!r}",
                where=where,
                remedy="repair the file",
            )
        token = b"".join(half for half in halves if half is not None)
        if token in ranks:
            raise UserError(f"the token of {line[:40]!r} was made before", where=where, remedy="repair the file")
        ranks[token] = len(ranks)
    if vocabulary is not None:
        given = _spelt_ranks(_json(vocabulary), vocabulary)
        if given != ranks:
            odd = next((t for t in ranks if given.get(t) != ranks[t]), None) or next(t for t in given if t not in ranks)
            raise UserError(
                f"disagrees with {path.name}: token {odd!r} has id {given.get(odd)} here, {ranks.get(odd)} there",
                where=str(vocabulary),
                remedy="both files must come from the same tokenizer",
            )
    return ranks


def _from_tokenizer_json(path: Path) -> dict[bytes, int]:
    content = _json(path)
    model = content.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not isinstance(model.get("vocab"), dict):
        raise UserError("not a BPE tokenizer", where=str(path), remedy=_REMEDY)
    added = content.get("added_tokens")
    marks = {token.get("content") for token in added if isinstance(token, dict)} if isinstance(added, list) else set()
    return _spelt_ranks({token: rank for token, rank in model["vocab"].items() if token not in marks}, path)


def _spelt_ranks(vocabulary: Mapping[str, object], path: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for token, rank in vocabulary.items():
        if token == END:
            continue
        data = unspell(token)
        if data is None or not isinstance(rank, int):
            raise UserError(
                f"token {token!r} is not written in the byte alphabet",
                where=str(path),
                remedy="a byte-level BPE is needed",
            )
        ranks[data] = rank
    return ranks


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as e:
        raise UserError(f"cannot be read as JSON: {e}", where=str(path), remedy=_REMEDY) from None
    if not isinstance(content, dict):
        raise UserError("expected a JSON object", where=str(path), remedy=_REMEDY)
    return content


def _bytes_in_order() -> list[int]:
    """Bytes as GPT-2 numbers them: the printable ones first, then the rest, each in order."""
    characters = spelling()
    return sorted(range(256), key=lambda b: (ord(characters[b]) >= 0x100, b))
