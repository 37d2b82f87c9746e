"""Folders: what we write `transformers` reads with the same ids, and what it writes we read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

from tandem.errors import Failure, UserError
from tandem.tokenizer import Tokenizer, load
from tandem.types import Message

TEXTS = [
    "def f(x):\n        return  x + 1\t\t# naïve 漢字 😀\n",
    "  It's 1234!  ",
    "\n\n    \t\t\tx",
    "a" + " " * 70 + "b",
    "",
]
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def transformers():  # type: ignore[no-untyped-def]
    return pytest.importorskip("transformers")


@pytest.fixture(params=["trained", "xgen_tokenizer"])
def ours(request: pytest.FixtureRequest) -> Tokenizer:
    tokenizer: Tokenizer = request.getfixturevalue(request.param)
    return tokenizer


def test_what_we_save_we_load(ours: Tokenizer, tmp_path: Path) -> None:
    ours.save(tmp_path)
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        again = load(place)
        assert again.fingerprint == ours.fingerprint
        assert (again.live, again.vocabulary, again.end, again.pad) == (ours.live, ours.vocabulary, ours.end, ours.pad)
        assert again.encode_batch(TEXTS) == ours.encode_batch(TEXTS)


@pytest.mark.parametrize(
    ("which", "model_type"),
    [
        ("trained", None),
        ("trained", "llama"),
        ("trained", "mistral"),
        ("trained", "qwen3"),
        ("xgen_tokenizer", "llama"),
    ],
)
def test_transformers_loads_it_with_the_same_ids_beside_its_model(
    transformers, request: pytest.FixtureRequest, tmp_path: Path, which: str, model_type: str | None
) -> None:  # type: ignore[no-untyped-def]
    ours: Tokenizer = request.getfixturevalue(which)
    ours.save(tmp_path)
    if model_type:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": ours.vocabulary}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert theirs.encode(text) == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == text
    assert (theirs.eos_token_id, theirs.pad_token_id, theirs.bos_token_id) == (ours.end, ours.pad, None)


def test_beside_a_qwen2_model_the_tokenizer_class_must_be_named_to_transformers(
    transformers, trained: Tokenizer, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    """For this one model type AutoTokenizer of version 5 replaces splitting and normalising, whatever the files say."""
    trained.save(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2", "vocab_size": trained.vocabulary}))
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert [theirs.encode(text) for text in TEXTS] == trained.encode_batch(TEXTS)


def test_what_transformers_saves_we_load(transformers, ours: Tokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    ours.save(tmp_path / "a")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "a")
    theirs.chat_template = CHATML
    theirs.save_pretrained(tmp_path / "b")
    again = load(tmp_path / "b")
    assert again.fingerprint == ours.fingerprint
    assert again.chat_template == CHATML
    assert (again.vocabulary, again.end, again.pad) == (ours.vocabulary, ours.end, ours.pad)


def test_a_chat_template_travels_and_goes(transformers, trained: Tokenizer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    trained.save(tmp_path)
    t = load(tmp_path)
    t.chat_template = CHATML
    t.save(tmp_path)
    assert load(tmp_path).chat_template == CHATML
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    messages = [Message("user", "hello"), Message("assistant", "hi"), Message("user", "bye")]
    plain = [{"role": m.role, "content": m.content} for m in messages]
    assert theirs.apply_chat_template(plain, add_generation_prompt=True, tokenize=False) == t.render(messages)
    ids = theirs.apply_chat_template(plain, add_generation_prompt=True, return_dict=False)
    assert t.encode_chat(messages) == ids
    trained.save(tmp_path)
    assert load(tmp_path).chat_template is None


def small_core(tmp_path: Path, **config: object) -> Path:
    core = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2, "</s>": 3, "<s>": 4}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_special_tokens([AddedToken("</s>"), AddedToken("<s>")])
    core.enable_truncation(2)
    core.enable_padding(length=9)
    core.save(str(tmp_path / "tokenizer.json"))
    if config:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return tmp_path


def test_without_an_end_it_loads_and_says_so_only_when_asked(tmp_path: Path) -> None:
    t = load(small_core(tmp_path))
    assert t.encode("a b") == [0, 1]
    assert (t.bos, t.unk) == (None, None)
    with pytest.raises(UserError, match="no end-of-text") as raised:
        _ = t.end
    assert "eos_token" in str(raised.value.remedy)


def test_truncation_and_padding_that_a_file_switches_on_are_off(tmp_path: Path) -> None:
    assert load(small_core(tmp_path)).encode("a b a b a") == [0, 1, 0, 1, 0]


def test_marks_are_found_wherever_hugging_face_files_name_them(tmp_path: Path) -> None:
    folder = small_core(
        tmp_path, eos_token={"content": "</s>", "__type": "AddedToken"}, unk_token="[UNK]", pad_token=None
    )
    (folder / "special_tokens_map.json").write_text(json.dumps({"bos_token": {"content": "<s>"}}))
    t = load(folder)
    assert (t.end, t.bos, t.unk, t.pad) == (3, 4, 2, 5)
    (folder / "tokenizer_config.json").unlink()
    (folder / "config.json").write_text(json.dumps({"eos_token_id": [3, 4], "vocab_size": 128}))
    assert (load(folder).end, load(folder).vocabulary) == (3, 128)


def test_padding_falls_back_to_a_free_row_and_only_then_to_the_end(tmp_path: Path) -> None:
    folder = small_core(tmp_path, eos_token="</s>")
    assert (load(folder).pad, load(folder).vocabulary) == (5, 64)
    (folder / "config.json").write_text(json.dumps({"vocab_size": 5}))
    assert (load(folder).pad, load(folder).vocabulary) == (3, 5)


@pytest.mark.parametrize(
    ("files", "where", "words"),
    [
        ({}, "", "no tokenizer.json"),
        ({"tokenizer.model": "x"}, "", "no tokenizer.json"),
        ({"tokenizer.json": "{"}, "tokenizer.json", "not a tokenizer.json"),
        ({"tokenizer.json": "{}"}, "tokenizer.json", "not a tokenizer.json"),
        ({"tokenizer_config.json": "[1]"}, "tokenizer_config.json", "JSON object"),
        ({"tokenizer_config.json": "{"}, "tokenizer_config.json", "JSON"),
    ],
)
def test_a_folder_that_cannot_be_read_names_the_file(
    tmp_path: Path, files: dict[str, str], where: str, words: str
) -> None:
    if "tokenizer_config.json" in files:
        small_core(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=words) as raised:
        load(tmp_path)
    assert str(raised.value.where).endswith(where) and raised.value.remedy


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "nowhere" / "tokenizer.json")


def test_a_sentencepiece_like_tokenizer_works_through_the_library(tmp_path: Path) -> None:
    letters = {c: i for i, c in enumerate(["<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz", "</s>"])}
    core = tokenizers.Tokenizer(models.BPE(letters, [], unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    core.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    core.add_special_tokens([AddedToken("</s>")])
    core.save(str(tmp_path / "tokenizer.json"))
    t = load(tmp_path)
    assert not t.byte_level
    assert t.decode(t.encode("hello world")) == "hello world"
    assert t.decode_bytes(t.encode("hello")) == b"hello"
    with pytest.raises(UserError, match="no token for the byte"):
        t.encode_bytes(b"a\xff")


def test_ids_outside_the_table_are_refused_and_padding_rows_are_silent(trained: Tokenizer) -> None:
    assert trained.decode([trained.vocabulary - 1]) == ""
    for stray in (-1, trained.vocabulary):
        with pytest.raises(UserError, match=str(stray)):
            trained.decode([0, stray])


def test_marks_show_in_decoded_text_unless_left_out(trained: Tokenizer) -> None:
    ids = [*trained.encode("one"), trained.end, *trained.encode(" two")]
    assert trained.decode(ids) == "one<|endoftext|> two"
    assert trained.decode(ids, marks=False) == "one two"


def test_a_place_that_cannot_be_written_is_a_failure_that_names_it(trained: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Failure, match="cannot write") as raised:
        trained.save(tmp_path / "taken")
    assert str(raised.value.where).endswith("taken")
