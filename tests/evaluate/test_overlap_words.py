"""Test items in training text: found wherever 13 of their words stand in a row, and never for fewer."""

import gzip
import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus import write_shards
from tandem.errors import UserError
from tandem.evaluate.overlap import COMMON, WORDS, look, words
from tandem.evaluate.overlap.items import Items
from tandem.evaluate.overlap.training import BATCH
from tandem.evaluate.overlap.words import Text, prepared, runs

SYLLABLES = ("ba", "do", "ki", "lu", "me", "no", "ra", "si", "tu", "ve")


def text_of(seed, n):
    """Made-up words, n of them."""
    rng = random.Random(seed)
    return [rng.choice(SYLLABLES) + rng.choice(SYLLABLES) + rng.choice(SYLLABLES) for _ in range(n)]


ITEM = " ".join(text_of("item", 30))


def found_in(path, items=None, **options):
    return look([path], {"t": items or {"q": ITEM}}, **options).looked["t"].found


def file(path, data):
    path.write_bytes(gzip.compress(data.encode()) if path.suffix == ".gz" else data.encode())
    return path


@given(st.text(st.characters(codec="utf-8"), max_size=80) | st.text("aB_ É'’1漢İß.\n", max_size=40))
@settings(max_examples=200, deadline=None)
def test_words_of_bytes_are_the_words_of_text(text):
    cut = Text(prepared(text))
    assert [word.decode() for word in cut.words(0, len(cut.starts))] == words(text)


