"""Generating and scoring: against `transformers`, against themselves without a cache, alone and in a batch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.decoder import Decoder, RopeScaling, Shape, save
from tandem.decoder.generate import generate
from tandem.decoder.sampling import uniform
from tandem.decoder.score import score
from tandem.errors import UserError

os.environ.setdefault("HF_HUB_OFFLINE", "1")
SMALL = {"vocabulary": 97, "layers": 2, "width": 48, "heads": 4, "head_width": 12, "mlp_width": 80, "context": 64}
PROMPTS = [[5, 9, 33, 2, 7, 41, 8], [11], [3, 3, 60, 21], [90, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]


def model_of(**changes: object) -> Decoder:
    return Decoder(Shape(**({**SMALL, "kv_heads": 2, "init_std": 0.15} | changes)), seed=4)  # type: ignore[arg-type]


def uncached(model: Decoder, prompt: list[int], tokens: int) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(tokens):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("changes", [{}, {"window": 6}, {"qk_norm": True}, {"parallel": True}], ids=str)
def test_greedy_answers_with_a_cache_in_a_batch_equal_those_without_one_alone(changes: dict[str, object]) -> None:
    model = model_of(**changes)
    assert generate(model, PROMPTS, max_tokens=12) == [uncached(model, prompt, 12) for prompt in PROMPTS]


@pytest.mark.parametrize("changes", [{}, {"window": 6}, {"qkv_bias": True}, {"qk_norm": True}], ids=str)
def test_greedy_answers_equal_transformers_with_left_padding(changes: dict[str, object], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = model_of(**changes, pad=0, eos=96)
    save(model, tmp_path / "m")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "m").eval()
    longest = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in PROMPTS])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in PROMPTS])
    out = theirs.generate(ids, attention_mask=mask, max_new_tokens=12, do_sample=False, eos_token_id=None)
    assert generate(model, PROMPTS, max_tokens=12) == out[:, longest:].tolist()


def test_one_batch_or_many_give_the_same_samples() -> None:
    model = model_of()
    together = generate(model, PROMPTS, max_tokens=10, temperature=1.0, top_p=0.9, seed=5)
    assert together == generate(model, PROMPTS, max_tokens=10, temperature=1.0, top_p=0.9, seed=5, pass_tokens=1)
    assert together != generate(model, PROMPTS, max_tokens=10, temperature=1.0, top_p=0.9, seed=6)


def test_an_answer_ends_before_a_stop_id_and_the_others_go_on() -> None:
    model = model_of()
    free = generate(model, PROMPTS, max_tokens=12)
    stop = free[0][3]
    cut = [answer[: answer.index(stop)] if stop in answer else answer for answer in free]
    assert generate(model, PROMPTS, max_tokens=12, stop_ids={stop}) == cut


def test_an_answer_ends_where_the_context_ends() -> None:
    model = model_of(context=16)
    answers = generate(model, PROMPTS, max_tokens=40)
    assert [len(answer) for answer in answers] == [16 - len(prompt) for prompt in PROMPTS]
    assert answers[1] == uncached(model, PROMPTS[1], 15)


def test_dynamic_scaling_takes_the_length_of_the_text_not_of_the_padding() -> None:
    model = model_of(rope_scaling=RopeScaling("dynamic", 4.0, 16))
    assert generate(model, PROMPTS[:3], max_tokens=5) == [uncached(model, p, 5) for p in PROMPTS[:3]]


def test_samples_follow_the_models_distribution() -> None:
    model = model_of()
    with torch.no_grad():
        expected = torch.softmax(model(torch.tensor([[5, 9]]))[0, -1] / 0.7, -1).numpy()
    drawn = generate(model, [[5, 9]] * 4000, max_tokens=1, temperature=0.7, seed=1)
    counts = np.bincount([answer[0] for answer in drawn], minlength=97)
    big = expected > 0.02
    assert big.sum() >= 3
    error = np.abs(counts[big] / 4000 - expected[big])
    assert (error < 4 * np.sqrt(expected[big] / 4000)).all()


def test_a_nucleus_draws_nothing_outside_it() -> None:
    model = model_of()
    with torch.no_grad():
        probability = torch.softmax(model(torch.tensor([[5, 9]]))[0, -1], -1)
    ranked = probability.sort(descending=True)
    nucleus = set(ranked.indices[: int((ranked.values.cumsum(0) < 0.5).sum()) + 1].tolist())
    drawn = generate(model, [[5, 9]] * 500, max_tokens=1, temperature=1.0, top_p=0.5)
    assert {answer[0] for answer in drawn} == nucleus


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 10**6))
def test_noise_is_uniform_and_depends_on_index_and_position(seed: int, position: int) -> None:
    index = np.arange(2000)
    noise = uniform(seed, index, position)
    assert ((noise >= 0) & (noise < 1)).all()
    assert abs(noise.mean() - 0.5) < 0.05
    assert len(np.unique(noise)) == 2000
    assert not np.array_equal(noise, uniform(seed, index, position + 1))
    assert noise[7] == uniform(seed, np.array([7]), position)[0]


@pytest.mark.parametrize(
    ("prompt", "words"), [([], "empty"), ([97], "outside"), ([1] * 64, "no room")], ids=["empty", "outside", "long"]
)
def test_a_prompt_that_cannot_be_continued_is_named(prompt: list[int], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        generate(model_of(), [[1], prompt], max_tokens=3)
    assert error.value.where == "prompt 1"


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("pass_tokens", [1, 40, 8192])
def test_scores_equal_the_sum_of_log_probabilities_with_shared_contexts_and_without(
    window: int | None, pass_tokens: int
) -> None:
    model = model_of(window=window)
    greedy = generate(model, [PROMPTS[0]], max_tokens=3)[0]
    pairs = [(PROMPTS[0], greedy), (PROMPTS[0], [4]), (PROMPTS[1], [7, 8, 9]), (PROMPTS[0], [4, 5, 6, 7])]
    expected = []
    for context, continuation in pairs:
        with torch.no_grad():
            logprob = torch.log_softmax(model(torch.tensor([[*context, *continuation]]))[0], -1)
        expected.append(sum(float(logprob[len(context) - 1 + i, token]) for i, token in enumerate(continuation)))
    scored = score(model, pairs, pass_tokens=pass_tokens)
    np.testing.assert_allclose([s.logprob for s in scored], expected, rtol=1e-5, atol=1e-5)
    assert [s.greedy for s in scored] == [True, False, False, False]


def test_a_model_that_has_generated_and_scored_can_still_be_trained() -> None:
    model = model_of()
    generate(model, PROMPTS, max_tokens=4)
    score(model, [(PROMPTS[0], [1, 2])])
    ids = torch.tensor([PROMPTS[3]])
    model.loss(ids, ids).backward()
    assert model.embedding.grad is not None


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(UserError, match="temperature"):
        generate(model_of(), PROMPTS[:1], max_tokens=1, temperature=temperature)
