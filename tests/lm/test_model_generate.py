"""A model asks its back end for what is missing, once, as it was asked, and says what is not as asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from ledger_backend import ABLE, Ledger

from tandem.errors import CallFailed, Failure, Unsupported, UserError
from tandem.lm.model import Model
from tandem.store import Store
from tandem.types import LM, Chat, Completion, Message, Sampling, Score, Text, Usage

HI = Text("Hi")
WARM = Sampling(temperature=0.7)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "answers.db") as opened:
        yield opened


def test_a_model_is_an_lm():
    assert isinstance(Model(Ledger()), LM)


def test_a_model_without_a_store_answers_and_forgets():
    model = Model(backend := Ledger())
    first = run(model.generate(HI, WARM, range(2)))
    again = run(model.generate(HI, WARM, range(2)))
    assert [c.text for c in first + again] == ["w1 x0 x0 x0 x0", "w2 x1 x1 x1 x1", "w3 x0 x0 x0 x0", "w4 x1 x1 x1 x1"]
    assert len(backend.calls) == 2


def test_recorded_samples_are_not_asked_again_and_missing_ones_are_asked_in_runs(store):
    model = Model(backend := Ledger(), store=store)
    run(model.generate(HI, WARM, range(2, 4)))
    run(model.generate(HI, WARM, range(6, 7)))
    whole = run(model.generate(HI, WARM, range(9)))
    assert [samples for _, _, samples in backend.calls] == [
        range(2, 4), range(6, 7), range(2), range(4, 6), range(7, 9)
    ]  # fmt: skip
    assert [c.text.split()[1] for c in whole] == [f"x{i}" for i in range(9)]
    assert run(model.generate(HI, WARM, range(8, -1, -1))) == whole[::-1]
    assert model.tally == {"answered": 9, "re-used": 12}


def test_an_index_drawn_before_comes_back_the_same_from_another_process_too(store, tmp_path):
    before = run(Model(Ledger(), store=store).generate(HI, replace(WARM, logprobs=True), range(3)))
    with Store(tmp_path / "answers.db") as reopened:
        model = Model(backend := Ledger(), store=reopened)
        assert run(model.generate(HI, replace(WARM, logprobs=True), range(3))) == before
    assert backend.calls == []


def test_at_temperature_0_one_call_serves_all_samples_and_seeds(store):
    model = Model(backend := Ledger(), store=store)
    answers = run(model.generate(HI, Sampling(seed=1), range(3, 8)))
    assert len(answers) == 5 and len(set(answers)) == 1
    assert run(model.generate(HI, Sampling(seed=2, top_p=0.5), range(1))) == answers[:1]
    assert [samples for _, _, samples in backend.calls] == [range(1)]


def test_a_truncated_answer_is_asked_again_with_more_room_and_a_finished_one_is_not(store):
    model = Model(backend := Ledger(words=5), store=store)
    lengths = [3, 3, 4, 5, 6, 4, 3, 100]
    answers = [run(model.generate(HI, Sampling(max_tokens=n)))[0] for n in lengths]
    assert [len(a.text.split()) for a in answers] == [3, 3, 4, 5, 5, 4, 3, 5]
    assert [s.max_tokens for _, s, _ in backend.calls] == [3, 4, 5]
    assert model.tally["truncated"] == 5


def test_an_answer_without_tokens_is_asked_again_when_log_probabilities_are_wanted(store):
    model = Model(backend := Ledger(), store=store)
    run(model.generate(HI, WARM))
    (with_tokens,) = run(model.generate(HI, replace(WARM, logprobs=True)))
    assert with_tokens.tokens and len(backend.calls) == 2
    run(model.generate(HI, replace(WARM, logprobs=True)))
    assert len(backend.calls) == 2


def test_nothing_is_asked_for_no_samples():
    model = Model(backend := Ledger())
    assert run(model.generate(HI, WARM, range(0))) == ()
    assert backend.calls == []


def test_a_negative_index_is_refused():
    with pytest.raises(UserError, match="begin with 0"):
        run(Model(Ledger()).generate(HI, WARM, range(-1, 2)))


def test_what_a_model_lacks_is_refused_before_anything_is_sent(store):
    model = Model(backend := Ledger(replace(ABLE, temperature=False)), store=store)
    with pytest.raises(Unsupported, match="temperature"):
        run(model.generate(HI, WARM))
    with pytest.raises(Unsupported, match="temperature"):
        model.estimate([(HI, WARM, range(1))])
    assert backend.calls == []


def test_an_applied_policy_stands_in_the_notes_the_tally_and_the_key(store):
    backend = Ledger(replace(ABLE, temperature=False))
    model = Model(backend, store=store, allow=["own-temperature"])
    answers = run(model.generate(HI, WARM, range(2)))
    assert [a.notes for a in answers] == [("own-temperature",)] * 2
    assert model.tally["own-temperature"] == 2
    assert backend.calls[0][1].temperature is None
    (record, _) = store.records()
    assert '"policies":["own-temperature"]' in record.request.body
    backend.abilities = ABLE
    run(Model(backend, store=store, allow=["own-temperature"]).generate(HI, WARM, range(2)))
    assert len(backend.calls) == 2  # answers at a temperature are other answers


def test_calls_for_samples_are_made_at_once_and_what_succeeds_is_kept(store):
    backend = Ledger(replace(ABLE, many=False), delay=0.05)
    backend.fails = lambda prompt, samples: CallFailed("slow", kind="timeout") if 2 in samples else None
    model = Model(backend, store=store, allow=["calls-for-samples"])

    async def timed():
        began = asyncio.get_running_loop().time()
        with pytest.raises(CallFailed, match="slow"):
            await model.generate(HI, WARM, range(6))
        return asyncio.get_running_loop().time() - began

    assert run(timed()) < 0.2
    assert [samples for _, _, samples in backend.calls] == [range(i, i + 1) for i in range(6)]
    assert store.stats()["ledger"]["answers"] == 5
    assert model.tally == {
        "answered": 5, "calls-for-samples": 5, "failed": 1, "failed: timeout": 1
    }  # fmt: skip


def test_a_stop_text_the_model_cannot_stop_at_is_cut_off_here(store):
    model = Model(backend := Ledger(replace(ABLE, stop=False)), store=store, allow=["cut-at-stop"])
    (answer,) = run(model.generate(HI, replace(WARM, stop=(" x0",), logprobs=True)))
    assert answer.text == "w1" and [t.text for t in answer.tokens] == ["w1"]
    assert backend.calls[0][1].stop == ()


def test_samples_that_were_left_out_are_asked_for_once_more(store):
    model = Model(backend := Ledger(), store=store)
    backend.gives = lambda samples: samples[:3]
    answers = run(model.generate(HI, WARM, range(5)))
    assert [a.text.split()[1] for a in answers] == ["x0", "x1", "x2", "x3", "x4"]
    assert [samples for _, _, samples in backend.calls] == [range(5), range(3, 5)]
    assert model.tally["short"] == 1


def test_samples_that_are_left_out_twice_are_a_failure_and_the_others_are_kept(store):
    model = Model(backend := Ledger(), store=store)
    backend.gives = lambda samples: samples[:2]
    with pytest.raises(CallFailed, match="5 samples were asked for and 4 came back") as error:
        run(model.generate(HI, WARM, range(5)))
    assert error.value.kind == "malformed" and error.value.where == "ledger"
    assert store.stats()["ledger"]["answers"] == 4
    assert model.tally["short"] == 2
    backend.gives = lambda samples: samples
    assert len(run(model.generate(HI, WARM, range(4)))) == 4
    assert len(backend.calls) == 2


def test_more_answers_than_were_asked_for_are_counted_and_left_out(store):
    model = Model(backend := Ledger(), store=store)
    backend.gives = lambda samples: range(samples.start, samples.stop + 2)
    assert len(run(model.generate(HI, WARM, range(2)))) == 2
    assert model.tally["surplus"] == 1 and store.stats()["ledger"]["answers"] == 2


def test_log_probabilities_that_do_not_come_are_noted_and_counted(store):
    class Silent(Ledger):
        def _answer(self, sampling, index):
            return super()._answer(replace(sampling, logprobs=False), index)

    model = Model(backend := Silent(), store=store)
    (answer,) = run(model.generate(HI, replace(WARM, logprobs=True)))
    assert answer.notes == ("logprobs-missing",) and model.tally["logprobs-missing"] == 1
    run(model.generate(HI, replace(WARM, logprobs=True)))
    assert len(backend.calls) == 1


def test_notes_of_the_back_end_are_kept_and_counted(store):
    model = Model(backend := Ledger(), store=store)
    backend.notes = ("server-ignored-n",)
    assert run(model.generate(HI, WARM))[0].notes == run(model.generate(HI, WARM))[0].notes == ("server-ignored-n",)
    assert model.tally == {"answered": 1, "re-used": 1, "server-ignored-n": 2}


def test_a_name_that_begins_to_serve_another_model_is_noticed(store):
    backend = Ledger(name="gpt-9@host")
    run(Model(backend, store=store).generate(HI, WARM, range(1)))
    backend.served = "ledger-2"
    model = Model(backend, store=store)
    old, new = run(model.generate(HI, WARM, range(2)))
    assert old.notes == () and old.served_model == "ledger-1"
    assert new.notes == ("served-model-changed: ledger-2, at first ledger-1",)
    assert model.tally["served-model-changed"] == 1
    assert store.served("gpt-9@host") == ("ledger-1", "ledger-2")


@pytest.mark.parametrize("finish", ["refusal", "filter"])
def test_a_recorded_refusal_comes_back_as_what_it_is_until_it_is_asked_again(tmp_path, finish):
    backend = Ledger()
    backend.finish = finish
    with Store(tmp_path / "answers.db") as store:
        model = Model(backend, store=store)
        first = run(model.generate(HI, WARM))
        assert run(model.generate(HI, WARM)) == first and first[0].finish == finish
        assert model.tally[finish] == 2 and len(backend.calls) == 1
    backend.finish = "stop"
    with Store(tmp_path / "answers.db") as store:
        model = Model(backend, store=store, retry_failed=True)
        assert run(model.generate(HI, WARM))[0].finish == "stop"
        assert run(Model(backend, store=store).generate(HI, WARM))[0].finish == "stop"


def test_a_recorded_failure_is_raised_again_without_sending_until_it_is_asked_again(tmp_path):
    backend = Ledger()
    backend.fails = lambda *_: CallFailed("broke", kind="server", where="h", remedy="wait", status=503)
    for _ in range(2):
        with Store(tmp_path / "answers.db") as store, pytest.raises(CallFailed) as error:
            run(Model(backend, store=store).generate(HI, WARM, range(3)))
        told = error.value
        assert (told.problem, told.kind, told.where, told.status) == ("broke", "server", "h", 503)
    assert len(backend.calls) == 1
    assert told.remedy.startswith("wait; recorded earlier") and "--retry-failed" in told.remedy
    with Store(tmp_path / "answers.db", retry_failed=True) as store, pytest.raises(CallFailed):
        run(Model(backend, store=store).generate(HI, WARM, range(3)))
    assert len(backend.calls) == 2
    backend.fails = lambda *_: None
    with Store(tmp_path / "answers.db", retry_failed=True) as store:
        assert len(run(Model(backend, store=store).generate(HI, WARM, range(3)))) == 3


def test_a_recorded_failure_keeps_the_rest_from_being_sent(store):
    model = Model(backend := Ledger(), store=store)
    backend.fails = lambda prompt, samples: CallFailed("broke", kind="server")
    with pytest.raises(CallFailed):
        run(model.generate(HI, WARM, range(1, 2)))
    with pytest.raises(CallFailed):
        run(model.generate(HI, WARM, range(9)))
    assert len(backend.calls) == 1


@pytest.mark.parametrize("kind", ["key", "not-found"])
def test_failures_of_the_set_up_are_not_recorded(store, kind):
    model = Model(backend := Ledger(), store=store)
    backend.fails = lambda *_: CallFailed("wrong", kind=kind)
    for _ in range(2):
        with pytest.raises(CallFailed):
            run(model.generate(HI, WARM))
    assert len(backend.calls) == 2 and list(store.records()) == []


def test_a_sample_that_failed_while_others_came_is_recorded_as_a_failure(store):
    class Lossy(Ledger):
        def _answer(self, sampling, index):
            if index == 1:
                return Completion("", "failed", None, Usage(0, 0), "", ("call-failed-timeout",))
            return super()._answer(sampling, index)

    model = Model(backend := Lossy(), store=store)
    with pytest.raises(CallFailed) as error:
        run(model.generate(HI, WARM, range(3)))
    assert error.value.kind == "timeout" and store.stats()["ledger"]["failed: timeout"] == 1
    assert run(model.generate(HI, WARM, range(2, 3)))[0].text.endswith("x2")
    assert len(backend.calls) == 1


def test_a_store_that_cannot_be_written_is_loud(tmp_path):
    import sqlite3

    with Store(tmp_path / "answers.db", patience=0.1) as store:
        other = sqlite3.connect(tmp_path / "answers.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Failure, match="locked"):
            run(Model(Ledger(), store=store).generate(HI, WARM))
        other.close()


def test_mistakes_of_the_asker_are_raised_and_not_recorded(store):
    model = Model(backend := Ledger(), store=store)
    backend.fails = lambda *_: UserError("the prompt is longer than the context: 12 of 8 tokens")
    with pytest.raises(UserError, match="12 of 8"):
        run(model.generate(HI, WARM))
    assert list(store.records()) == []


def test_scores_are_recorded_and_only_missing_ones_are_asked(store):
    model = Model(backend := Ledger(), store=store)
    assert run(model.score(HI, ["a", "bcd"])) == (Score(-1.0, 1, True), Score(-3.0, 1, False))
    assert run(model.score(HI, ["bcd", "e f", "a", "e f"]))[1] == Score(-3.0, 2, False)
    run(model.score(HI, ["a"], cut_left=True))
    assert [(texts, cut) for _, texts, cut in backend.scored] == [
        (("a", "bcd"), False), (("e f",), False), (("a",), True)
    ]  # fmt: skip
    assert model.tally == {"scores answered": 4, "scores re-used": 2}


def test_scoring_needs_the_ability():
    for abilities, context in [
        (replace(ABLE, scoring=False), HI),
        (replace(ABLE, chat=False), Chat((Message("user", "Hi"),))),
        (replace(ABLE, prefill=False), Chat((Message("user", "Hi"),), "I")),
    ]:
        with pytest.raises(Unsupported, match="to be scored"):
            run(Model(Ledger(abilities)).score(context, ["a"]))


def test_too_few_scores_are_a_failure(store):
    class Short(Ledger):
        async def score(self, context, continuations, *, cut_left=False):
            return (await super().score(context, continuations, cut_left=cut_left))[:1]

    with pytest.raises(CallFailed, match="2 continuations were to be scored and 1 scores came back"):
        run(Model(Short(), store=store).score(HI, ["a", "b"]))


def test_closing_a_model_closes_its_back_end_and_not_the_store(store):
    async def main():
        async with Model(Ledger(), store=store) as model:
            await model.generate(HI, WARM)
        return model

    model = run(main())
    assert model.backend.closed
    assert store.stats()["ledger"]["answers"] == 1
    with pytest.raises(UserError, match="closed"):
        run(model.generate(HI, WARM, range(5)))
