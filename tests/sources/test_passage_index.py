"""Laws of the index: segments are one index, removing undoes adding, other implementations agree."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.sources.passages import About, Document, Index, Origin, Passage, Settings, Splitting, Writer
from tandem.sources.passages.words import words

VOCABULARY = [f"{a}{b}{c}" for a in "bcdfgl" for b in "aeiou" for c in "mnrst"]


def made(seed, n):
    """Documents of one or two passages with words of Zipf frequencies; every seventh repeats another."""
    draws = random.Random(seed)
    weights = [1 / (i + 1) for i in range(len(VOCABULARY))]
    documents = []
    for i in range(n):
        texts = [" ".join(draws.choices(VOCABULARY, weights, k=draws.randint(1, 60))) for _ in range(1 + i % 2)]
        passages = [Passage(text, first=j + 1, last=j + 1) for j, text in enumerate(texts)]
        documents.append(Document(About(f"d{i:04d}"), passages))
    for i in range(6, n, 7):
        documents[i] = Document(documents[i].about, documents[i - 1].passages)
    return documents


def origin(document, content="1"):
    return Origin(document.about.id, content)


def add(folder, documents, content="1", **how):
    with Writer(folder, **how) as writer:
        for document in documents:
            writer.add(origin(document, content), [document])


def queries(seed, n=40):
    draws = random.Random(seed)
    return [" ".join(draws.choices(VOCABULARY, k=draws.randint(1, 12))) for _ in range(n)]


def found(folder, most=7):
    index = Index(folder)
    return [[(hit.about.id, hit.passage.text, hit.score) for hit in index.search(q, most)] for q in queries(1)]


@pytest.fixture
def no_merging(monkeypatch):
    monkeypatch.setattr(Writer, "merge", lambda self, everything=False: None)


def test_any_number_of_segments_gives_the_scores_of_one(tmp_path, no_merging):
    documents = made(3, 200)
    add(tmp_path / "one", documents)
    for begin in range(0, 200, 40):
        add(tmp_path / "five", documents[begin : begin + 40])
    assert len(Index(tmp_path / "five").header.pieces) == 5
    assert found(tmp_path / "five") == found(tmp_path / "one")
    assert Index(tmp_path / "five").identity == Index(tmp_path / "one").identity


def test_merging_changes_no_score(tmp_path):
    documents = made(4, 120)
    for begin in range(0, 120, 10):
        add(tmp_path / "many", documents[begin : begin + 10])
    add(tmp_path / "one", documents)
    assert len(Index(tmp_path / "many").header.pieces) < 4
    with Writer(tmp_path / "many") as writer:
        writer.merge(everything=True)
    assert len(Index(tmp_path / "many").header.pieces) == 1
    assert found(tmp_path / "many") == found(tmp_path / "one")


@pytest.mark.parametrize("merged", [False, True])
def test_adding_and_then_removing_is_as_if_never_added(tmp_path, merged):
    documents = made(5, 90)
    add(tmp_path / "all", documents)
    kept = [d for i, d in enumerate(documents) if i % 3]
    with Writer(tmp_path / "all") as writer:
        assert all(writer.remove(d.about.id) for i, d in enumerate(documents) if not i % 3)
    if merged:
        with Writer(tmp_path / "all") as writer:
            writer.merge(everything=True)
    add(tmp_path / "never", kept)
    assert found(tmp_path / "all") == found(tmp_path / "never")
    assert Index(tmp_path / "all").identity == Index(tmp_path / "never").identity
    assert len(Index(tmp_path / "all")) == sum(len(d.passages) for d in kept)


def test_a_document_that_is_added_again_is_replaced(tmp_path):
    documents = made(6, 30)
    add(tmp_path / "index", documents)
    new = Document(About("d0003"), [Passage("quite another text")])
    add(tmp_path / "index", [new], content="2")
    index = Index(tmp_path / "index")
    assert [hit.about.id for hit in index.search("another text", 5)] == ["d0003"]
    old = documents[3].passages[0].text
    assert "d0003" not in [hit.about.id for hit in index.search(old, 50)]
    with Writer(tmp_path / "index") as writer:
        assert writer.content("d0003") == "2"
        assert writer.content("d0004") == "1"
        assert writer.content("nothing") is None
        assert len(list(writer.origins())) == 30


def test_all_removed_is_an_index_of_nothing_that_can_be_searched_and_grown(tmp_path):
    documents = made(7, 5)
    add(tmp_path / "index", documents)
    with Writer(tmp_path / "index") as writer:
        for document in documents:
            writer.remove(document.about.id)
    assert Index(tmp_path / "index").search(VOCABULARY[0], 3) == []
    add(tmp_path / "index", documents)
    add(tmp_path / "one", documents)
    assert found(tmp_path / "index") == found(tmp_path / "one")


def test_an_origin_of_many_segments_is_removed_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("tandem.sources.passages.segment.FULL", 500)
    monkeypatch.setattr("tandem.sources.passages.segment.BATCH", 8)
    documents = made(8, 100)
    with Writer(tmp_path / "index") as writer:
        writer.add(Origin("lines", "1"), documents)
    add(tmp_path / "one", documents)
    assert found(tmp_path / "index") == found(tmp_path / "one")
    with Writer(tmp_path / "index") as writer:
        assert writer.remove("lines")
    assert len(Index(tmp_path / "index")) == 0


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_history_of_changes_is_the_index_of_what_is_left(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("history")
    texts = st.text("abc éß水木 .", max_size=12)
    held = {}
    for _ in range(data.draw(st.integers(1, 6))):
        with Writer(folder / "index") as writer:
            for key in data.draw(st.lists(st.sampled_from("pqrstu"), unique=True, max_size=4)):
                held.pop(key, None)
                if data.draw(st.booleans()):
                    held[key] = Document(About(key), [Passage(t) for t in data.draw(st.lists(texts, max_size=3))])
                    writer.add(Origin(key, "x"), [held[key]])
                else:
                    writer.remove(key)
    with Writer(folder / "fresh") as writer:
        for key, document in held.items():
            writer.add(Origin(key, "x"), [document])
    some = ["a", "b c", "abc ß", "水", "水木 é", "aa bb cc"]
    told = [[[(h.about.id, h.passage.text, h.score) for h in Index(folder / name).search(q, 4)] for q in some]
            for name in ("index", "fresh")]  # fmt: skip
    assert told[0] == told[1]


def test_scores_and_order_are_those_of_another_implementation(tmp_path):
    documents = made(9, 300)
    add(tmp_path / "index", documents)
    passages = [p.text for d in documents for p in d.passages]
    tokens = [text.split() for text in passages]
    theirs = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    theirs.index(tokens, show_progress=False)
    index = Index(tmp_path / "index")
    for query in queries(2, 60):
        different = list(dict.fromkeys(query.split()))
        scores = np.sort(theirs.get_scores(different))[::-1][:10] * 2.2
        ours = [hit.score for hit in index.search(query, 10)]
        assert ours == pytest.approx(scores[scores > 0], rel=1e-4)


def test_long_lists_that_are_skipped_change_nothing(tmp_path):
    documents = made(10, 900)
    add(tmp_path / "index", documents)
    ranking = Index(tmp_path / "index")._ranking
    for query in queries(3, 100):
        few, all_of_them = ranking.best(words(query), 3), ranking.best(words(query), 5000)
        assert few == all_of_them[:3]


def test_words_in_the_title_and_headings_find_a_passage(tmp_path):
    document = Document(About("f", title="France"), [Passage("It lies on the Seine.", heading="Cities › Capital")])
    add(tmp_path / "index", [document])
    assert Index(tmp_path / "index").search("capital of france", 3)[0].passage == document.passages[0]


@pytest.mark.parametrize(
    ("settings_now", "named"),
    [(Settings(k1=2.0), "k1"), (Settings(Splitting(stem="english")), "stem"), (Settings(b=0.1), "b is 0.75")],
)
def test_an_index_of_other_settings_is_refused_and_the_difference_named(tmp_path, settings_now, named):
    add(tmp_path / "index", made(0, 3))
    with pytest.raises(UserError, match=named):
        Writer(tmp_path / "index", settings_now)


def test_another_version_a_damaged_header_and_no_index_are_told_apart(tmp_path):
    add(tmp_path / "index", made(0, 3))
    header = tmp_path / "index" / "index.json"
    told = json.loads(header.read_text())
    header.write_text(json.dumps(told | {"version": 99}))
    with pytest.raises(UserError, match="version 99"):
        Index(tmp_path / "index")
    header.write_text("{")
    with pytest.raises(UserError, match="not the header"):
        Index(tmp_path / "index")
    with pytest.raises(UserError, match="no index"):
        Index(tmp_path / "nowhere")
    header.write_text(json.dumps(told))
    (tmp_path / "index" / told["pieces"][0]["name"] / "starts.npy").unlink()
    with pytest.raises(UserError, match="damaged"):
        Index(tmp_path / "index")


def test_a_folder_of_other_things_is_not_written_into(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds no index"):
        Writer(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_there_is_one_writer_and_readers_keep_what_they_opened(tmp_path):
    documents = made(11, 40)
    add(tmp_path / "index", documents[:20])
    before, old = found(tmp_path / "index"), Index(tmp_path / "index")
    with Writer(tmp_path / "index") as writer:
        with pytest.raises(UserError, match="another process"):
            Writer(tmp_path / "index")
        for document in documents:
            writer.add(origin(document, "2"), [document])
        assert found(tmp_path / "index") == before
    assert [[(h.about.id, h.passage.text, h.score) for h in old.search(q, 7)] for q in queries(1)] == before
    assert len(Index(tmp_path / "index")) == sum(len(d.passages) for d in documents)


def test_an_exception_while_adding_leaves_the_old_index(tmp_path):
    documents = made(12, 10)
    add(tmp_path / "index", documents[:5])
    before = found(tmp_path / "index")
    with pytest.raises(ZeroDivisionError), Writer(tmp_path / "index") as writer:
        writer.add(origin(documents[7]), [documents[7]])
        writer.remove("d0001")
        raise ZeroDivisionError
    assert found(tmp_path / "index") == before
    add(tmp_path / "index", documents[5:])
    assert sorted(p.name for p in (tmp_path / "index").glob("*.tmp")) == []


def test_killed_while_adding_the_old_index_stands_and_the_next_writer_goes_on(tmp_path):
    documents = made(13, 20)
    add(tmp_path / "index", documents)
    before = found(tmp_path / "index")
    script = textwrap.dedent(f"""
        import itertools, pathlib
        from tandem.sources.passages import *
        with Writer(pathlib.Path({str(tmp_path / "index")!r})) as writer:
            for i in itertools.count():
                writer.add(Origin(f"k{{i}}", "1"), [Document(About(f"k{{i}}"), [Passage("bam cam " * 50)] * 50)])
                if i == 20:
                    print("writing", flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    child.stdout.readline()
    time.sleep(0.2)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert list((tmp_path / "index").glob("segment-*.tmp"))
    assert found(tmp_path / "index") == before
    add(tmp_path / "index", made(13, 21)[20:])
    assert not list((tmp_path / "index").glob("segment-*.tmp"))
    add(tmp_path / "one", documents)
    add(tmp_path / "one", made(13, 21)[20:])
    assert found(tmp_path / "index") == found(tmp_path / "one")
