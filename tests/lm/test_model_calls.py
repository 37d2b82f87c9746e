"""Calls under way: joined, cancelled only by everybody, paid within the budget; from several loops and threads."""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_backend import ABLE, Ledger

from tandem.errors import BudgetSpent, CallFailed, UserError
from tandem.lm.budget import Budget, Cost, Prices
from tandem.lm.estimate import Estimate
from tandem.lm.model import Model
from tandem.store import Store
from tandem.types import Count, Sampling, Score, Text, Usage

HI = Text("Hi")
WARM = Sampling(temperature=0.7, max_tokens=20)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "answers.db") as opened:
        yield opened


# ── Joining and cancelling ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("recorded", [True, False], ids=["store", "no store"])
def test_identical_requests_under_way_are_one_call(store, recorded):
    async def main():
        model = Model(backend := Ledger(delay=0.02), store=store if recorded else None)
        answers = await asyncio.gather(*(model.generate(HI, WARM, range(3)) for _ in range(50)))
        assert len(backend.calls) == 1 and len(set(answers)) == 1
        assert model.tally == {"answered": 3, "joined": 147}

    run(main())


def test_requests_that_overlap_share_what_they_have_in_common(store):
    async def main():
        model = Model(backend := Ledger(delay=0.02), store=store)
        left, right = await asyncio.gather(model.generate(HI, WARM, range(5)), model.generate(HI, WARM, range(3, 8)))
        assert [samples for _, _, samples in backend.calls] == [range(5), range(5, 8)]
        assert left[3:] == right[:2]

    run(main())


def test_other_limits_and_log_probabilities_are_not_joined(store):
    async def main():
        model = Model(backend := Ledger(delay=0.02), store=store)
        await asyncio.gather(
            model.generate(HI, WARM),
            model.generate(HI, replace(WARM, max_tokens=3)),
            model.generate(HI, replace(WARM, logprobs=True)),
        )
        assert len(backend.calls) == 3

    run(main())


def test_one_who_is_cancelled_leaves_the_others_their_answer(store):
    async def main():
        model = Model(backend := Ledger(delay=0.05), store=store)
        callers = [asyncio.create_task(model.generate(HI, WARM)) for _ in range(3)]
        await asyncio.sleep(0.01)
        callers[0].cancel()  # the one whose call it is
        callers[2].cancel()
        assert (await callers[1])[0].text.startswith("w1")
        assert backend.cancelled == 0 and len(backend.calls) == 1

    run(main())


def test_a_call_nobody_waits_for_is_cancelled_and_its_budget_charged(store):
    async def main():
        budget = Budget(tokens=1000)
        model = Model(backend := Ledger(delay=5), store=store, budget=budget)
        callers = [asyncio.create_task(model.generate(HI, WARM)) for _ in range(3)]
        await asyncio.sleep(0.01)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await asyncio.sleep(0.01)
        assert backend.cancelled == 1
        assert (budget.spent, budget.reserved) == (Cost(0.0, 27, 1), Cost())
        assert list(store.records()) == []
        backend.delay = 0
        assert await model.generate(HI, WARM)

    run(main())


def test_a_call_cancelled_before_it_began_leaves_nothing_behind(store):
    async def main():
        model = Model(Ledger(), store=store, budget=(budget := Budget(tokens=1000)))
        caller = asyncio.create_task(model.generate(HI, WARM))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert (await model.generate(HI, WARM))[0].text
        assert budget.reserved == Cost()

    run(main())


def test_one_who_joins_a_call_that_is_being_given_up_gets_an_answer(store):
    class Slow(Ledger):
        """Takes a while to stop."""

        async def generate(self, prompt, sampling, samples=range(1)):
            try:
                return await super().generate(prompt, sampling, samples)
            except asyncio.CancelledError:
                await asyncio.sleep(0.03)
                raise

    async def main():
        model = Model(backend := Slow(delay=0.1), store=store)
        first = asyncio.create_task(model.generate(HI, WARM))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        assert await model.generate(HI, WARM)
        assert len(backend.calls) == 2

    run(main())


