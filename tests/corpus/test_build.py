from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from corpus_sample import ByteEncoder, small_disk, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.build import BuildReport, build, documents
from tandem.corpus.document import Document
from tandem.corpus.ledger import Ledger
from tandem.corpus.read import SourceSpec
from tandem.corpus.shards import Shards
from tandem.errors import Failure, UserError


def made(texts: Sequence[str]) -> list[Document]:
    return [Document(text, f"text {n}") for n, text in enumerate(texts)]


def parts(out: Path) -> tuple[set[str], set[str]]:
    found = [text_of(Shards(out / n, ByteEncoder())) if (out / n).exists() else [] for n in ("train", "validation")]
    assert all(len(set(texts)) == len(texts) for texts in found)
    return set(found[0]), set(found[1])


def test_every_text_is_stored_once_in_one_part_and_counted(tmp_path: Path) -> None:
    texts = [f"text {n % 300}" for n in range(1000)] + ["", "  \n"]
    report = build(made(texts), ByteEncoder(), tmp_path / "c", validation=0.2)
    train, held_out = parts(tmp_path / "c")
    assert train | held_out == {f"text {n}" for n in range(300)}
    assert not train & held_out
    assert 30 < len(held_out) < 90
    steps = report.ledger.steps
    assert steps["clean"].removed == {"empty": 2}
    assert steps["duplicates"].removed == {"seen before": 700}
    assert (report.train.documents, report.validation.documents) == (len(train), len(held_out))
    assert report.bytes_per_token == sum(map(len, train | held_out)) / sum(len(t) + 1 for t in train | held_out)


def balanced(report: BuildReport) -> bool:
    return all(step.came == step.left + sum(step.removed.values()) for step in report.ledger.steps.values())


def test_every_step_lets_out_what_comes_in_but_for_what_it_removed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "long.txt").write_text("many words " * 20_000)
    (source / "empty.txt").write_text("")
    (source / "blank.txt").write_text("\n\n")
    (source / "noise").write_bytes(random.Random(1).randbytes(9000))
    (source / "a.jsonl").write_text(
        '{"text": "a"}\n{"text": null}\n{"text": "a"}\n' + '{"text": "%s"}\n' % ("z" * 9000)
    )
    (source / "b.jsonl").write_text('{"text": "%s"}\n' % ("y" * 50_000))
    report = build(SourceSpec(str(source), longest=4096, longest_line=20_000), ByteEncoder(), tmp_path / "c")
    assert balanced(report)
    removed = {reason for step in report.ledger.steps.values() for reason in step.removed}
    assert removed == {
        "empty", "binary", "seen before", "no text: 'text' is null", "line longer than 20,000 bytes",
    }  # fmt: skip
    limited = build(
        SourceSpec(str(source), longest=4096, longest_line=20_000, limit=50_000), ByteEncoder(), tmp_path / "d"
    )
    assert balanced(limited)
    assert 47_500 <= limited.bytes_read <= 50_000


