"""A model asked in rounds: everybody has asked before anything is computed, and chunks are committed whole."""

import asyncio

import pytest

from tandem import decoder
from tandem import tokenizer as tokenizers
from tandem.decoder import Shape
from tandem.errors import CallFailed, Unsupported, UserError
from tandem.lm.local import Local
from tandem.lm.rounds import Rounds
from tandem.lm.scripted import Rule, Scripted
from tandem.sources.blocking import described
from tandem.store import Store
from tandem.types import Finding, Result, Sampling, Schema, Text

WORDS = "Karo lies in Lusta, a country of rivers. Miro lies in Tama, and the road goes on to Orn."
PROMPTS = [f"{WORDS[: 20 + 3 * n]}" for n in range(9)]
DRAWN = Sampling(temperature=0.9, max_tokens=12, logprobs=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("rounds") / "model"
    made = tokenizers.train([WORDS] * 20, 320)
    shape = Shape(
        vocabulary=made.vocabulary, layers=2, width=32, heads=4, kv_heads=2, head_width=8, mlp_width=64, context=160,
        init_std=0.4, eos=made.end,
    )  # fmt: skip
    decoder.save(decoder.Decoder(shape, seed=3), place)
    made.save(place)
    return place


class Shelf:
    """A source that takes its time, in a thread as an index does."""

    name, language = "shelf", "text"

    def describe(self):
        return Schema("a shelf")

    def about(self, question):
        return self

    async def look_up(self, query, limit):
        await asyncio.to_thread(pow, 3, 40_000, 10**9)
        return Result((Finding(f"{query} it says.", "", 1.0, "shelf", "", query),), True)


async def conversation(rounds, shelf, number, text):
    """Two requests, the second of which hangs on the first one's answer and on something looked up."""
    first = await rounds.generate(Text(text), DRAWN, range(3))
    result = await shelf.look_up(first[0].text[:8], 1)
    second = await rounds.generate(Text(text + result.findings[0].text), Sampling(max_tokens=8))
    return [*first, *second]


def whole(folder, store, *, order=1, chunk=4, stop_after=None):
    """All conversations; (what was written, chunks that were told of). `stop_after` chunks the run is cut off."""

    async def run():
        told = []

        def tell(*chunk):
            told.append(chunk)
            if len(told) == stop_after:
                raise KeyboardInterrupt

        with Store(store) as opened:
            rounds = Rounds(Local.load(folder, precision="fp32", device="cpu"), opened, chunk=chunk, told=tell)
            shelf = rounds.beside(Shelf())
            pairs = list(enumerate(PROMPTS))[::order]
            try:
                came = await asyncio.gather(*(conversation(rounds, shelf, n, text) for n, text in pairs))
            finally:
                await rounds.close()
        return dict(zip((n for n, _ in pairs), came)), told

    return asyncio.run(run())


class Slow(Shelf):
    """A source whose description comes after a while."""

    def __init__(self, seconds):
        self.seconds = seconds

    async def schema(self):
        await asyncio.sleep(self.seconds)
        return self.describe()


def test_who_waits_for_a_description_is_waited_for(folder, tmp_path):
    told = []

    async def conversation(rounds, n):
        schema = await described(rounds.beside(Slow(n / 20)))
        await rounds.generate(Text(f"{schema.summary} {n}"), Sampling(max_tokens=4))

    async def run():
        with Store(tmp_path / "a.db") as store:
            local = Local.load(folder, precision="fp32", device="cpu")
            rounds = Rounds(local, store, told=lambda *chunk: told.append(chunk))
            await asyncio.gather(*(conversation(rounds, n) for n in range(3)))
            await rounds.close()

    asyncio.run(run())
    assert told == [(1, 3, 3)]


def test_what_is_written_does_not_depend_on_who_asked_first(folder, tmp_path):
    forwards, told = whole(folder, tmp_path / "a.db")
    backwards, _ = whole(folder, tmp_path / "b.db", order=-1)
    assert forwards == backwards
    assert told == [(1, 4, 9), (1, 8, 9), (1, 9, 9), (2, 4, 9), (2, 8, 9), (2, 9, 9)]


@pytest.mark.parametrize("chunks", [1, 2, 4, 5])
def test_an_interrupted_run_ends_with_the_same_bytes_and_computes_no_chunk_again(folder, tmp_path, monkeypatch, chunks):
    straight, _ = whole(folder, tmp_path / "a.db")
    with pytest.raises(KeyboardInterrupt):
        whole(folder, tmp_path / "b.db", stop_after=chunks)
    computed = []
    compute = Rounds._compute
    monkeypatch.setattr(Rounds, "_compute", lambda self, chunk: computed.append(len(chunk)) or compute(self, chunk))
    again, _ = whole(folder, tmp_path / "b.db")
    assert again == straight
    assert computed == [4, 4, 1, 4, 4, 1][chunks:]


def test_a_round_waits_for_look_ups_that_are_under_way(folder, tmp_path):
    _, told = whole(folder, tmp_path / "a.db", chunk=100)
    assert told == [(1, 9, 9), (2, 9, 9)]


def scripted(tmp_path, work, *rules):
    async def run():
        model = Scripted(rules)
        with Store(tmp_path / "s.db") as store:
            rounds = Rounds(model, store)
            try:
                return await work(rounds), model
            finally:
                await rounds.close()

    return asyncio.run(run())


def test_the_same_request_of_several_callers_is_asked_once(tmp_path):
    def asked(rounds):
        return asyncio.gather(*(rounds.generate(Text("Where?"), Sampling(), range(2)) for _ in range(5)))

    came, model = scripted(tmp_path, asked, Rule(("here",)))
    assert {one.text for each in came for one in each} == {"here"} and all(len(each) == 2 for each in came)
    assert len(model.calls) == 1


def test_what_is_asked_after_a_round_begins_another(tmp_path):
    async def twice(rounds):
        first = await rounds.generate(Text("One?"), Sampling())
        await asyncio.sleep(0.01)  # the first round's task has ended
        return first, await rounds.generate(Text("Two?"), Sampling()), rounds.round

    (first, second, count), _ = scripted(tmp_path, twice, Rule(("here",)))
    assert first[0].text == second[0].text == "here" and count == 2


def test_a_failure_reaches_those_who_asked_and_the_next_round_goes_on(tmp_path):
    async def work(rounds):
        failed = await asyncio.gather(
            *(rounds.generate(Text("broken"), Sampling()) for _ in range(2)), return_exceptions=True
        )
        return failed, await rounds.generate(Text("fine"), Sampling())

    (failed, fine), _ = scripted(
        tmp_path, work, Rule(contains=("broken",), fails="timeout"), Rule(("yes",), contains=("fine",))
    )
    assert all(isinstance(e, CallFailed) for e in failed) and fine[0].text == "yes"


def test_a_prompt_without_room_is_refused_before_a_round_begins(folder, tmp_path):
    async def work():
        with Store(tmp_path / "a.db") as store:
            rounds = Rounds(Local.load(folder, precision="fp32", device="cpu"), store)
            try:
                await rounds.generate(Text(WORDS * 20), Sampling())
            finally:
                await rounds.close()

    with pytest.raises(UserError, match="tokens"):
        asyncio.run(work())


def test_scoring_is_refused_and_not_among_the_abilities(tmp_path):
    async def work(rounds):
        assert not rounds.abilities.scoring
        with pytest.raises(Unsupported):
            await rounds.score(Text("a"), ["b"])

    scripted(tmp_path, work, Rule(("x",)))