def test_an_answer_that_came_is_committed_even_if_nobody_waits_any_more(tmp_path):
    async def main(store):
        model = Model(backend := Ledger(), store=store)
        held = store._writer.submit(lambda _: threading.Event().wait(0.1))  # keeps the commit waiting
        caller = asyncio.create_task(model.generate(HI, WARM))
        await asyncio.sleep(0.02)
        assert backend.draws == 1 and not held.done()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert (await model.generate(HI, WARM))[0].text.startswith("w1")
        assert len(backend.calls) == 1

    with Store(tmp_path / "answers.db") as store:
        run(main(store))


def test_a_failure_reaches_everybody_who_joined(store):
    async def main():
        model = Model(backend := Ledger(delay=0.02), store=store)
        backend.fails = lambda *_: CallFailed("slow", kind="timeout")
        ended = await asyncio.gather(*(model.generate(HI, WARM) for _ in range(4)), return_exceptions=True)
        assert [e.kind for e in ended] == ["timeout"] * 4 and len(backend.calls) == 1

    run(main())


def test_a_back_end_that_cancels_of_its_own_accord_is_a_failure_and_no_endless_loop(store):
    class Quits(Ledger):
        async def generate(self, prompt, sampling, samples=range(1)):
            raise asyncio.CancelledError

    async def main():
        with pytest.raises(CallFailed, match="gave the call up"):
            await Model(Quits(), store=store).generate(HI, WARM)

    run(main())


def test_closing_ends_what_is_under_way(store):
    async def main():
        model = Model(backend := Ledger(delay=5), store=store)
        caller = asyncio.create_task(model.generate(HI, WARM))
        await asyncio.sleep(0.01)
        await model.close()
        assert backend.cancelled == 1 and backend.closed
        with pytest.raises(UserError, match="closed"):
            await caller

    run(main())


def test_scores_under_way_are_joined_one_by_one(store):
    async def main():
        model = Model(backend := Ledger(delay=0.02), store=store)
        left, right = await asyncio.gather(model.score(HI, ["a", "bc"]), model.score(HI, ["bc", "def"]))
        assert (left, right) == (
            (Score(-1.0, 1, True), Score(-2.0, 1, True)),
            (Score(-2.0, 1, True), Score(-3.0, 1, False)),
        )
        assert [texts for _, texts, _ in backend.scored] == [("a", "bc"), ("def",)]

    run(main())


# ── Several event loops and threads ─────────────────────────────────────────────────────────────────────────────────