@settings(max_examples=12, deadline=None)
@given(n=st.integers(2, 40), share=st.sampled_from([0.001, 0.1, 0.5, 0.9]), seed=st.integers(0, 99))
def test_the_split_depends_on_the_texts_alone_and_holds_one_out_at_least(
    tmp_path_factory: pytest.TempPathFactory, n: int, share: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("c")
    texts = [f"text {i} of {seed}" for i in range(n)]
    try:
        build(made(texts), ByteEncoder(), folder / "a", validation=share)
    except UserError:  # all of a few texts may fall to a large validation share
        assert share >= 0.5
        return
    random.Random(seed).shuffle(texts)
    build(made(texts + texts[: n // 2]), ByteEncoder(), folder / "b", validation=share, seed=5)
    train, held_out = parts(folder / "a")
    assert (train, held_out) == parts(folder / "b")
    assert held_out
    assert not train & held_out


def test_equal_texts_of_two_sources_fall_to_the_same_part(tmp_path: Path) -> None:
    texts = [f"text {n}" for n in range(2000)]
    build(made(texts[:1200]), ByteEncoder(), tmp_path / "a", validation=0.1, seed=1)
    build(made(texts[800:]), ByteEncoder(), tmp_path / "b", validation=0.1, seed=2)
    (train_a, held_out_a), (train_b, held_out_b) = parts(tmp_path / "a"), parts(tmp_path / "b")
    assert train_a & train_b and held_out_a & held_out_b
    assert not train_a & held_out_b and not train_b & held_out_a


def test_copies_that_are_kept_stay_in_one_part(tmp_path: Path) -> None:
    for seed in range(8):
        texts = [f"text {n} {seed}" for n in range(4)] * 3
        random.Random(seed).shuffle(texts)
        build(made(texts), ByteEncoder(), tmp_path / str(seed), validation=0.01, deduplicate=False)
        stored = [text_of(Shards(tmp_path / str(seed) / part)) for part in ("train", "validation")]
        assert sorted(stored[0] + stored[1]) == sorted(texts)
        assert not set(stored[0]) & set(stored[1])


def test_without_validation_everything_is_trained_on(tmp_path: Path) -> None:
    build(made(["a", "b"]), ByteEncoder(), tmp_path / "c", validation=0)
    assert parts(tmp_path / "c") == ({"a", "b"}, set())
    assert not (tmp_path / "c" / "validation").exists()


def test_a_single_text_is_trained_on_not_held_out(tmp_path: Path) -> None:
    report = build(made(["only"]), ByteEncoder(), tmp_path / "c", validation=0.01)
    assert (report.train.documents, report.validation.documents) == (1, 0)


def test_the_same_texts_and_seed_make_the_same_bytes_with_any_memory(tmp_path: Path) -> None:
    texts = [f"text {n % 5000} " * 50 for n in range(8000)]
    build(made(texts), ByteEncoder(), tmp_path / "a", seed=3)
    build(made(texts[::-1]), ByteEncoder(), tmp_path / "b", seed=3, memory=100_000)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*") if p.name != "report.json")
    assert [str(f) for f in files if "tokens" in f.name] == ["train/tokens.bin", "validation/tokens.bin"]
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["report.json", "train", "validation"]


class SpellsItsEnd(ByteEncoder):
    """A tokenizer that reads `|` as its own end mark, as one with special tokens in its text does."""

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.where(ids == ord("|"), 256, ids) for ids in super().encode_arrays(texts)]


def test_a_text_that_spells_the_end_mark_does_not_end_there(tmp_path: Path) -> None:
    report = build(made(["a|b", "||", "c"]), SpellsItsEnd(), tmp_path / "c", validation=0)
    assert sorted(text_of(Shards(tmp_path / "c" / "train"))) == ["ab", "c"]
    encode = report.ledger.step("encode")
    assert encode.changed == {"end marks spelt in the text removed": 2}
    assert encode.removed == {"no tokens": 1}


def test_a_corpus_of_which_nothing_is_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": " "}\n{"text": ""}\n')
    with pytest.raises(UserError, match=r"(?s)no documents left to train on.*removed 2: empty"):
        build(SourceSpec(str(tmp_path / "a.jsonl")), ByteEncoder(), tmp_path / "c")
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_an_error_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "some text"}\n' * 3000 + "broken\n")
    with pytest.raises(UserError, match=r"a\.jsonl:3001"):
        build(SourceSpec(str(tmp_path / "a.jsonl")), ByteEncoder(), tmp_path / "c", memory=1)
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_disk_that_fills_up_at_any_point_leaves_nothing_behind(tmp_path: Path) -> None:
    texts = [f"text {n} " * 20 for n in range(4000)]
    for size in ("50k", "400k", "1300k"):
        with small_disk(tmp_path / size, size) as disk:
            with pytest.raises(Failure, match="the disk is full"):
                build(made(texts), ByteEncoder(), disk / "c", memory=100_000)
            assert list(disk.iterdir()) == []


def test_what_a_killed_build_left_is_swept_away_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "c.tmp" / "train" / "buckets").mkdir(parents=True)
    (tmp_path / "c.tmp" / "train" / "tokens.bin").write_bytes(b"half")
    build(made(["a", "b"]), ByteEncoder(), tmp_path / "c")
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    Shards(tmp_path / "c" / "train").verify()


@pytest.mark.parametrize("share", [-0.1, 1.0, 5.0])
def test_a_validation_share_out_of_range_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(UserError, match="validation share"):
        build(made(["a"]), ByteEncoder(), tmp_path / "c", validation=share)


def test_the_report_on_disk_says_what_the_returned_one_says(tmp_path: Path) -> None:
    report = build(made(["a\r\nb", "c", "c"]), ByteEncoder(), tmp_path / "c", validation=0)
    stored = json.loads((tmp_path / "c" / "report.json").read_text())
    assert stored == report.to_json()
    assert stored["bytes_read"] == 6
    assert stored["steps"][0] == {
        "step": "clean",
        "in": 3,
        "out": 3,
        "removed": {},
        "changed": {"line ends made \\n": 1},
        "places": {"line ends made \\n": ["text 0"]},
    }
    assert len(report.table().rows) == 3


def test_progress_is_told_documents_and_bytes(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    build(made([f"{n:04}" for n in range(3000)]), ByteEncoder(), tmp_path / "c", progress=lambda *a: told.append(a))
    assert told == sorted(told)
    assert told[-1] == (3000, 12_000)


def test_the_lines_for_a_terminal_fit_it_and_name_a_place() -> None:
    ledger = Ledger()
    list(documents([*made(["a", " ", "a"]), Document("", "x" * 200)], ledger))
    lines = ledger.lines()
    assert all(len(line) <= 80 for line in lines)
    assert any("removed 2: empty" in line for line in lines)
    assert any("e.g. text 1" in line for line in lines)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)).filter(lambda sizes: sizes[0] != sizes[1]),
    share=st.sampled_from([0.01, 0.5, 0.99]),
    copies=st.integers(1, 3),
)
def test_of_two_texts_the_smaller_is_held_out(
    tmp_path_factory: pytest.TempPathFactory, sizes: tuple[int, int], share: float, copies: int
) -> None:
    out = tmp_path_factory.mktemp("two") / "c"
    texts = ["word " * size + str(size) for size in sizes]
    report = build(made(texts * copies), ByteEncoder(), out, validation=share, deduplicate=copies == 1)
    assert (report.train.documents, report.validation.documents) == (copies, copies)
    held_out, train = (set(text_of(Shards(out / part, ByteEncoder()))) for part in ("validation", "train"))
    assert held_out == {min(texts, key=len)} and train == {max(texts, key=len)}
