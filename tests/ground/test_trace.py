import asyncio
import json

import pytest

from tandem.errors import CallFailed
from tandem.trace import Step, note, outcome, step, tracing


def test_steps_stand_inside_the_step_that_is_open():
    with tracing("answer", question="?") as root:
        with step("sample", n=2):
            note(written="x")
        with step("verify"), step("look up"):
            outcome("nothing")
    assert root.to_json() == {
        "name": "answer",
        "facts": {"question": "?"},
        "steps": [
            {"name": "sample", "facts": {"n": 2, "written": "x"}},
            {"name": "verify", "steps": [{"name": "look up", "outcome": "nothing"}]},
        ],
    }


def test_concurrent_tasks_write_into_their_own_steps_in_the_order_of_beginning():
    async def work(n):
        with step("work", n=n):
            await asyncio.sleep(0.002 * (3 - n))
            with step("inner"):
                note(of=n)

    async def main():
        with tracing("all") as root, step("together"):
            await asyncio.gather(*map(work, range(3)))
        return root

    (together,) = asyncio.run(main()).steps
    assert [each.facts["n"] for each in together.steps] == [0, 1, 2]
    assert [each.steps[0].facts["of"] for each in together.steps] == [0, 1, 2]


def test_traces_beside_each_other_do_not_mix():
    async def one(n):
        with tracing("one") as root:
            await asyncio.sleep(0)
            with step("step", n=n):
                await asyncio.sleep(0)
        return root

    async def main():
        with tracing("outer") as outer:
            return outer, await asyncio.gather(one(1), one(2))

    outer, roots = asyncio.run(main())
    assert [[each.facts["n"] for each in root.steps] for root in roots] == [[1], [2]]
    assert outer.steps == []


def test_without_a_trace_nothing_is_kept_and_nothing_breaks():
    with step("alone") as made:
        note(x=1)
        outcome("lost")
    assert (made.facts, made.outcome) == ({}, "done")


def test_an_error_is_the_outcome_of_every_step_it_passes_and_goes_on():
    with pytest.raises(CallFailed), tracing("answer") as root, step("inner"):
        raise CallFailed("is down", kind="server")
    assert [(each.name, each.outcome) for each in root.walk()] == [("answer", "server"), ("inner", "server")]
    assert root.steps[0].facts["error"] == "is down"


def test_an_error_without_a_kind_has_the_name_of_its_class():
    with pytest.raises(ZeroDivisionError), tracing("answer") as root:
        _ = 1 / 0
    assert root.outcome == "ZeroDivisionError"


def test_a_cancelled_step_says_so():
    async def main():
        with tracing("answer") as root:

            async def work():
                with step("wait"):
                    await asyncio.sleep(10)

            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return root

    assert asyncio.run(main()).steps[0].outcome == "cancelled"


def test_after_a_step_the_one_around_it_is_open_again():
    with tracing("answer") as root:
        with pytest.raises(ValueError), step("inner"):
            raise ValueError("no")
        note(after=True)
    assert root.facts == {"after": True}


def test_a_trace_goes_through_json_and_back():
    with tracing("answer", question="?") as root, step("inner"):
        outcome("nothing")
    again = Step.from_json(json.loads(json.dumps(root.to_json())))
    assert again == root
    assert again.outcomes() == {("answer", "done"): 1, ("inner", "nothing"): 1}
