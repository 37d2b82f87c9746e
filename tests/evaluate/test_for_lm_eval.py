"""Our models under lm-evaluation-harness: its own evaluator, on its own kinds of requests."""

import pytest

pytest.importorskip("lm_eval", reason="the package lm_eval is not installed: nothing here is tested")

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance

from tandem.errors import UserError
from tandem.evaluate.for_lm_eval import TandemLM
from tandem.lm.model import Model
from tandem.lm.scripted import ABLE, Rule, Scripted
from tandem.types import Abilities

datasets = pytest.importorskip("datasets")


def lent(*rules, **abilities):
    return TandemLM(Model(Scripted(rules, abilities=Abilities(**(vars(ABLE) | abilities)))))


def requests(kind, *arguments):
    return [Instance(kind, {}, one, n) for n, one in enumerate(arguments)]


def test_continuations_come_back_in_the_order_they_were_asked():
    model = lent(Rule(contains=("first",), scores={" a": -1.0, " b": -2.0}), Rule(scores={" a": -3.0}, unlisted=-4.0))
    found = model.loglikelihood(requests("loglikelihood", ("first", " b"), ("second", " a"), ("first", " a")))
    assert found == [(-2.0, False), (-3.0, True), (-1.0, True)]


def test_a_long_text_is_scored_in_windows_that_hold_every_word_once():
    seen = []

    class Counting(Scripted):
        async def score(self, context, continuations, *, cut_left=False):
            seen.append((context.text, *continuations))
            return await super().score(context, continuations, cut_left=cut_left)

    backend = Counting([Rule(unlisted=-1.0)], abilities=Abilities(**(vars(ABLE) | {"context": 6})))
    text = "one two three four  five six seven\neight nine ten "
    (found,) = TandemLM(Model(backend)).loglikelihood_rolling(requests("loglikelihood_rolling", (text,)))
    contexts, pieces = zip(*sorted(seen, key=lambda pair: text.index(pair[1])))
    assert "".join(pieces) == text
    assert len(pieces) > 1 and found == -1.0 * len(pieces)
    assert contexts[0] == "" and all(contexts[1:])
    assert all(len((a + b).split()) <= 5 for a, b in seen)


def test_an_answer_ends_at_the_stop_texts_and_settings_that_do_not_exist_are_errors():
    model = lent(Rule(answers=("yes and no. Then more",)))
    asked = requests("generate_until", ("q", {"until": ["."], "do_sample": False, "max_gen_toks": 9}))
    assert model.generate_until(asked) == ["yes and no"]
    with pytest.raises(UserError, match="repetition_penalty"):
        model.generate_until(requests("generate_until", ("q", {"until": [], "repetition_penalty": 2})))


def task(**more):
    rows = [{"q": f"Is {n} even?", "a": n % 2} for n in range(4)]
    return {
        "task": "even_numbers",
        "custom_dataset": lambda **_: datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)}),
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_target": "a",
        "doc_to_choice": ["yes", "no"],
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    } | more


def test_the_harness_evaluates_our_model():
    model = lent(
        Rule(contains=("Is 0",), scores={" yes": -0.1}, unlisted=-5.0), Rule(scores={" no": -0.1}, unlisted=-1)
    )
    results = simple_evaluate(model=model, tasks=[task()], bootstrap_iters=0)
    assert results["results"]["even_numbers"]["acc,none"] == 0.75


@pytest.mark.slow
def test_log_probabilities_are_those_of_the_harness_own_back_end(embedded_folder):
    from lm_eval.models.huggingface import HFLM

    asked = requests(
        "loglikelihood",
        ("The capital of France is", " Paris"),
        ("The capital of France is", " Rome"),
        ("", "Hello there"),
    )
    peer = HFLM(pretrained=str(embedded_folder), device="cpu", dtype="float32", batch_size=1, max_length=8192)
    expected = peer.loglikelihood(asked, disable_tqdm=True)
    found = TandemLM("embedded", precision="fp32", batch_size=8).loglikelihood(asked)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [p for p, _ in found] == pytest.approx([p for p, _ in expected], abs=1e-4)
    text = requests("loglikelihood_rolling", ("It rains. The river rises, and the boats go out.",))
    assert TandemLM("embedded", precision="fp32").loglikelihood_rolling(text) == pytest.approx(
        peer.loglikelihood_rolling(text, disable_tqdm=True), abs=1e-4
    )
