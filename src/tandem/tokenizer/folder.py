"""A tokenizer as a Hugging Face folder: read what `transformers`, the hub or we wrote; write what they all read.

Reads tokenizer.json, and beside it tokenizer_config.json, special_tokens_map.json, chat_template.jinja and config.json
as far as they are there. Does not convert SentencePiece models or `vocab.json` pairs: `transformers` does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers

from tandem.errors import UserError
from tandem.runs import disk_failure, write_whole
from tandem.tokenizer.tokenizer import Tokenizer

ROW_MULTIPLE = 64
"""Rows of a table are rounded up to this when the folder does not say: matrix products are faster."""


def load(folder_or_file: Path) -> Tokenizer:
    """A tokenizer from a Hugging Face folder, or from a tokenizer.json (files beside it are read too).

    Rows are those the folder names (`vocabulary_rows` in tokenizer_config.json, ours; `vocab_size` in config.json, the
    model's); else the ids rounded up to a multiple of 64, with a free row for padding when it has no pad token.

    Raises:
        UserError: no tokenizer.json, or a file that cannot be read; the message names it.
    """
    path = Path(folder_or_file)
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        old = [name for name in ("tokenizer.model", "vocab.json", "spiece.model") if (file.parent / name).is_file()]
        remedy = (
            f"it has {old[0]}: load it once with transformers' AutoTokenizer and save_pretrained to get tokenizer.json"
            if old
            else "give a Hugging Face folder or a tokenizer.json; `tandem tokenizer train` makes one"
        )
        raise UserError("no tokenizer.json" if path.is_dir() else "no such file", where=str(path), remedy=remedy)
    try:
        core = tokenizers.Tokenizer.from_file(str(file))
    except Exception as e:  # the Rust library raises plain Exception
        raise UserError(f"not a tokenizer.json: {e}", where=str(file), remedy="make or download it again") from None
    folder = file.parent
    config = _json(folder / "tokenizer_config.json")
    others = _json(folder / "special_tokens_map.json")
    model = _json(folder / "config.json")
    ids = core.get_vocab(with_added_tokens=True)
    by_id = {i: token for token, i in ids.items()}
    marks = {role: _mark(role, config, others, model, ids, by_id) for role in ("eos", "pad", "bos", "unk")}
    least = max(ids.values()) + 1
    rows = config.get("vocabulary_rows") or model.get("vocab_size") or 0
    if not isinstance(rows, int) or rows < least:
        rows = round_up(least + (marks["pad"] is None), ROW_MULTIPLE)
    return Tokenizer(
        core,
        rows=rows,
        end=marks["eos"],
        pad=marks["pad"],
        bos=marks["bos"],
        unk=marks["unk"],
        chat_template=_chat_template(folder, config),
        name=str(path),
    )


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and, if there is one, chat_template.jinja, each whole or not at all.

    Raises:
        Failure: the folder cannot be written, or the disk is full.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise disk_failure(e, folder) from e
    write_whole(folder / "tokenizer.json", tokenizer.core.to_str(pretty=True))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "vocabulary_rows": tokenizer.vocabulary,
        **{f"{role}_token": token for role, token in tokenizer.marks.items()},
    }
    write_whole(folder / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    template = folder / "chat_template.jinja"
    if tokenizer.chat_template is not None:
        write_whole(template, tokenizer.chat_template)
    else:
        template.unlink(missing_ok=True)


def round_up(n: int, multiple: int) -> int:
    """The least multiple that is not below `n`."""
    return -(-n // multiple) * multiple


def _mark(
    role: str,
    config: dict[str, Any],
    others: dict[str, Any],
    model: dict[str, Any],
    ids: dict[str, int],
    by_id: dict[int, str],
) -> str | None:
    """The token with a role: as the tokenizer's files name it, else by the id in the model's config."""
    for source in (config, others):
        token = source.get(f"{role}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and token in ids:
            return token
    number = model.get(f"{role}_token_id")
    number = number[0] if isinstance(number, list) and number else number
    return by_id.get(number) if isinstance(number, int) else None


def _chat_template(folder: Path, config: dict[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template") or _json(folder / "chat_template.json").get("chat_template")
    if isinstance(template, list):  # several by name: the default one, else the first
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default") or next(iter(named.values()), None)
    return template if isinstance(template, str) else None


def _json(file: Path) -> dict[str, Any]:
    """The object in a file, empty when there is no file."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as e:
        raise UserError(f"cannot be read as JSON: {e}", where=str(file), remedy="repair or remove it") from None
    if not isinstance(content, dict):
        raise UserError("expected a JSON object", where=str(file), remedy="repair or remove it")
    return content
