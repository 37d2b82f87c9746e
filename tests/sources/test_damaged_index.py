"""A damaged index: the file is named, by readers and by writers, and what to do about it."""

import random
import re
import shutil

import numpy as np
import pytest

from tandem.errors import UserError
from tandem.sources.passages import About, Document, Index, Origin, Passage, Writer, arrays

WORDS = [f"{a}{b}" for a in "bcdfgl" for b in ("an", "en", "in", "on", "un")]


class Letters:
    """An encoder of the letters in a text."""

    name, width = "letters", 26

    def encode(self, texts, *, query):
        return np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32).reshape(-1, 26)


def add(folder, names):
    draws = random.Random(names[0])
    with Writer(folder, embedder=Letters()) as writer:
        for name in names:
            passages = [Passage(" ".join(draws.choices(WORDS, k=30)), n, n, f"Part {n}") for n in range(1, 4)]
            writer.add(Origin(f"/notes/{name}", name), [Document(About(name, name, f"/notes/{name}"), passages)])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "index"
    add(folder, [f"a{n}" for n in range(40)])
    with Writer(folder, embedder=Letters()) as writer:
        writer.remove("/notes/a7")
    return folder


FILES = [
    "documents-ends.npy",
    "documents-sums.npy",
    "documents.bin",
    "document-first.npy",
    "frequency-2.npy",
    "gone-2.npy",
    "heading.npy",
    "headings-ends.npy",
    "headings-sums.npy",
    "headings.bin",
    "lengths.npy",
    "most.npy",
    "often.npy",
    "origin-first.npy",
    "origin-keys.npy",
    "origins-ends.npy",
    "origins-sums.npy",
    "origins.bin",
    "passages.npy",
    "places.npy",
    "starts.npy",
    "terms-ends.npy",
    "terms-sums.npy",
    "terms.bin",
    "texts-ends.npy",
    "texts-sums.npy",
    "texts.bin",
    "vectors.npy",
]


def everything(folder):
    """All ways in: what is searched and what is written."""
    index = Index(folder, Letters())
    for by in ("words", "both"):
        index.search(" ".join(WORDS), 200, by=by)
    with Writer(folder, embedder=Letters()) as writer:
        assert len(list(writer.origins())) == 39
        writer.remove("/notes/a3")
        writer.commit()
        writer.merge(everything=True)


def test_the_files_damaged_here_are_all_that_a_segment_has(sound):
    assert sorted(p.name for p in (sound / "segment-000001").iterdir()) == sorted(FILES)


@pytest.mark.parametrize("how", ["emptied", "shortened", "lengthened", "gone"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_length_is_named_by_readers_and_writers_with_the_remedy(sound, tmp_path, name, how):
    folder = tmp_path / "index"
    shutil.copytree(sound, folder)
    path = folder / "segment-000001" / name
    data = path.read_bytes()
    new = {"emptied": b"", "shortened": data[:-7], "lengthened": data + b"\0" * 8, "gone": b""}[how]
    path.write_bytes(new) if how != "gone" else path.unlink()
    for use in (lambda: Index(folder), lambda: Writer(folder, embedder=Letters())):
        with pytest.raises(UserError, match=r"damaged|missing") as told:
            use()
        assert str(path) in str(told.value)
        assert f"remove {folder}, and make the index again: tandem index FILES --out {folder}" in str(told.value)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".npy")])
def test_an_array_whose_header_is_another_is_named_and_nobody_is_told_to_unpickle_it(sound, tmp_path, name):
    folder = tmp_path / "index"
    path = folder / "segment-000001" / name
    draws = random.Random(name)
    for _ in range(2):
        shutil.copytree(sound, folder, dirs_exist_ok=True)
        data = bytearray(path.read_bytes())
        for place in draws.sample(range(60), 4):
            data[place] ^= 1 << draws.randrange(8)
        path.write_bytes(data)
        for use in (lambda: Index(folder), lambda: Writer(folder, embedder=Letters())):
            with pytest.raises(UserError, match="damaged") as told:
                use()
            assert str(path) in str(told.value) and "pickle" not in str(told.value)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".bin")])
def test_a_letter_that_changed_into_another_is_noticed_when_its_text_is_read(sound, tmp_path, name):
    folder = tmp_path / "index"
    shutil.copytree(sound, folder)
    path = folder / "segment-000001" / name
    texts = arrays.Texts(path.parent, path.stem)
    data = bytearray(path.read_bytes())
    data[texts.begin(1)] ^= 1
    path.write_bytes(data)
    texts = arrays.Texts(path.parent, path.stem)
    assert texts[0] is not None
    with pytest.raises(UserError, match="text 1 is not as it was written") as told:
        texts[1]
    assert str(path) in str(told.value)


def test_a_passage_that_was_changed_on_disk_is_never_cited(sound, tmp_path):
    folder = tmp_path / "index"
    shutil.copytree(sound, folder)
    path = folder / "segment-000001" / "texts.bin"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"ban", b"bun"))
    with pytest.raises(UserError, match="is not as it was written"):
        Index(folder).search("ban", 5)


@pytest.mark.parametrize("name", FILES)
def test_bytes_changed_in_the_middle_give_no_traceback(sound, tmp_path, name):
    draws, folder = random.Random(name), tmp_path / "index"
    shutil.copytree(sound, folder)
    path = folder / "segment-000001" / name
    data = bytearray(path.read_bytes())
    for _ in range(4):
        data[draws.randrange(128 if name.endswith(".npy") else 0, len(data))] = draws.randrange(256)
    path.write_bytes(data)
    try:
        everything(folder)
    except UserError as e:
        assert re.search(r"segment-\d+/\S+: this file of the index is damaged", str(e))


def test_an_index_without_its_vectors_is_not_searched_without_them(sound, tmp_path):
    folder = tmp_path / "index"
    shutil.copytree(sound, folder)
    (folder / "segment-000001" / "vectors.npy").unlink()
    with pytest.raises(UserError, match="is missing"):
        Index(folder)