def test_threads_with_event_loops_of_their_own_join_each_others_calls(store):
    model = Model(backend := Ledger(delay=0.01), store=store)
    texts: list[list[str]] = [[] for _ in range(6)]

    async def some(own):
        for number in range(20):
            answers = await asyncio.gather(*(model.generate(Text(f"{number}"), WARM, range(3)) for _ in range(3)))
            own += [a.text for answer in answers for a in answer]

    threads = [threading.Thread(target=lambda own=own: asyncio.run(some(own))) for own in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert all(own == texts[0] for own in texts) and len(texts[0]) == 180
    assert len(backend.calls) == 20
    assert sum(model.tally.values()) == 6 * 180 and model.tally["answered"] == 60


def test_when_the_loop_that_carries_a_call_ends_those_who_wait_elsewhere_ask_again(store):
    model = Model(backend := Ledger(delay=0.3), store=store)
    answers = []

    async def impatient():
        task = asyncio.create_task(model.generate(HI, WARM))
        await asyncio.sleep(0.1)
        assert not task.done()  # the loop ends with the call under way

    def patient():
        answers.extend(asyncio.run(model.generate(HI, WARM)))

    first = threading.Thread(target=lambda: asyncio.run(impatient()))
    first.start()
    while not backend.calls:
        pass
    second = threading.Thread(target=patient)
    second.start()
    first.join(10)
    second.join(10)
    assert len(answers) == 1 and len(backend.calls) == 2 and backend.cancelled == 1


def test_a_call_left_behind_by_a_loop_that_was_just_closed_holds_nobody_up(store):
    model = Model(Ledger(delay=5), store=store)
    loop = asyncio.new_event_loop()
    task = loop.create_task(model.generate(HI, WARM))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    model.backend.delay = 0
    assert run(model.generate(HI, WARM))
    task._log_destroy_pending = False


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9))
def test_whatever_is_asked_cancelled_and_refused_every_sample_is_paid_once_and_stays_the_same(tmp_path_factory, seed):
    """Random callers over few prompts; every answer given out is compared with what the store holds in the end."""
    draw = random.Random(seed)

    async def caller(model, given):
        prompt, start = Text(f"question {draw.randrange(4)}"), draw.randrange(4)
        samples = range(start, start + draw.randrange(1, 5))
        task = asyncio.create_task(model.generate(prompt, WARM, samples))
        if draw.random() < 0.3:
            await asyncio.sleep(draw.random() * 0.004)
            task.cancel()
        ended = (await asyncio.gather(task, return_exceptions=True))[0]
        if isinstance(ended, tuple):
            given += [(prompt, i, answer) for i, answer in zip(samples, ended, strict=True)]

    async def main(store):
        backend = Ledger(replace(ABLE, many=draw.random() < 0.5), delay=0.001)
        budget = Budget(tokens=100_000)
        model = Model(backend, store=store, budget=budget, allow=["calls-for-samples"])
        given = []
        for _ in range(3):
            await asyncio.gather(*(caller(model, given) for _ in range(12)))
        await model.close()
        assert budget.reserved == Cost()
        assert store.stats().get("ledger", {}).get("answers", 0) == backend.draws
        again = Model(idle := Ledger(backend.abilities), store=store, allow=["calls-for-samples"])
        for prompt, i, answer in given:
            assert await again.generate(prompt, WARM, range(i, i + 1)) == (answer,)
        assert idle.calls == []

    with Store(tmp_path_factory.mktemp("store") / "answers.db") as store:
        run(main(store))


# ── Budgets ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_spent_budget_stops_before_sending_and_keeps_what_is_done(store):
    async def main():
        model = Model(backend := Ledger(), store=store, budget=Budget(calls=3))
        for number in range(3):
            await model.generate(Text(f"{number}"), WARM)
        with pytest.raises(BudgetSpent, match="3 of 3 are gone"):
            await model.generate(Text("3"), WARM)
        assert len(backend.calls) == 3
        await model.generate(Text("0"), WARM)  # recorded answers cost nothing
        assert model.tally == {"answered": 3, "re-used": 1, "budget-spent": 1}
        assert list(store.stats()["ledger"]) and store.stats()["ledger"]["answers"] == 3

    run(main())


def test_many_calls_at_once_spend_nearly_all_of_a_budget_and_never_more(store):
    async def main():
        budget = Budget(money=1.0)
        model = Model(Ledger(delay=0.001), store=store, budget=budget, prices=Prices(input=1000, output=1000))
        ended = await asyncio.gather(
            *(model.generate(Text(f"{number}"), WARM) for number in range(200)), return_exceptions=True
        )
        done = sum(isinstance(e, tuple) for e in ended)
        assert all(isinstance(e, tuple | BudgetSpent) for e in ended)
        # a call costs 0.012 and at worst 0.027
        assert done == 82 and budget.spent.money == pytest.approx(82 * 0.012)

    run(main())


def test_usage_and_money_are_counted_without_a_budget_too(store):
    async def main():
        model = Model(Ledger(), store=store, prices=Prices(input=1, output=10))
        await model.generate(HI, WARM, range(2))
        assert model.usage == Usage(14, 10)
        assert model.spent == Cost(pytest.approx((14 + 100) / 1e6), 24, 1)

    run(main())


def test_a_prompt_whose_state_is_re_used_for_further_samples_is_charged_once(store):
    class Sharing(Ledger):
        def _answer(self, sampling, index):
            answer = super()._answer(sampling, index)
            return replace(answer, usage=Usage(7, 5, cached_tokens=7 if index else 0))

    async def main():
        model = Model(Sharing(), store=store)
        await model.generate(HI, WARM, range(4))
        assert model.spent.tokens == 7 + 4 * 5 and model.usage == Usage(28, 20, 21)

    run(main())


