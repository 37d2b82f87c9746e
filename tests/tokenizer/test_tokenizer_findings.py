"""Each defect the check knows, shown by a tokenizer that has it; a sound tokenizer has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from tandem.tokenizer import Report, Tokenizer, check, load
from tandem.tokenizer.bytelevel import PIECE, spelling


def altered(trained: Tokenizer, change: Callable[[tokenizers.Tokenizer], object], **marks: str | None) -> Report:
    core = tokenizers.Tokenizer.from_str(trained.core.to_str())
    change(core)
    roles = {"end": "<|endoftext|>", "pad": "<|pad|>"} | marks
    return check(Tokenizer(core, rows=trained.vocabulary, **roles))


def names(report: Report, severity: str) -> set[str]:
    return {finding.name for finding in report.findings if finding.severity == severity}


def test_sound_tokenizers_have_no_error_and_no_warning(trained: Tokenizer, xgen_tokenizer: Tokenizer) -> None:
    assert not check(trained).errors and not check(trained).warnings
    report = check(xgen_tokenizer)
    assert not report.errors
    # The table is filled up with compositions that cross pieces, which encoding rightly never makes.
    assert names(report, "warning") == {"unreachable tokens"}


def test_collapsed_white_space_breaks_python(trained: Tokenizer) -> None:
    """OpenLLaMA-7B, HumanEval 0: consecutive white spaces are treated as one."""
    report = altered(
        trained, lambda core: setattr(core, "normalizer", normalizers.Replace(tokenizers.Regex(r"\s+"), " "))
    )
    finding = report.named("Python breaks")[0]
    assert finding.severity == "error" and "no program any more" in finding.message
    assert {"white space changed", "normaliser changes text"} <= names(report, "error")


def test_runs_of_spaces_collapsed_within_lines_are_found(trained: Tokenizer) -> None:
    report = altered(
        trained, lambda core: setattr(core, "normalizer", normalizers.Replace(tokenizers.Regex(" {2,}"), " "))
    )
    assert "Python breaks" in names(report, "error")


def test_a_splitter_that_drops_white_space_is_found(trained: Tokenizer) -> None:
    steps = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    report = altered(trained, lambda core: setattr(core, "pre_tokenizer", pre_tokenizers.Sequence(steps)))
    assert {"Python breaks", "white space changed"} <= names(report, "error")


@pytest.mark.parametrize(
    ("normaliser", "form"),
    [
        (normalizers.Lowercase(), "lower case"),
        (normalizers.NFKC(), "NFKC"),
        (normalizers.NFC(), "NFC"),
        (normalizers.NFD(), "NFD"),
        (normalizers.StripAccents(), "its own rules"),
    ],
)
def test_a_normaliser_that_changes_text_is_found_and_named(
    trained: Tokenizer, normaliser: normalizers.Normalizer, form: str
) -> None:
    report = altered(trained, lambda core: setattr(core, "normalizer", normaliser))
    assert any(form in finding.message for finding in report.named("normaliser changes text"))
    assert "round trip" in names(report, "error")


def test_a_space_put_before_the_text_is_found(trained: Tokenizer) -> None:
    report = altered(
        trained, lambda core: setattr(core, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True))
    )
    assert "leading space added" in names(report, "warning")


def word_level(tmp_path: Path) -> Tokenizer:
    core = tokenizers.Tokenizer(
        models.WordLevel({"a": 0, "[UNK]": 1, "</s>": 2, "foo": 3, "bar": 4}, unk_token="[UNK]")
    )
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"unk_token": "[UNK]"}')
    return load(tmp_path)


def test_unknown_tokens_lost_bytes_and_a_missing_end_are_found(tmp_path: Path) -> None:
    report = check(word_level(tmp_path))
    assert {"unknown token", "no end of text", "Python breaks"} <= names(report, "error")
    assert "any bytes" in names(report, "warning")


def test_a_pad_that_text_produces_is_found(trained: Tokenizer) -> None:
    """XGen's four complaints: padding set to a live id, and its characters vanish."""
    report = altered(trained, lambda core: None, pad="!")
    assert "pad is a live id" in names(report, "error")


def test_a_pad_shared_with_end_of_text_is_found(trained: Tokenizer) -> None:
    report = altered(trained, lambda core: None, pad="<|endoftext|>")
    assert "pad is a live id" in names(report, "warning")


def test_a_mark_that_text_can_produce_is_found(trained: Tokenizer) -> None:
    report = altered(trained, lambda core: core.add_tokens([AddedToken("<|stop|>", special=False)]), end="<|stop|>")
    assert "mark from ordinary text" in names(report, "error")


def test_marks_that_other_programs_would_take_from_text_are_told(trained: Tokenizer) -> None:
    assert check(trained).named("marks in other programs")[0].severity == "fact"


def test_a_beginning_mark_added_silently_is_found(trained: Tokenizer) -> None:
    dress = processors.TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1498)])
    report = altered(trained, lambda core: setattr(core, "post_processor", dress), bos="<|im_start|>")
    assert report.named("marks added silently")[0].example == "<|im_start|>"


def test_tokens_that_encoding_never_makes_are_counted() -> None:
    tokens = [*spelling(), "ab", "abc", "zq", "\u0120a\u0120b"]
    core = tokenizers.Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [("a", "b"), ("ab", "c")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    finding = check(Tokenizer(core, rows=320)).named("unreachable tokens")[0]
    assert finding.message.startswith("2 tokens") and "'zq'" in finding.example


def test_how_digits_are_split_is_told(trained: Tokenizer) -> None:
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    report = altered(trained, lambda core: setattr(core, "pre_tokenizer", pre_tokenizers.Sequence(steps)))
    assert "one by one" in report.named("digits")[0].message


def test_indentation_that_eats_the_context_is_found() -> None:
    core = tokenizers.Tokenizer(models.BPE({c: i for i, c in enumerate(spelling())}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    finding = check(Tokenizer(core, rows=320)).named("indentation")[0]
    assert finding.severity == "warning" and "0 of 38 runs" in finding.message


def test_bytes_per_token_are_measured_on_a_given_text(trained: Tokenizer) -> None:
    text = "self.vocabulary = rows\n" * 20
    expected = f"mine: {len(text) / len(trained.encode(text)):.2f} bytes per token"
    assert expected in [finding.message for finding in check(trained, {"mine": text}).named("bytes per token")]


def test_rows_that_are_no_multiple_of_64_are_told(trained: Tokenizer) -> None:
    core = tokenizers.Tokenizer.from_str(trained.core.to_str())
    assert "odd number of rows" in names(check(Tokenizer(core, rows=1601, end="<|endoftext|>")), "warning")


def test_a_split_written_out_is_as_sound_as_the_one_built_in(trained: Tokenizer) -> None:
    steps = [
        pre_tokenizers.Split(tokenizers.Regex(PIECE), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    report = altered(trained, lambda core: setattr(core, "pre_tokenizer", pre_tokenizers.Sequence(steps)))
    assert not report.errors and not report.warnings
