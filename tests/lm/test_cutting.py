"""Prompts that are too long, cut on their left by the policy that allows it."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_backend import ABLE, Ledger

from tandem.cli.main import main
from tandem.errors import UserError
from tandem.lm import Model, Rule, Scripted, connect
from tandem.lm.cutting import fitted, recent, room
from tandem.lm.excerpt import readable
from tandem.store import Store
from tandem.types import Chat, Message, Sampling, Text


def length(prompt):
    """Words of all that is said, and two for every turn."""
    if isinstance(prompt, Text):
        return len(prompt.text.split())
    said = [turn.content for turn in prompt.messages] + [prompt.prefill]
    return sum(len(text.split()) for text in said) + 2 * len(prompt.messages)


def talk(*turns, system="be brief", prefill=""):
    roles = ["user", "assistant"] * len(turns)
    said = tuple(Message(role, turn) for role, turn in zip(roles, turns, strict=False))
    return Chat((*((Message("system", system),) if system else ()), *said), prefill)


@given(st.text("ab é\n", max_size=60), st.integers(1, 12))
def test_of_a_text_the_longest_end_that_fits_is_kept(text, most):
    cut = fitted(Text(text), most, length)
    if cut is None:
        assert length(Text(text[-1:])) > most
        return
    assert text.endswith(cut.text) and length(cut) <= most
    assert cut.text == text or length(Text(text[-len(cut.text) - 1 :])) > most


@given(st.lists(st.integers(1, 6), min_size=1, max_size=9), st.integers(1, 40), st.booleans())
def test_a_conversation_keeps_system_prefill_and_as_many_turns_as_fit(sizes, most, has_system):
    sizes = sizes if len(sizes) % 2 else sizes[1:] or [1]
    whole = talk(*("w " * n for n in sizes), system="be brief" if has_system else "", prefill="so it")
    kept = recent(whole, most, length)
    assert kept.prefill == whole.prefill
    assert kept.messages[:has_system] == whole.messages[:has_system]
    turns, all_turns = kept.messages[has_system:], whole.messages[has_system:]
    assert turns == all_turns[-len(turns) :] and turns[0].role == turns[-1].role == "user"
    assert length(kept) <= most or len(turns) == 1
    if len(turns) < len(all_turns):
        assert length(replace(whole, messages=(*kept.messages[:has_system], *all_turns[-len(turns) - 2 :]))) > most


def test_a_last_turn_that_is_too_long_alone_loses_its_beginning():
    cut = fitted(talk("an old question", "an answer", "one two three four five"), 9, length)
    assert cut == talk(" three four five")


def test_what_may_not_be_cut_is_never_cut():
    assert fitted(talk("x", system="so many words that nothing fits"), 8, length) is None


@pytest.mark.parametrize(("context", "max_tokens", "left"), [(100, 30, 70), (100, 50, 50), (100, 900, 50)])
def test_an_answer_gets_its_room_and_the_prompt_half_of_the_context_at_least(context, max_tokens, left):
    assert room(context, max_tokens) == left


LONG = Text(" ".join(f"w{n}" for n in range(50)))
SHORT = Scripted([Rule(("seen",), matches="^ w20 "), Rule(("else",))], abilities=replace(ABLE, context=40))


def test_a_prompt_that_was_cut_says_so_is_counted_and_recorded_under_its_limit(tmp_path):
    async def work(store):
        model = Model(SHORT, store=store, allow=["cut-left"])
        (answer,) = await model.generate(LONG, Sampling(max_tokens=10))
        assert (answer.text, answer.notes, answer.usage.prompt_tokens) == ("seen", ("cut-left",), 30)
        assert model.tally["cut-left"] == 1
        (fits,) = await model.generate(Text("w1 w2"), Sampling(max_tokens=10))
        assert fits.notes == ()
        await model.generate(LONG, Sampling(max_tokens=10))
        assert model.tally["re-used"] == 1
        (shorter,) = await model.generate(LONG, Sampling(max_tokens=15))  # another prompt is sent: no answer fits
        assert (shorter.text, shorter.usage.prompt_tokens) == ("else", 25)

    with Store(tmp_path / "answers.db") as store:
        asyncio.run(work(store))
    with Store(tmp_path / "answers.db", read_only=True) as store:
        assert sorted(record.request.body.count('"cut-left:10"') for record in store.records()) == [0, 0, 1]

    async def again():
        async with connect(f"replay:{tmp_path}/answers.db", allow=["cut-left"]) as model:
            return [(await model.generate(LONG, Sampling(max_tokens=n)))[0].text for n in (10, 15)]

    assert asyncio.run(again()) == ["seen", "else"]


def test_without_the_policy_the_error_says_how_to_allow_it():
    with pytest.raises(UserError, match="50 tokens leaves no room in a context of 40") as error:
        asyncio.run(Model(SHORT).generate(LONG, Sampling()))
    assert '--allow cut-left, in Python allow=("cut-left",)' in error.value.remedy


def test_estimated_lengths_are_cut_with_a_margin():
    class Estimating(Ledger):
        def count(self, prompt):
            return replace(super().count(prompt), exact=False)

    backend = Estimating(replace(ABLE, context=40))
    asyncio.run(Model(backend, allow=["cut-left"]).generate(LONG, Sampling(max_tokens=10)))
    assert len(readable(backend.calls[0][0]).split()) == 24  # a quarter more is 30


def test_a_prompt_of_which_nothing_may_be_cut_is_an_error_with_both_lengths():
    prompt = talk("x", system="w " * 50)
    with pytest.raises(UserError, match=r"5\d tokens leaves no room in 30"):
        asyncio.run(Model(SHORT, allow=["cut-left"]).generate(prompt, Sampling(max_tokens=10)))


def test_many_prompts_are_cut_where_the_command_allows_it(tmp_path, capsys):
    (tmp_path / "rules.toml").write_text('[abilities]\ncontext = 20\n[[rule]]\nanswers = ["yes"]\n')
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "short"}\n{"prompt": "' + "long " * 40 + '"}\n')
    command = ["generate", str(tmp_path / "prompts.jsonl"), "--model", f"scripted:{tmp_path}/rules.toml"]
    assert main(command) == 2
    assert "prompts.jsonl:2" in (err := capsys.readouterr().err) and "--allow cut-left" in err
    assert main([*command, "--allow", "cut-left"]) == 0
    assert "note: cut-left (1 answers)" in capsys.readouterr().err
