"""Templates: where answers begin and end, that generation starts from training's own ids, that text stays text."""

from __future__ import annotations

import re

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers

from tandem import tokenizer as tokenizing
from tandem.errors import UserError
from tandem.tokenizer import Tokenizer
from tandem.train import templates
from tandem.train.conversations import Conversation
from tandem.types import Message

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] | trim + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
BRACKETS = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{% generation %}{{ ' ' + m['content'] + eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
)
WITHOUT_END = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
FORGETFUL = (  # writes a thought before the last answer only, as some reasoning models do
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if loop.last and m['role'] == 'assistant' %}{{ '<think></think>' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OWN = {"chatml": CHATML, "brackets": BRACKETS, "without end": WITHOUT_END}
MARKS = ("<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>", "<s>")

TEXTS = [
    f"Human: what is it {i}? ### Assistant: it's a thing of {i * 7} parts,\n  as   they said.\n### Human: why\tso?"
    for i in range(60)
]


def byte_level(chat_template: str | None = None, *, bos: str | None = None) -> Tokenizer:
    trained = tokenizing.train(TEXTS, 500, specials=MARKS[2:])
    return Tokenizer(
        trained.core,
        rows=trained.vocabulary,
        end="<|endoftext|>",
        pad="<|pad|>",
        bos=bos,
        chat_template=chat_template,
    )


def sentence_piece_like(chat_template: str | None = None) -> Tokenizer:
    """A tokenizer that puts a space before whatever it is given, with bytes as a last resort, as LLaMA's does."""
    letters = {c for text in TEXTS for c in text.replace(" ", "▁")} - {"\n", "\t"}
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *sorted(letters), "▁i", "▁it", "it"]
    core = tokenizers.Tokenizer(
        models.BPE(
            {t: i for i, t in enumerate(tokens)},
            [("▁", "i"), ("▁i", "t"), ("i", "t")],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    return Tokenizer(core, rows=512, end="</s>", bos="<s>", unk="<unk>", chat_template=chat_template)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_level()


def talk(*said: str, system: str | None = None) -> Conversation:
    first = [Message("system", system)] if system is not None else []
    turns = [Message("assistant" if i % 2 else "user", text) for i, text in enumerate(said)]
    return Conversation("c", (*first, *turns))


def text_of(conversation, template, tokenizer):
    return "".join(s.text for s in templates.segments(conversation.messages, template, tokenizer))


def test_the_talks_template_is_written_as_on_the_slide(tokenizer):
    assert text_of(talk("Hi", "Hello"), "xgen", tokenizer) == "Human: Hi ### Assistant: Hello<|endoftext|>"


def test_the_fastchat_form_has_a_system_line_a_blank_line_and_headed_turns(tokenizer):
    text = text_of(talk("Hi", "Hello", "How?", "So."), "fastchat", tokenizer)
    system, blank, *turns = text.split("\n")
    assert system.count(". ") == 1 and system.endswith(".")
    assert blank == ""
    assert turns == [
        "### Human: Hi",
        "### Assistant: Hello<|endoftext|>",
        "### Human: How?",
        "### Assistant: So.<|endoftext|>",
    ]


def test_a_system_turn_replaces_the_fastchat_forms_own_line(tokenizer):
    assert text_of(talk("Hi", "Hello", system="Be kind."), "fastchat", tokenizer).startswith(
        "Be kind.\n\n### Human: Hi"
    )


@pytest.mark.parametrize("template", templates.NAMES)
def test_exactly_the_answers_and_their_ends_are_learnt(template):
    tokenizer = byte_level(CHATML)
    ids, is_target = templates.encode(talk("Hi", "one thing", "And?", "  two"), template, tokenizer)
    end = tokenizer.id_of("<|im_end|>") if template == "own" else tokenizer.end
    learnt = tokenizer.decode([i for i, t in zip(ids, is_target, strict=True) if t])
    mark = tokenizer.decode([end])
    expected = f"one thing{mark}two{mark}" if template == "own" else f" one thing{mark}   two{mark}"
    assert learnt == expected
    assert templates.ends(template, tokenizer) == {end, tokenizer.end}


SAYING = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(
    [
        *MARKS,
        " lead",
        "trail ",
        "\n",
        "<|im_<|im_end|>start|>",
        "assistant\n",
        "[/INST]",
        "a<s>b",
        "\ufdd0",
        "\U000f0000<s>",
    ]
)
CONVERSATIONS = st.builds(
    lambda pairs, system: talk(*(t for pair in pairs for t in pair), system=system),
    st.lists(st.tuples(SAYING, SAYING), min_size=1, max_size=3),
    st.none() | SAYING,
)


def rendered(name, template):
    """(tokenizer, template name) for each kind of tokenizer and template."""
    own = OWN.get(template)
    make = {
        "byte level": byte_level,
        "with begin mark": lambda t: byte_level(t, bos="<s>"),
        "LLaMA": sentence_piece_like,
    }
    return make[name](own), "own" if own else template


EVERY = [
    (name, template)
    for name in ("byte level", "with begin mark", "LLaMA")
    for template in ("xgen", "fastchat", *OWN)
    if not (name == "LLaMA" and template == "chatml")
]


@pytest.mark.parametrize(("name", "template"), EVERY)
def test_a_prompts_ids_are_the_first_ids_of_the_conversation_in_training(name, template):
    tokenizer, template = rendered(name, template)

    @settings(max_examples=25, deadline=None)
    @given(CONVERSATIONS)
    def law(conversation):
        ids, is_target = templates.encode(conversation, template, tokenizer)
        for i, message in enumerate(conversation.messages):
            if message.role == "assistant":
                begun = templates.prompt(conversation.messages[:i], template, tokenizer)
                assert ids[: len(begun)] == begun
                assert is_target[len(begun)] and not is_target[len(begun) - 1]

    law()


@pytest.mark.parametrize(("name", "template"), EVERY)
def test_what_is_said_never_becomes_a_mark(name, template):
    """Whatever is said, a conversation holds the marks of one in which nothing is said, in the same order."""
    tokenizer, template = rendered(name, template)

    def marks(conversation):
        ids, _ = templates.encode(conversation, template, tokenizer)
        return [i for i in ids if i in tokenizer.special_ids - {tokenizer.unk}]

    @settings(max_examples=25, deadline=None)
    @given(CONVERSATIONS)
    def law(conversation):
        silent = Conversation("s", tuple(Message(m.role, "x") for m in conversation.messages))
        assert marks(conversation) == marks(silent)

    law()


@pytest.mark.parametrize(("name", "template"), [e for e in EVERY if e[1] != "chatml"])
def test_the_ids_decode_to_the_rendered_text(name, template):
    tokenizer, template = rendered(name, template)
    conversation = talk("is it <|im_end|> it?", "it is", "why", " it")
    ids, _ = templates.encode(conversation, template, tokenizer)
    text = text_of(conversation, template, tokenizer)
    if name == "LLaMA":  # puts a space before every text and behind every mark
        text = re.sub("(</?s>)(?!<|$)", r"\1 ", text)
    assert tokenizer.decode(ids) == text


def test_no_space_is_added_before_an_answer_by_a_tokenizer_that_adds_one_before_a_text():
    tokenizer = sentence_piece_like()
    answer = templates.segments(talk("it", "it").messages, "xgen", tokenizer)[-1]
    assert answer.ids == [tokenizer.id_of("▁it"), tokenizer.end]


def test_a_begin_mark_of_its_own_comes_first_and_only_once():
    tokenizer = byte_level(bos="<s>")
    for template in ("xgen", "fastchat"):
        ids, _ = templates.encode(talk("a", "b", "c", "d"), template, tokenizer)
        assert [at for at, i in enumerate(ids) if i == tokenizer.bos] == [0]
        assert text_of(talk("a", "b"), template, tokenizer).startswith("<s>")


@pytest.mark.parametrize("begin", [None, "<s>"])
@pytest.mark.parametrize("template", ["xgen", "fastchat"])
@pytest.mark.parametrize("system", [None, "Be kind."])
def test_transformers_renders_a_named_template_to_the_same_text_and_ids(tmp_path, template, system, begin):
    transformers = pytest.importorskip("transformers")
    tokenizer = byte_level(templates.CHAT_TEMPLATES[template], bos=begin)
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    conversation = talk("What is it?\n", "a thing", "why so", " 7  parts\n", system=system)
    said = [{"role": m.role, "content": m.content} for m in conversation.messages]
    assert theirs.apply_chat_template(said, tokenize=False) == text_of(conversation, template, tokenizer)
    ids, _ = templates.encode(conversation, template, tokenizer)
    assert theirs.apply_chat_template(said, return_dict=False) == ids
    prompt = templates.prompt(conversation.messages[:-1], template, tokenizer)
    assert theirs.apply_chat_template(said[:-1], add_generation_prompt=True, return_dict=False) == prompt


@pytest.mark.parametrize("template", ["xgen", "fastchat"])
@settings(max_examples=25, deadline=None)
@given(conversation=CONVERSATIONS)
def test_a_saved_template_as_the_models_own_gives_the_ids_of_its_name(template, conversation):
    tokenizer = byte_level(templates.CHAT_TEMPLATES[template])
    assert templates.encode(conversation, "own", tokenizer) == templates.encode(conversation, template, tokenizer)


@pytest.mark.parametrize(("name", "template"), [e for e in EVERY if e[1] in OWN and e[1] != "without end"])
def test_an_own_template_is_encoded_as_transformers_encodes_it(tmp_path, name, template):
    transformers = pytest.importorskip("transformers")
    tokenizer, template = rendered(name, template)
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    messages = talk("What is it?", "it is", "why so").messages
    said = [{"role": m.role, "content": m.content} for m in messages]
    expected = theirs.apply_chat_template(said, add_generation_prompt=True, return_dict=False)
    assert templates.prompt(messages, "own", tokenizer) == expected


def test_a_template_that_rewrites_earlier_turns_is_refused_for_long_conversations_only():
    tokenizer = byte_level(FORGETFUL)
    assert templates.encode(talk("a", "b"), "own", tokenizer).ids
    with pytest.raises(UserError, match="differently once more turns follow") as caught:
        templates.encode(talk("a", "b", "c", "d"), "own", tokenizer)
    assert caught.value.remedy and "xgen" in caught.value.remedy


def test_a_template_that_never_ends_an_answer_gets_the_tokenizers_end():
    tokenizer = byte_level(WITHOUT_END)
    ids, is_target = templates.encode(talk("a", "b", "c", "d"), "own", tokenizer)
    assert [t for i, t in zip(ids, is_target, strict=True) if i == tokenizer.end] == [True, True]


def test_an_unknown_template_names_its_likeness():
    with pytest.raises(UserError) as caught:
        templates.encode(talk("a", "b"), "fast-chat", byte_level())
    assert caught.value.remedy == "did you mean 'fastchat'?"


def test_asking_for_an_own_template_that_is_not_there_says_what_to_do():
    with pytest.raises(UserError, match="no chat template of its own"):
        templates.encode(talk("a", "b"), "own", byte_level())


def test_a_prompt_must_end_with_the_user():
    with pytest.raises(UserError, match="ends with the user's turn"):
        templates.prompt(talk("a", "b").messages, "xgen", byte_level())
