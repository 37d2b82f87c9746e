"""What a call took stands in the trace of its question, in figures that do not depend on the back end."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tandem.lm import connect
from tandem.lm.budget import Budget, Prices
from tandem.lm.model import Model
from tandem.lm.scripted import Scripted
from tandem.reason.watched import Watched
from tandem.store import Store
from tandem.trace import tracing
from tandem.types import Sampling, Text

sys.path.append(str(Path(__file__).parents[1]))
from loopback_server import Act, LoopbackServer

PROMPT = Text("A prompt of some words that is read once however many samples are drawn of it. " * 6)
SAMPLED = Sampling(temperature=0.7, max_tokens=20)


async def drawn(model, samples):
    """The facts of one call."""
    with tracing("question") as root:
        await Watched(model).generate(PROMPT, SAMPLED, range(samples))
    return root.steps[0].facts


async def scripted(samples):
    return await drawn(Scripted({"": "An answer."}), samples)


async def embedded(samples):
    async with connect("embedded", precision="fp32") as model:
        return await drawn(model, samples)


async def served(samples):
    def answer(request):
        n = request.body.get("n") or 1
        choices = [{"index": i, "text": "An answer.", "finish_reason": "stop"} for i in range(n)]
        usage = {"prompt_tokens": 16, "completion_tokens": 3 * n, "total_tokens": 16 + 3 * n}
        return Act(body={"id": "1", "object": "text_completion", "model": "m", "choices": choices, "usage": usage})

    async with LoopbackServer(answer) as server:
        Path("models.toml").write_text(f'[served]\naddress = "{server.url}/v1"\nmodel = "m"\nformat = "completions"\n')
        async with connect("served") as model:
            return await drawn(model, samples)


@pytest.mark.parametrize("back_end", [scripted, served, pytest.param(embedded, marks=pytest.mark.slow)])
def test_a_prompt_counts_once_a_call_whatever_the_back_end(back_end, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "TANDEM_CONFIG_DIR", ".")
    one, five = (asyncio.run(back_end(samples)) for samples in (1, 5))
    assert one["tokens_read"] <= five["tokens_read"] < 1.5 * one["tokens_read"]
    assert five["tokens_written"] >= 3 * one["tokens_written"] / 2


def test_money_is_what_the_budget_is_charged_and_the_same_when_the_answers_are_recorded(tmp_path):
    async def main(store):
        model = Model(Scripted({"": "An answer."}), store=store, budget=Budget(), prices=Prices(1000.0, 3000.0, 100.0))
        facts = await drawn(model, 3)
        return facts["money"], model.spent.money

    with Store(tmp_path / "a.db") as store:
        money, spent = asyncio.run(main(store))
        assert money == pytest.approx(spent) and money > 0
        assert asyncio.run(main(store)) == (money, 0.0)
