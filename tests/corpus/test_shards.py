from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpus_sample import ByteEncoder, PlainIds, numbered, small_disk, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.shards import Shards, ShardWriter, write_shards
from tandem.errors import Failure, UserError


@settings(max_examples=25, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 98), min_size=1, max_size=40), min_size=1, max_size=40),
    vocabulary=st.sampled_from([100, 1 << 16, (1 << 16) + 1, 1 << 20]),
)
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], vocabulary: int
) -> None:
    shards = write_shards(tmp_path_factory.mktemp("s") / "s", documents, PlainIds(vocabulary))
    assert sorted(shards.document(i).tolist() for i in range(shards.documents)) == sorted(documents)
    assert shards.tokens == sum(len(d) + 1 for d in documents)
    stream = [t for i in range(shards.documents) for t in [*shards.document(i).tolist(), vocabulary - 1]]
    assert shards.read(0, shards.tokens).tolist() == stream
    shards.verify()


def test_neither_the_order_of_arrival_nor_the_buffer_changes_a_byte(tmp_path: Path) -> None:
    rng = random.Random(4)
    documents = [[rng.randrange(99) for _ in range(rng.randrange(1, 400))] for _ in range(3000)]
    write_shards(tmp_path / "a", documents, PlainIds(100), seed=3)
    rng.shuffle(documents)
    write_shards(tmp_path / "b", documents, PlainIds(100), seed=3, buffer=10_000)
    for name in ("tokens.bin", "documents.bin", "shards.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["documents.bin", "shards.json", "tokens.bin"]


def test_documents_lie_in_an_order_that_the_seed_decides(tmp_path: Path) -> None:
    documents = [[i % 97, i // 97] for i in range(500)]
    first, again, other = (
        write_shards(tmp_path / n, documents, PlainIds(100), seed=s) for n, s in zip("abc", (1, 1, 2))
    )
    order = [first.document(i).tolist() for i in range(500)]
    assert order != documents
    assert first.fingerprint == again.fingerprint != other.fingerprint
    place = {tuple(d): i for i, d in enumerate(order)}
    assert abs(np.corrcoef(range(500), [place[tuple(d)] for d in documents])[0, 1]) < 0.2


def test_reading_past_the_end_goes_on_at_the_beginning(tmp_path: Path) -> None:
    shards = numbered(tmp_path / "s", [3, 4])
    stream = shards.read(0, 9).tolist()
    assert shards.read(7, 20).tolist() == [stream[(7 + i) % 9] for i in range(20)]
    assert shards.read(9 * 10**12 + 2, 3).tolist() == stream[2:5]


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path / "s", [[1, 2]], PlainIds(10, "mine"))
    Shards(tmp_path / "s", PlainIds(10, "mine"))
    with pytest.raises(UserError, match=r"another tokenizer \(mine, not yours\)"):
        Shards(tmp_path / "s", PlainIds(10, "yours"))


@pytest.mark.parametrize("name", ["tokens.bin", "documents.bin"])
def test_a_file_cut_short_or_missing_is_called_half_written(tmp_path: Path, name: str) -> None:
    numbered(tmp_path / "s", [100])
    file = tmp_path / "s" / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{name}: half-written"):
        Shards(tmp_path / "s")
    file.unlink()
    with pytest.raises(UserError, match=f"{name}: half-written"):
        Shards(tmp_path / "s")


def test_a_folder_without_header_is_called_half_written(tmp_path: Path) -> None:
    numbered(tmp_path / "s", [100])
    (tmp_path / "s" / "shards.json").unlink()
    with pytest.raises(UserError, match="half-written"):
        Shards(tmp_path / "s")


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"format": 9}', '{"format": 1}'])
def test_a_header_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    numbered(tmp_path / "s", [100])
    (tmp_path / "s" / "shards.json").write_text(text)
    with pytest.raises(UserError, match=r"shards\.json"):
        Shards(tmp_path / "s")


def test_an_altered_header_index_or_token_is_found(tmp_path: Path) -> None:
    numbered(tmp_path / "s", [100, 200])
    header = tmp_path / "s" / "shards.json"
    before = header.read_text()
    header.write_text(json.dumps(json.loads(before) | {"end": 5}))
    with pytest.raises(UserError, match="header has been altered"):
        Shards(tmp_path / "s")
    header.write_text(before)
    for name, message in (("documents.bin", "index has been altered"), ("tokens.bin", "tokens have been altered")):
        file = tmp_path / "s" / name
        data = file.read_bytes()
        file.write_bytes(data[:10] + bytes([data[10] ^ 1]) + data[11:])
        with pytest.raises(UserError, match=message):
            Shards(tmp_path / "s").verify()
        file.write_bytes(data)
    Shards(tmp_path / "s").verify()


def test_pointing_at_the_corpus_and_not_its_part_says_where_to_look(tmp_path: Path) -> None:
    numbered(tmp_path / "corpus" / "train", [100])
    with pytest.raises(UserError, match="one folder deeper") as e:
        Shards(tmp_path / "corpus")
    assert str(tmp_path / "corpus" / "train") in str(e.value)


def test_an_id_outside_the_vocabulary_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    for bad in (10, -1):
        with pytest.raises(UserError, match="vocabulary"):
            write_shards(tmp_path / "s", [[1, 2], [bad]], PlainIds(10))
    assert list(tmp_path.iterdir()) == []


def test_no_documents_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no documents"):
        write_shards(tmp_path / "s", [], PlainIds(10))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    shards = numbered(tmp_path / "s", [5])
    with pytest.raises(UserError, match="exists"):
        write_shards(tmp_path / "s", [[1]], PlainIds(10))
    Shards(shards.folder).verify()


def test_writing_holds_no_more_than_its_buffer(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, ByteEncoder(), seed=0, buffer=100_000)
    largest = 0
    for i in range(2000):
        writer.add(list(f"document {i} ".encode() * 20))
        largest = max(largest, sum(d.nbytes for bucket in writer._buckets for _, d in bucket))
    writer.finish()
    assert largest <= 100_000 < writer.tokens * 2
    assert len(set(text_of(Shards(tmp_path)))) == 2000


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from corpus_sample import PlainIds
from tandem.corpus.shards import write_shards
from tandem.errors import Failure
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_shards(Path(sys.argv[1]), ([i % 99] * 100 for i in range(5000)), PlainIds(100), buffer=20_000)
except Failure as e:
    print(e)
    sys.exit(1)
"""


def test_a_write_that_fails_names_the_folder_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "s"), str(Path(__file__).parent)], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert str(tmp_path / "s") in done.stdout
    assert "cannot write" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_called_by_its_name_and_nothing_is_left(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200k") as disk:
        with pytest.raises(Failure, match="the disk is full"):
            write_shards(disk / "s", ([i % 99] * 100 for i in range(5000)), PlainIds(100), buffer=20_000)
        assert list(disk.iterdir()) == []
