import asyncio
import itertools
import json
import math
import time

import pytest

from tandem.errors import CallFailed, UserError
from tandem.lm.scripted import ABLE, Rule, Said, Scripted, words
from tandem.types import LM, Chat, Message, Sampling, Text

ASKED = Text("What is the capital of Lusta?")


def ask(model, prompt=ASKED, sampling=None, samples=range(1)):
    return asyncio.run(model.generate(prompt, sampling or Sampling(temperature=1.0), samples))


def said(model, *arguments, **options):
    return [completion.text for completion in ask(model, *arguments, **options)]


def test_it_is_a_language_model():
    assert isinstance(Scripted({"": "yes"}), LM)


def test_the_first_rule_that_fits_decides():
    model = Scripted({"Lusta": "Karo", "capital": "Miro", "": "no idea"})
    assert said(model) == ["Karo"]
    assert said(model, Text("the capital")) == ["Miro"]
    assert said(model, Text("anything")) == ["no idea"]


def test_all_texts_of_a_rule_must_stand_in_the_prompt():
    model = Scripted([Rule(("both",), contains=("capital", "Lusta")), Rule(("not both",))])
    assert said(model) == ["both"]
    assert said(model, Text("Lusta")) == ["not both"]


def test_an_answer_may_use_what_the_expression_found():
    model = Scripted([Rule((r"\1 has a capital, \g<what>.",), matches=r"(?P<what>capital) of (\w+)")])
    assert said(model) == ["capital has a capital, capital."]


def test_a_rule_sees_roles_and_prefill_of_a_conversation():
    chat = Chat((Message("system", "Be brief."), Message("user", "Lusta?")), prefill="The town")
    model = Scripted([Rule(("yes",), contains=("system: Be brief.", "user: Lusta?", "assistant: The town"))])
    assert said(model, chat) == ["yes"]


def test_samples_are_answers_by_index_and_begin_again_after_the_last():
    model = Scripted({"": ["a", "b", "c"]})
    assert said(model, samples=range(5)) == ["a", "b", "c", "a", "b"]
    assert said(model, samples=range(1, 2)) == ["b"]


def test_the_prompt_is_read_once_for_all_samples():
    usages = [completion.usage for completion in ask(Scripted({"": "a"}), samples=range(3))]
    assert [usage.prompt_tokens - usage.cached_tokens for usage in usages] == [6, 0, 0]


def test_at_temperature_0_every_sample_is_the_first_answer():
    assert said(Scripted({"": ["a", "b"]}), sampling=Sampling(), samples=range(3)) == ["a", "a", "a"]


def test_a_stop_text_ends_the_answer_before_it():
    (answer,) = ask(Scripted({"": "one two\nthree"}), sampling=Sampling(stop=("\n", "three")))
    assert (answer.text, answer.finish) == ("one two", "stop")


def test_the_token_limit_cuts_whole_words():
    (answer,) = ask(Scripted({"": "one two three"}), sampling=Sampling(max_tokens=2))
    assert (answer.text, answer.finish, answer.usage.completion_tokens) == ("one two", "length", 2)


def test_tokens_cover_the_answer_with_their_bytes():
    (answer,) = ask(Scripted({"": "çà va  bien "}), sampling=Sampling(logprobs=True))
    assert "".join(token.text for token in answer.tokens) == answer.text
    spans = [(token.start, token.end) for token in answer.tokens]
    assert spans[0][0] == 0 and spans[-1][1] == len(answer.text.encode())
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))


def test_log_probabilities_are_the_answers_own_or_the_rules():
    model = Scripted([Rule((Said("a b", logprobs=(-0.5, -0.25)), "c"), logprob=-3.0)])
    both = ask(model, sampling=Sampling(temperature=1.0, logprobs=True), samples=range(2))
    assert [[token.logprob for token in answer.tokens] for answer in both] == [[-0.5, -0.25], [-3.0]]
    assert ask(model)[0].tokens is None


def test_scores_are_what_the_rule_lists():
    model = Scripted([Rule(contains=("Lusta",), scores={" Karo": -0.2, " Miro": -1.5}, unlisted=-9.0)])
    scores = asyncio.run(model.score(ASKED, [" Karo", " Miro", " some town"]))
    assert [score.logprob for score in scores] == [-0.2, -1.5, -9.0]
    assert [score.greedy for score in scores] == [True, False, False]
    assert [score.tokens for score in scores] == [1, 1, 2]


def test_a_continuation_without_a_score_is_named():
    model = Scripted([Rule(scores={" Karo": -0.2})])
    with pytest.raises(UserError, match="' Miro'"):
        asyncio.run(model.score(ASKED, [" Miro"]))