@pytest.mark.parametrize(
    ("problem", "tokens", "calls"),
    [
        (CallFailed("x", kind="rate-limit"), 0, 1),
        (CallFailed("x", kind="server"), 0, 1),
        (CallFailed("x", kind="timeout"), 27, 1),
        (CallFailed("x", kind="malformed"), 27, 1),
        (UserError("too long"), 0, 0),
        (RuntimeError("a mistake in the code"), 27, 1),
    ],
)
def test_what_a_failure_is_charged_depends_on_whether_an_answer_may_have_been_begun(store, problem, tokens, calls):
    async def main():
        budget = Budget(tokens=1000)
        model = Model(backend := Ledger(), store=store, budget=budget)
        backend.fails = lambda *_: problem
        with pytest.raises(type(problem)):
            await model.generate(HI, WARM)
        assert budget.spent == model.spent == Cost(0.0, tokens, calls) and budget.reserved == Cost()

    run(main())


def test_models_of_a_run_share_one_budget(store):
    async def main():
        budget = Budget(calls=3)
        one, other = (Model(Ledger(name=name), store=store, budget=budget) for name in "ab")
        await asyncio.gather(one.generate(HI, WARM), other.generate(HI, WARM), other.generate(Text("x"), WARM))
        with pytest.raises(BudgetSpent):
            await one.generate(Text("x"), WARM)

    run(main())


@pytest.mark.parametrize("budget", [None, Budget(calls=9), Budget(tokens=100)], ids=["none", "calls", "tokens"])
@pytest.mark.parametrize(("exact", "tokens"), [(True, 7 + 2), (False, 7 * 2 + 2)], ids=["own tokenizer", "server"])
def test_scoring_costs_the_same_under_any_budget(store, budget, exact, tokens):
    class Counting(Ledger):
        def count(self, prompt):
            return replace(super().count(prompt), exact=exact)

    async def main():
        model = Model(Counting(), store=store, budget=budget and Budget(calls=budget.calls, tokens=budget.tokens))
        await model.score(HI, ["a", "b"])
        assert model.spent == Cost(0.0, tokens, 1) and model.usage == Usage(tokens, 0)
        if budget:
            assert model._meter.budget.spent == model.spent

    run(main())


def test_a_context_that_is_cut_is_charged_as_far_as_it_is_read(store):
    async def main():
        model = Model(Ledger(replace(ABLE, context=10)), store=store)
        await model.score(Text("w " * 50), ["a"], cut_left=True)
        assert model.usage == Usage(10 + 1, 0)

    run(main())


def test_scores_that_may_not_fit_into_the_budget_are_not_asked_for(store):
    async def main():
        model = Model(backend := Ledger(), store=store, budget=Budget(tokens=100))
        with pytest.raises(BudgetSpent):
            await model.score(HI, [f"c{n}" for n in range(10)])
        assert not backend.scored

    run(main())


def test_a_limit_of_money_needs_prices():
    with pytest.raises(UserError, match="needs the model's prices") as error:
        Model(Ledger(), budget=Budget(money=1))
    assert error.value.where == "ledger"


def test_a_dry_run_says_what_is_missing_and_what_it_may_cost_without_sending(store):
    model = Model(backend := Ledger(), store=store, prices=Prices(input=1e6, output=2e6))
    run(model.generate(HI, WARM, range(2, 4)))
    backend.calls.clear()
    questions = [(HI, WARM, range(6)), (HI, WARM, range(3)), (Text("x"), Sampling(max_tokens=9), range(5))]
    # HI: 0–1 and 4–5 are missing; x is greedy: one call
    assert model.estimate(questions) == Estimate(7, 2, 3, 21, 4 * 20 + 9, 21 + 2 * 89, True)
    assert backend.calls == []


def test_a_dry_run_adds_a_margin_to_estimated_lengths_and_knows_no_money_without_prices():
    class Guessing(Ledger):
        def count(self, prompt):
            return Count(10, exact=False)

    estimate = Model(Guessing()).estimate([(HI, WARM, range(1))])
    assert (estimate.tokens_read, estimate.money, estimate.exact) == (13, None, False)
