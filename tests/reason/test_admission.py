"""With a limit questions begin only as far as it lasts for them; without one all begin at once."""

import asyncio

import pytest

from tandem.errors import CallFailed
from tandem.lm.budget import Budget, Prices
from tandem.lm.model import Model
from tandem.lm.scripted import Rule, Scripted
from tandem.reason.running import answer_all
from tandem.store import Store
from tandem.types import Answer, Question, Sampling, Text

CALLS = 4


class Counting:
    """A method of some calls, one after the other, that counts the questions under way."""

    def __init__(self, calls=lambda question: CALLS):
        self.calls, self.now, self.peak = calls, 0, 0
        self.began: list[str] = []
        self.peak_before_the_first_was_done = None
        self.cut: list[str] = []

    async def __call__(self, question, lm, sources):
        self.now += 1
        self.peak = max(self.peak, self.now)
        self.began.append(question.id)
        made = 0
        try:
            for made in range(self.calls(question)):
                await lm.generate(Text(f"{question.text} {made}?"), Sampling(max_tokens=50))
                await asyncio.sleep(0)
        except Exception:
            if made:
                self.cut.append(question.id)
            raise
        finally:
            self.now -= 1
        if self.peak_before_the_first_was_done is None:
            self.peak_before_the_first_was_done = self.peak
        return Answer("yes")


def questions(n):
    return [Question(str(i), f"Question {i}") for i in range(n)]


def run(budget, n=40, *, method=None, concurrent=64, store=None, delay=0.0, answers=("An answer.",), prices=None):
    """The method and the model after a run, and how many questions were answered."""
    method = method or Counting()
    model = Model(Scripted([Rule(answers, delay=delay)]), budget=budget, store=store, prices=prices)

    async def main():
        async with model:
            return await answer_all(questions(n), method, model, [], concurrent=concurrent)

    records = asyncio.run(asyncio.wait_for(main(), 30))
    return method, model, sum(record.answer.outcome == "answered" for record in records)


@pytest.mark.parametrize("concurrent", [1, 4, 64])
@pytest.mark.parametrize("calls", [3, 21, 100, 159, 160])
def test_as_many_are_answered_as_a_limit_of_calls_lasts_for(concurrent, calls):
    method, model, answered = run(Budget(calls=calls), concurrent=concurrent)
    assert answered == calls // CALLS
    assert model.spent.calls == calls
    assert len(method.cut) <= 1


@pytest.mark.parametrize("limit", ["tokens", "money"])
def test_what_is_set_aside_for_a_call_is_no_charge_and_no_room_for_another_question(limit):
    prices = Prices(input=1.0, output=10.0)
    _, whole, _ = run(Budget(), 200, prices=prices)
    spent = getattr(whole.spent, limit)
    method, model, answered = run(Budget(**{limit: type(spent)(spent * 0.6)}), 200, prices=prices)
    assert getattr(model.spent, limit) <= spent * 0.6
    assert 120 - 8 <= answered <= 120 and len(method.cut) <= 1
    assert method.peak > 8


def test_questions_that_differ_a_lot_are_nearly_all_finished_once_begun():
    method = Counting(lambda question: 12 if int(question.id) % 3 else 2)
    _, model, answered = run(Budget(calls=400), 100, method=method)
    assert answered >= 40 and len(method.cut) <= 3
    assert model.spent.calls > 380


def test_a_limit_that_is_large_enough_lets_all_begin_when_the_first_is_done():
    method, _, answered = run(Budget(calls=5000, tokens=10**7, seconds=3600.0), 65)
    assert (method.peak_before_the_first_was_done, method.peak, answered) == (1, 64, 65)


def test_without_limits_all_begin_at_once():
    for budget in (None, Budget()):
        method, _, answered = run(budget)
        assert (method.peak_before_the_first_was_done, answered) == (40, 40)


def test_the_first_questions_are_those_that_are_answered():
    method = Counting()
    model = Model(Scripted({"": "An answer."}), budget=Budget(calls=90))
    records = asyncio.run(answer_all(questions(40), method, model, [], concurrent=8))
    assert [record.answer.outcome for record in records] == ["answered"] * 22 + ["not-asked"] * 18
    assert [int(id) for id in method.began] == pytest.approx(range(40), abs=8)


def test_a_run_that_nears_its_seconds_finishes_what_it_has_begun():
    method, _, answered = run(Budget(seconds=1.5), 2000, concurrent=4, delay=0.02)
    assert 4 < answered < 2000
    assert len(method.cut) <= 4


def test_recorded_answers_take_nothing_and_are_given_under_a_spent_limit(tmp_path):
    with Store(tmp_path / "a.db") as store:
        _, _, answered = run(Budget(calls=60), store=store)
        assert answered == 15
    with Store(tmp_path / "a.db") as store:
        _, model, answered = run(Budget(calls=0), store=store)
        assert (answered, model.spent.calls) == (15, 0)
    with Store(tmp_path / "a.db") as store:
        _, model, answered = run(Budget(calls=60), store=store)
        assert (answered, model.spent.calls) == (30, 60)


def test_what_failed_tells_what_questions_take_where_none_was_finished():
    async def fails(question, lm, sources):
        await lm.generate(Text(question.text), Sampling())
        raise CallFailed("is down", kind="server")

    model = Model(Scripted({"": "x"}), budget=Budget(calls=40))
    records = asyncio.run(answer_all(questions(40), fails, model, []))
    assert [record.answer.outcome for record in records] == ["failed"] * 40


def test_an_error_ends_those_who_wait_to_begin():
    began = []

    async def breaks(question, lm, sources):
        began.append(question.id)
        await asyncio.sleep(0)
        raise RuntimeError("a mistake of the method")

    model = Model(Scripted({"": "x"}), budget=Budget(calls=40))
    with pytest.raises(RuntimeError):
        asyncio.run(asyncio.wait_for(answer_all(questions(40), breaks, model, []), 10))
    assert len(began) <= 2