@given(st.lists(st.sampled_from(["a", "b", "ab", "ba", "c"]), max_size=40), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_equal_runs_of_words_have_equal_hashes_and_others_have_not(split, n):
    hashes = Text(" ".join(split).encode()).runs(n).tolist()
    assert len(hashes) == max(0, len(split) - n + 1)
    by_hash = {}
    for place, hash in enumerate(hashes):
        by_hash.setdefault(hash, set()).add(tuple(split[place : place + n]))
    assert all(len(which) == 1 for which in by_hash.values())
    assert len(by_hash) == len({tuple(split[i : i + n]) for i in range(len(hashes))})


def test_hashes_do_not_depend_on_what_stands_before():
    whole = Text(" ".join(text_of(1, 500)).encode())
    later = Text(" ".join(text_of(1, 500)[100:]).encode())
    assert whole.runs(13)[100:].tolist() == later.runs(13).tolist()
    assert len(runs(whole.hashes()[:12], 13)) == 0


@pytest.mark.parametrize("at", [0, 1, 7, 17])
@pytest.mark.parametrize("name", ["t.txt", "t.jsonl", "t.jsonl.gz", "t.txt.gz"])
def test_thirteen_words_in_a_row_are_found_wherever_they_stand_and_twelve_are_not(tmp_path, at, name):
    split = ITEM.split()
    for n in (WORDS, WORDS - 1):
        planted = ", ".join(split[at : at + n]).upper()
        lines = [" ".join(text_of(2, 400)), f"{' '.join(text_of(3, 50))} {planted}! {' '.join(text_of(4, 50))}"]
        data = "".join((json.dumps({"text": line}) if "jsonl" in name else line) + "\n" for line in lines)
        found = found_in(file(tmp_path / f"{n}-{name}", data))
        assert bool(found) == (n == WORDS)
        if found:
            assert found["q"].place == f"{tmp_path}/{n}-{name}:2"
            assert found["q"].words == " ".join(split[at : at + WORDS])
            assert (found["q"].runs, found["q"].of) == (1, 30 - WORDS + 1)


def test_words_of_two_documents_are_not_in_a_row(tmp_path):
    split = ITEM.split()
    rows = [{"text": " ".join(split[:10])}, {"text": " ".join(split[10:20])}]
    assert not found_in(file(tmp_path / "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert found_in(file(tmp_path / "t.txt", "\n".join(row["text"] for row in rows)))


@pytest.mark.parametrize("before", range(BATCH - 250, BATCH + 1, 31))
def test_a_find_across_the_parts_of_a_long_file_is_found_with_its_line(tmp_path, before):
    filler = "".join(f"{word}\n" for word in text_of(5, before // 7 + 1))[:before]
    place = filler.count("\n") + 2
    found = found_in(file(tmp_path / "t.txt", filler + "\n" + ITEM + "\n" + " ".join(text_of(6, 30_000))))
    assert found["q"].place == f"{tmp_path}/t.txt:{place}"
    assert found["q"].runs == found["q"].of


def test_it_finds_what_comparing_all_runs_of_words_finds(tmp_path):
    few = text_of(7, 8)  # of so few words runs meet by chance
    rng = random.Random(8)
    items = {str(n): " ".join(rng.choices(few[:2], k=rng.randint(3, 30))) for n in range(200)}
    texts = [" ".join(rng.choices(few[:2], k=60)) for _ in range(300)]
    seen = {tuple(t.split()[i : i + 9]) for t in texts for i in range(60 - 9 + 1)}
    own = {id: {tuple(t.split()[i : i + 9]) for i in range(len(t.split()) - 8)} for id, t in items.items()}
    held = Counter(run for each in own.values() for run in each)
    expected = {id for id, each in own.items() if any(run in seen and held[run] <= COMMON for run in each)}
    path = file(tmp_path / "t.jsonl", "".join(json.dumps({"text": t}) + "\n" for t in texts))
    found = found_in(path, items, n=9)
    assert set(found) == expected
    assert 0 < len(expected) < 200
    assert all(found[id].runs == sum(run in seen for run in own[id] if held[run] <= COMMON) for id in expected)


@pytest.mark.parametrize(("holders", "counts"), [(COMMON, True), (COMMON + 1, False)])
def test_words_that_more_than_ten_items_share_are_nobodys(tmp_path, holders, counts):
    items = {str(n): f"{ITEM} {n}" for n in range(holders)}
    found = found_in(file(tmp_path / "t.txt", ITEM), items)
    assert len(found) == (holders if counts else 0)


def test_items_of_several_tasks_are_looked_for_at_once_and_short_ones_counted(tmp_path):
    tasks = {"a": {"1": ITEM, "2": "too short"}, "b": {"1": ITEM}, "c": {"1": " ".join(text_of(9, 20))}}
    looked = look([file(tmp_path / "t.txt", ITEM)], tasks).looked
    assert {task: list(each.found) for task, each in looked.items()} == {"a": ["1"], "b": ["1"], "c": []}
    assert (looked["a"].items, looked["a"].short) == (2, 1)


def test_memory_is_that_of_the_items_not_of_the_text(tmp_path):
    items = Items({"t": {"q": ITEM}})
    before = {name: getattr(items, name).nbytes for name in ("_hashes", "_bitmap", "_seen")}
    for n in range(50):
        items.look(Text(" ".join(text_of(n, 5000)).encode()), __import__("numpy").array([0]), str)
    assert before == {name: getattr(items, name).nbytes for name in before}
    assert not items.looked()["t"].found


class Letters:
    """A tokenizer whose tokens are bytes."""

    vocabulary, end, fingerprint = 257, 256, "letters"

    def encode_arrays(self, texts):
        import numpy as np

        return [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]

    def decode(self, ids):
        return bytes(ids).decode()


def test_a_tokenised_corpus_is_read_back_with_its_tokenizer_only(tmp_path):
    made = Letters()
    for part, texts in (("train", [" ".join(text_of(1, 40)), ITEM]), ("validation", [" ".join(text_of("held", 30))])):
        write_shards(tmp_path / "corpus" / part, made.encode_arrays(texts), made)
    items = {"q": ITEM, "held out": " ".join(text_of("held", 30))}
    found = found_in(tmp_path / "corpus", items, tokenizer=made)
    assert list(found) == ["q"]
    assert found["q"].place.startswith(f"{tmp_path}/corpus/train:document ")
    assert found_in(tmp_path / "corpus", items, find_tokenizer=lambda folder: made) == found
    with pytest.raises(UserError, match="need their tokenizer"):
        found_in(tmp_path / "corpus", items)


def test_the_hash_of_the_text_tells_texts_apart(tmp_path):
    a, b = file(tmp_path / "a.txt", "one text"), file(tmp_path / "b.txt", "another text")
    digests = [look([path], {"t": {"q": ITEM}}).digest for path in (a, b, a)]
    assert digests[0] == digests[2] != digests[1]