def test_rules_without_scores_do_not_decide_scores():
    model = Scripted([Rule(("an answer",)), Rule(scores={"x": -1.0})])
    assert asyncio.run(model.score(ASKED, ["x"]))[0].logprob == -1.0
    assert said(model) == ["an answer"]


def test_a_prompt_no_rule_fits_is_named():
    with pytest.raises(UserError, match="What is the capital of Lusta"):
        ask(Scripted({"Miro": "no"}))


def test_a_rule_fails_for_each_prompt_as_often_as_it_says():
    model = Scripted([Rule(("at last",), fails="rate-limit", times=2)])
    for prompt in (ASKED, Text("another")):
        for _ in range(2):
            with pytest.raises(CallFailed) as error:
                ask(model, prompt)
            assert error.value.kind == "rate-limit"
        assert said(model, prompt) == ["at last"]


def test_a_refusal_is_an_answer_that_says_so():
    assert ask(Scripted([Rule((Said("I can't.", "refusal"),))]))[0].finish == "refusal"


def test_delays_of_concurrent_callers_pass_together():
    model = Scripted([Rule(("late",), delay=0.1)])

    async def many():
        return await asyncio.gather(*(model.generate(Text(f"{n}"), Sampling()) for n in range(50)))

    begun = time.monotonic()
    assert len(asyncio.run(many())) == 50
    assert time.monotonic() - begun < 2


def test_the_name_is_a_hash_of_the_rules():
    assert Scripted({"a": "b"}).name == Scripted([Rule(("b",), ("a",))]).name
    assert Scripted({"a": "b"}).name != Scripted({"a": "c"}).name


def test_a_prompt_beyond_the_context_is_refused_with_both_lengths():
    abilities = type(ABLE)(context=3)
    with pytest.raises(UserError, match="6 tokens leaves no room in a context of 3"):
        ask(Scripted({"": "x"}, abilities=abilities))


def test_words_are_the_text():
    for text in ("", " ", "a", " a  b\n", "\n\na"):
        assert "".join(words(text)) == text


@pytest.mark.parametrize(
    "rule",
    [
        Rule(),
        Rule(("x",), matches="("),
        Rule(("x",), logprob=0.5),
        Rule(("x",), logprob=math.nan),
        Rule(("x",), delay=-1.0),
        Rule(("x",), times=2),
        Rule(fails="server", times=2),
        Rule((Said("two words", logprobs=(-1.0,)),)),
    ],
    ids=["empty", "expression", "above 0", "nan", "delay", "times", "nothing after", "lengths"],
)
def test_a_rule_that_cannot_work_is_refused_by_its_number(rule):
    with pytest.raises(UserError, match="rule 1"):
        Scripted([rule])


TOML = """
[abilities]
logprobs = false
context = 100

[[rule]]
contains = "capital"
answers = ["Karo", { text = "No.", finish = "refusal", logprobs = [-0.5] }]
scores = { " Karo" = -0.1 }

[[rule]]
matches = "(?i)hello"
answers = "Hi."
delay = 0
"""


def test_a_file_holds_rules_and_abilities(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(TOML)
    model = Scripted.read(file)
    assert not model.abilities.logprobs and model.abilities.chat
    assert [answer.finish for answer in ask(model, samples=range(2))] == ["stop", "refusal"]
    assert said(model, Text("Hello!")) == ["Hi."]


def test_toml_and_json_of_the_same_rules_are_the_same_model(tmp_path):
    (tmp_path / "a.toml").write_text('[[rule]]\nanswers = ["x"]\ncontains = ["y", "z"]\n')
    (tmp_path / "a.json").write_text(json.dumps({"rule": [{"answers": ["x"], "contains": ["y", "z"]}]}))
    assert Scripted.read(tmp_path / "a.toml").name == Scripted.read(tmp_path / "a.json").name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no rules"),
        ("[[rule]\n", "is not TOML"),
        ('[[rule]]\nanswres = ["x"]', "answers"),
        ("[[rule]]\nanswers = [1]", "answers 1"),
        ('[[rule]]\nanswers = ["x"]\ndelay = "soon"', "delay"),
        ('[[rule]]\nanswers = ["x"]\n[rules]\na = 1', "'rules'"),
        ('[[rule]]\nanswers = [{ text = "x", finish = "end" }]', "finish"),
        ('[abilities]\nchat = 1\n[[rule]]\nanswers = ["x"]', "true or false"),
        ('rule = "x"', "not a list"),
        ('[[rule]]\nanswers = ["x"]\ntimes = 1.5\nfails = "server"', "whole"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_key(tmp_path, text, words):
    file = tmp_path / "rules.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        Scripted.read(file)
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        Scripted.read(tmp_path / "none.toml")
