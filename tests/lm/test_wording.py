import warnings

import pytest
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing

from tandem import tokenizer as tokenizers
from tandem.errors import UserError
from tandem.lm.wording import Wording, lead_of
from tandem.types import Chat, Message, Text

WORDS = ["Karo lies in Lusta. Miro lies in Tama."] * 20
QUESTION = (Message("user", "Where is Karo?"),)


@pytest.fixture(scope="module")
def made():
    return tokenizers.train(WORDS, 300)


@pytest.fixture
def wording(made):
    return Wording(made, context=40)


def with_begin(made):
    """The same tokenizer with Llama's rule: a mark in front of every text."""
    core = type(made.core).from_str(made.core.to_str())
    core.add_special_tokens([AddedToken("<s>", special=True)])
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))])
    return tokenizers.Tokenizer(core, rows=400, end=made.marks["eos"], bos="<s>")


def test_a_text_begins_as_the_tokenizers_own_rule_begins_it(made, wording):
    assert lead_of(made) == []
    assert wording.ids(Text("Karo")) == made.encode("Karo")
    llama = with_begin(made)
    begun = Wording(llama, context=40, lead=lead_of(llama))
    assert begun.ids(Text("Karo")) == [llama.bos, *llama.encode("Karo")]
    assert begun.pair(Text("Karo"), " lies", cut_left=False)[0][0] == llama.bos


def test_an_empty_text_is_a_models_start(made, wording):
    assert wording.ids(Text("")) == [made.end]
    assert wording.pair(Text(""), "Karo", cut_left=False) == ([made.end], made.encode("Karo"))
    llama = with_begin(made)
    assert Wording(llama, context=40).ids(Text("")) == [llama.bos]


@pytest.mark.parametrize("context", ["Karo lies in", "Karo lies in ", "Karo lies in\n\n", " ", "K"])
@pytest.mark.parametrize("continuation", [" Lusta", "Lusta", "aro", " "])
def test_context_and_continuation_are_the_text_and_split_at_the_contexts_length(made, wording, context, continuation):
    first, second = wording.pair(Text(context), continuation, cut_left=False)
    joined = [i for i in first if i != made.end] + second
    assert joined == made.encode(context + continuation)
    kept = made.encode(context.rstrip())
    assert len([i for i in first if i != made.end]) == min(len(kept), len(joined) - 1)


def test_continuations_of_changing_contexts_are_split_each_at_its_own(made, wording):
    for context in ("Karo", "Karo lies in", "Karo"):
        assert wording.pair(Text(context), " Lusta", cut_left=False)[0] == made.encode(context)


@pytest.mark.parametrize("context", ["", "Karo"])
def test_an_empty_continuation_is_refused(wording, context):
    with pytest.raises(UserError, match="empty continuation"):
        wording.pair(Text(context), "", cut_left=False)


def test_a_context_too_long_is_cut_on_its_left_only_on_request(made, wording):
    context = Text("Karo lies in Lusta. " * 20)
    with pytest.raises(UserError, match=r"context of \d+ tokens and a continuation of \d+ do not fit into 40"):
        wording.pair(context, " Miro", cut_left=False)
    first, second = wording.pair(context, " Miro", cut_left=True)
    assert len(first) + len(second) == 41
    assert [*first, *second] == made.encode(context.text + " Miro")[-41:]


def test_a_continuation_that_alone_is_too_long_is_refused_even_then(wording):
    with pytest.raises(UserError, match="do not fit"):
        wording.pair(Text("Karo"), " lies in Lusta." * 30, cut_left=True)


def test_a_conversation_without_template_warns_once_and_is_noted(wording):
    chat = Chat((Message("system", "Be brief."), *QUESTION), prefill=" In")
    with pytest.warns(UserWarning, match="no chat template"):
        ids = wording.ids(chat)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wording.ids(chat)
    assert wording.tokenizer.decode(ids) == "Be brief.\n\nUser: Where is Karo?\n\nAssistant: In"
    assert wording.notes(chat) == ("no-chat-template",) and wording.notes(Text("x")) == ()


def test_a_conversation_that_ends_with_the_assistant_is_refused(wording):
    with pytest.raises(UserError, match="user's turn"):
        wording.ids(Chat((*QUESTION, Message("assistant", "In Lusta."))))


def test_a_score_in_a_conversation_continues_the_answer(made):
    made = tokenizers.train(WORDS, 300)
    made.chat_template = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    wording = Wording(made, context=40)
    chat = Chat(QUESTION, prefill="Karo lies ")
    first, second = wording.pair(chat, "in", cut_left=False)
    assert first[-len(made.encode("Karo lies")) :] == made.encode("Karo lies")
    assert made.decode(second) == " in"
    assert wording.ids(Chat(QUESTION))[-1] == made.end
