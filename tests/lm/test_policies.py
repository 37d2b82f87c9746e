"""What a model lacks is refused by name, or done otherwise by a policy that was allowed by name."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_backend import ABLE

from tandem.errors import Unsupported, UserError
from tandem.lm.policies import WHAT, Policy, chosen, cut, settle
from tandem.types import Abilities, Chat, Completion, Message, Sampling, Text, Token, Usage

HI = Text("Hi")
TALK = Chat((Message("user", "Hi"),))
WARM = Sampling(temperature=0.7)


def test_a_model_that_can_do_everything_gets_the_question_unchanged():
    sampling = Sampling(0.7, 0.9, 50, ("\n",), 3, True, 0.5, True)
    settled = settle(replace(TALK, prefill="I"), sampling, range(5), ABLE, get_args(Policy))
    assert (settled.prompt, settled.sampling, settled.keyed) == (replace(TALK, prefill="I"), sampling, sampling)
    assert settled.policies == ()


LACKING = [
    ("temperature", HI, WARM, "own-temperature"),
    ("temperature", HI, Sampling(temperature=None, top_p=0.9), "own-temperature"),
    ("temperature", HI, Sampling(), "own-temperature"),
    ("many", HI, WARM, "calls-for-samples"),
    ("logprobs", HI, Sampling(logprobs=True), "without-logprobs"),
    ("seed", HI, replace(WARM, seed=3), "without-seed"),
    ("presence_penalty", HI, Sampling(presence_penalty=0.5), "without-presence-penalty"),
    ("stop", HI, Sampling(stop=("\n",)), "cut-at-stop"),
    ("text", HI, Sampling(), "text-as-chat"),
    ("chat", TALK, Sampling(), None),
    ("prefill", replace(TALK, prefill="I"), Sampling(), None),
    ("ignore_end", HI, Sampling(ignore_end=True), None),
]


@pytest.mark.parametrize(("ability", "prompt", "sampling", "policy"), LACKING)
def test_what_is_lacking_is_refused_with_ability_model_and_policy(ability, prompt, sampling, policy):
    others = set(get_args(Policy)) - {policy}
    with pytest.raises(Unsupported, match=f"'{ability}'") as error:
        settle(prompt, sampling, range(3), replace(ABLE, **{ability: False}), others, name="gpt-9")
    assert error.value.where == "gpt-9"
    assert error.value.remedy
    if policy:
        assert error.value.remedy.startswith(f'--allow {policy}, in Python allow=("{policy}",)')


@pytest.mark.parametrize(("ability", "prompt", "sampling", "policy"), [case for case in LACKING if case[3]])
def test_an_allowed_policy_is_applied_and_stands_in_the_outcome(ability, prompt, sampling, policy):
    settled = settle(prompt, sampling, range(3), replace(ABLE, **{ability: False}), {policy})
    assert settled.policies == (policy,)


def test_policies_that_are_not_needed_are_not_applied():
    lacking = Abilities(context=100)
    sampling = Sampling(temperature=None, stop=("\n",))
    assert settle(HI, sampling, range(1), lacking, set(get_args(Policy)) - {"calls-for-samples"}).policies == ()


@pytest.mark.parametrize("samples", [range(1), range(7), range(3, 4)])
def test_how_many_samples_are_asked_for_does_not_tell_answers_apart(samples):
    lacking = replace(ABLE, many=False)
    assert settle(HI, WARM, samples, lacking, {"calls-for-samples"}).policies == ("calls-for-samples",)
    assert settle(HI, Sampling(), samples, lacking, {"calls-for-samples"}).policies == ()


def test_one_sample_needs_no_policy():
    assert settle(HI, WARM, range(4, 5), replace(ABLE, many=False)).policies == ()


def test_under_the_models_own_temperature_neither_temperature_nor_nucleus_is_sent():
    settled = settle(HI, Sampling(0.7, 0.9), range(1), replace(ABLE, temperature=False), {"own-temperature"})
    assert (settled.sampling.temperature, settled.sampling.top_p) == (None, 1.0)
    assert settled.keyed == settled.sampling
    assert not settled.greedy


def test_a_seed_that_cannot_be_sent_still_tells_series_of_samples_apart():
    settled = settle(HI, replace(WARM, seed=3), range(1), replace(ABLE, seed=False), {"without-seed"})
    assert (settled.sampling.seed, settled.keyed.seed) == (0, 3)


def test_at_temperature_0_no_seed_is_needed():
    assert settle(HI, Sampling(seed=3), range(1), replace(ABLE, seed=False)).policies == ()


def test_a_plain_prompt_becomes_the_users_message():
    assert settle(HI, Sampling(), range(1), replace(ABLE, text=False), {"text-as-chat"}).prompt == TALK


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"presence_penalty": math.inf}, "presence_penalty"),
        ({"stop": "END"}, "stop"),
        ({"stop": ("",)}, "stop"),
    ],
)
def test_a_sampling_no_model_could_follow_is_refused_by_its_field(changes, where):
    with pytest.raises(UserError, match="cannot be") as error:
        settle(HI, replace(WARM, **changes), range(1), ABLE)
    assert error.value.where == where


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="'make-it-up'") as error:
        chosen(["own-temperature", "make-it-up"])
    assert all(policy in error.value.remedy for policy in get_args(Policy))


def test_every_policy_says_what_it_does():
    assert set(WHAT) == set(get_args(Policy))


@given(
    st.lists(st.text("aé😀 \n", min_size=1, max_size=3), max_size=8), st.sets(st.text("a\né", min_size=1, max_size=2))
)
def test_a_cut_answer_ends_before_the_first_stop_text_and_its_tokens_with_it(pieces, stops):
    tokens, at = [], 0
    for piece in pieces:
        tokens.append(Token(piece, -1.0, at, at + len(piece.encode())))
        at = tokens[-1].end
    whole = Completion("".join(pieces), "length", tuple(tokens), Usage(3, len(pieces)), "s")
    short = cut(whole, stops)
    assert whole.text.startswith(short.text)
    assert not any(stop in short.text for stop in stops)
    assert (short == whole) == (not any(stop in whole.text for stop in stops))
    if short != whole:
        assert short.finish == "stop" and any(whole.text[len(short.text) :].startswith(stop) for stop in stops)
    assert "".join(token.text for token in short.tokens) == short.text
    assert all(short.text.encode()[t.start : t.end].decode() == t.text for t in short.tokens)
    assert short.usage == whole.usage
