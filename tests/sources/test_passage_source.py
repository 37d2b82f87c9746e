"""The index as a source: concurrent look-ups, vectors, and rankings joined."""

import asyncio
import threading
import time

import numpy as np
import pytest

from tandem.errors import UserError
from tandem.sources.passages import About, Document, Index, Origin, Passage, Passages, Writer
from tandem.sources.passages.dense import fused
from tandem.types import Question, Source


class Scripted:
    """An encoder of the letters in a text."""

    name, width = "letters", 26

    def __init__(self, seconds=0.0):
        self.batches, self.seconds = [], seconds

    def encode(self, texts, *, query):
        self.batches.append(len(texts))
        time.sleep(self.seconds)
        letters = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        return np.array(letters, np.float32).reshape(len(texts), 26)


def write(folder, texts, embedder=None):
    with Writer(folder, embedder=embedder) as writer:
        for name, text in texts.items():
            about = About(name, f"Title {name}", f"{name}.txt", date="2024-05-01")
            writer.add(Origin(name, "1"), [Document(about, [Passage(text, 3, 4, "Head")])])


TEXTS = {"a": "the red bridge", "b": "a blue boat on the sea", "c": "cccc dddd"}


def test_findings_say_where_when_and_for_which_query(tmp_path):
    write(tmp_path / "index", TEXTS)
    source = Passages(tmp_path / "index", name="notes")
    assert isinstance(source, Source) and source.about(Question("q", "?")) is source
    result = asyncio.run(source.look_up("Red bridge?", 2))
    [finding] = result.findings
    assert (finding.text, finding.place, finding.source) == ("the red bridge", "a.txt:3", "notes")
    assert (finding.title, finding.query, finding.as_of) == ("Title a › Head", "Red bridge?", "2024-05-01")
    assert "3 passages of 3 documents" in source.describe().summary
    source.close()


def test_nothing_found_is_a_result_and_a_limit_below_one_is_not(tmp_path):
    write(tmp_path / "index", TEXTS)
    source = Passages(tmp_path / "index")
    assert asyncio.run(source.look_up("zebra", 3)).findings == ()
    with pytest.raises(UserError, match="none"):
        asyncio.run(source.look_up("red", 0))
    source.close()


def test_many_look_ups_do_not_hold_up_the_loop_and_are_encoded_together(tmp_path):
    write(tmp_path / "index", TEXTS, Scripted())
    embedder = Scripted(seconds=0.05)
    source = Passages(tmp_path / "index", embedder=embedder)

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        results = await asyncio.gather(*(source.look_up("red bridge", 1 + i % 3) for i in range(100)))
        ticking.cancel()
        return results, ticks

    results, ticks = asyncio.run(main())
    assert [len(r.findings) for r in results] == [1 + i % 3 for i in range(100)]
    assert all(r.findings[0].text == "the red bridge" for r in results)
    assert ticks >= 3
    assert sum(embedder.batches) == 100 and len(embedder.batches) <= 6
    source.close()


def test_a_look_up_that_is_given_up_harms_no_other(tmp_path):
    write(tmp_path / "index", TEXTS, Scripted())
    source = Passages(tmp_path / "index", embedder=Scripted(seconds=0.05))

    async def main():
        tasks = [asyncio.create_task(source.look_up("sea boat", 1)) for _ in range(8)]
        await asyncio.sleep(0.01)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    told = asyncio.run(main())
    assert [isinstance(r, asyncio.CancelledError) for r in told] == [True, False] * 4
    assert all(r.findings[0].place == "b.txt:3" for r in told[1::2])
    source.close()


def test_threads_searching_at_once_find_what_one_finds(tmp_path):
    draws = np.random.default_rng(0)
    texts = {str(i): " ".join(f"w{n}" for n in draws.zipf(1.3, 40) % 500) for i in range(400)}
    write(tmp_path / "index", texts)
    index = Index(tmp_path / "index")
    asked = [" ".join(f"w{n}" for n in draws.integers(0, 60, 6)) for _ in range(50)]
    alone = [index.search(q, 5) for q in asked]
    together = [None] * 4

    def work(number):
        together[number] = [index.search(q, 5) for q in asked]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone] * 4


def test_by_meaning_the_nearest_vector_comes_first_and_what_is_gone_never(tmp_path):
    write(tmp_path / "index", TEXTS, Scripted())
    write(tmp_path / "index", {"d": "ccc ddd"}, Scripted())
    index = Index(tmp_path / "index", Scripted())
    assert [hit.about.id for hit in index.search("dcdc", 2, by="meaning")] == ["c", "d"]
    with Writer(tmp_path / "index", embedder=Scripted()) as writer:
        writer.remove("c")
    for merged in (False, True):
        if merged:
            with Writer(tmp_path / "index", embedder=Scripted()) as writer:
                writer.merge(everything=True)
        hits = Index(tmp_path / "index", Scripted()).search("dcdc", 9, by="meaning")
        assert hits[0].about.id == "d" and len(hits) == 3


def test_an_index_is_opened_with_its_own_encoder_only(tmp_path):
    write(tmp_path / "index", TEXTS, Scripted())
    write(tmp_path / "words", TEXTS)
    other = Scripted()
    other.name = "others"
    for folder, embedder in ((tmp_path / "index", other), (tmp_path / "words", Scripted())):
        with pytest.raises(UserError, match="encoder"):
            Index(folder, embedder)
    with pytest.raises(UserError, match="encoder"):
        Writer(tmp_path / "index")
    with pytest.raises(UserError, match="no encoder"):
        Index(tmp_path / "index").search("red", 1, by="both")


def test_reciprocal_rank_fusion_gives_the_sums_worked_by_hand():
    words = [(9.0, 0, 1), (8.0, 0, 2), (7.0, 0, 3)]
    meaning = [(0.9, 0, 3), (0.8, 0, 4), (0.7, 0, 1)]
    joined = fused(words, meaning)
    assert [passage for _, _, passage in joined] == [1, 3, 2, 4]
    assert [score for score, _, _ in joined] == pytest.approx([1 / 61 + 1 / 63, 1 / 63 + 1 / 61, 1 / 62, 1 / 62])


def test_both_rankings_are_joined_by_their_ranks(tmp_path):
    write(tmp_path / "index", TEXTS, Scripted())
    index = Index(tmp_path / "index", Scripted())
    best = index.search("red bridge", 3)
    assert best[0].about.id == "a"
    assert best[0].score == pytest.approx(2 / 61)
    assert len(best) == 3
