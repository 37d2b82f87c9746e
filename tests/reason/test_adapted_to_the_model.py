"""What a model lacks is adapted, and told in the trace."""

import pytest
from reasoning_sample import BRELL, KARO, LAMP, WROTE, Shelf, answered, chain, ends, model

from tandem.lm.model import Model
from tandem.reason.editing import Editing
from tandem.reason.plain import cot_sc
from tandem.reason.verify_and_edit import verify_and_edit

CHAINS = [chain(WROTE, BRELL, answer=a) for a in ("Brell", "Tolk", "Miro", "Lusta", "Orn")]
LACKING = {
    "temperature": "own temperature",
    "logprobs": "no log-probabilities",
    "many": "one call per sample",
    "seed": "no seed",
    "stop": "cut here",
    "prefill": None,
    "text": None,
}


def able(lacking):
    """A model that lacks some abilities and says the same as one that has them."""
    return model(
        ends("Steps:\n1.", *[f"{text}\n\nQuestion: Another?\nSteps:\n1. x\nAnswer: Zell" for text in CHAINS]),
        ends("Check:", " Where was it?\nWhy?"),
        ends("Finding:", f" {KARO}\nSo."),
        ends("Answer:", " Karo\nQuestion: Another?"),
        **dict.fromkeys(lacking, False),
    )


@pytest.mark.parametrize(
    "lacking",
    [[], *([name] for name in LACKING), ["text", "prefill"], [name for name in LACKING if name != "text"], [*LACKING]],
    ids=lambda lacking: "+".join(lacking) or "nothing",
)
def test_a_model_without_abilities_still_votes_and_edits(lacking):
    for lm in (able(lacking), Model(able(lacking))):  # which refuses what is not declared
        record = answered(cot_sc, LAMP, lm)
        assert [c["answer"] for c in record.trace.steps[0].facts["chains"]] == ["Brell", "Tolk", "Miro", "Lusta", "Orn"]
        record = answered(verify_and_edit, LAMP, lm, [Shelf({"": "A finding."})], settings=Editing())
        assert record.answer.text == "Karo"
        assert (record.answer.facts["mass"] is None) == ("logprobs" in lacking)


@pytest.mark.parametrize("lacking", [name for name, told in LACKING.items() if told])
def test_every_adaptation_stands_in_the_trace(lacking):
    from tandem.reason.chains import Asking

    record = answered(cot_sc, LAMP, able([lacking]), asking=Asking(seed=7))
    assert record.trace.steps[0].facts["adapted"] == [LACKING[lacking]]


def test_a_model_that_has_everything_is_adapted_in_nothing():
    record = answered(cot_sc, LAMP, able([]))
    assert all("adapted" not in step.facts for step in record.trace.walk())
