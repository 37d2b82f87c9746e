"""Conversations as token ids, with the answers marked: the talk's template, the FastChat form, or the model's own.

    xgen       Human: {prompt} ### Assistant: {response}<end>               the talk's slide
    fastchat   system line, blank line, turns headed `### Human:` and `### Assistant:`, separated by newlines
    own        the tokenizer's chat template (Jinja, as `transformers` renders it)

A rendering is a list of segments, each encoded by itself, so that the border between question and answer is a border
between tokens. Hence the law the tests hold: the ids of a prompt are the first ids of the conversation in training.
The answer's segment begins with its leading space and ends with the token that ends an answer; both are learnt.

The fastchat form's system line is in our own words; only its shape (two sentences) follows the registered form.

What this does not do: guard against a user who writes `### Assistant:`; a template of plain text cannot. It does
guard marks: text never becomes a special token, whatever it spells. Encoding the whole conversation and finding the
answer by its character offsets was rejected: a token may span the border, and generation then starts elsewhere.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from tandem.errors import UserError
from tandem.tokenizer import Tokenizer
from tandem.tokenizer.chat import shield, unshield
from tandem.train.conversations import Conversation
from tandem.types import Message


class Segment(NamedTuple):
    """A stretch of a rendered conversation, encoded by itself."""

    text: str
    """As the model sees it, special tokens spelt out."""
    ids: list[int]
    """Its tokens."""
    is_response: bool
    """Whether it is an answer, to be learnt; the token that ends it is its last."""


class Encoded(NamedTuple):
    """A conversation as token ids."""

    ids: list[int]
    """All tokens."""
    is_target: list[bool]
    """For each, whether it belongs to an answer, the end included."""


_BEGIN = "{% if bos_token is defined and bos_token and bos_token != eos_token %}{{ bos_token }}{% endif %}"

XGEN = (
    _BEGIN + "{% if messages and messages[0]['role'] == 'system' %}{{ messages[0]['content'] + '\\n\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'Human: ' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ### Assistant: ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ### Assistant:' }}{% endif %}"
)

SYSTEM_LINE = (
    "Below, a person talks with an AI assistant. The assistant answers each message courteously, correctly and in full."
)

FASTCHAT = (
    _BEGIN + "{% if messages and messages[0]['role'] == 'system' %}{{ messages[0]['content'] + '\\n' }}"
    "{% else %}{{ '" + SYSTEM_LINE + "\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '\\n### Human: ' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '\\n### Assistant: ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n### Assistant:' }}{% endif %}"
)

CHAT_TEMPLATES: Mapping[str, str] = {"xgen": XGEN, "fastchat": FASTCHAT}
"""The named templates as Jinja, to be saved with the tokenizer: `transformers` then renders the same text."""

NAMES = ("xgen", "fastchat", "own")


def encode(conversation: Conversation, template: str, tokenizer: Tokenizer) -> Encoded:
    """The ids of a whole conversation, and which of them are learnt. Raises UserError as `segments` does."""
    found = segments(conversation.messages, template, tokenizer)
    return Encoded(
        [i for segment in found for i in segment.ids],
        [segment.is_response for segment in found for _ in segment.ids],
    )


def prompt(messages: Sequence[Message], template: str, tokenizer: Tokenizer) -> list[int]:
    """The ids from which the assistant's next answer is generated; the last message is the user's."""
    if not messages or messages[-1].role != "user":
        raise UserError("a prompt ends with the user's turn", remedy="add what the user says")
    return [i for segment in segments(messages, template, tokenizer) for i in segment.ids]


def ends(template: str, tokenizer: Tokenizer) -> frozenset[int]:
    """The ids that end an answer."""
    probe = (Message("user", "?"), Message("assistant", "!"))
    return frozenset({segments(probe, template, tokenizer)[-1].ids[-1], tokenizer.end})


def segments(messages: Sequence[Message], template: str, tokenizer: Tokenizer) -> list[Segment]:
    """Messages in order, questions and answers apart; after a user's turn at the end comes the assistant's heading.

    A tokenizer whose begin mark differs from its end mark gets it in front, as the models it belongs to expect.
    Raises UserError on an unknown template, on "own" where the tokenizer has none, and on a template of its own that
    cannot be rendered turn by turn.
    """
    if template == "own":
        return _own(messages, tokenizer)
    if template not in CHAT_TEMPLATES:
        near = difflib.get_close_matches(str(template), NAMES, n=1)
        raise UserError(
            f"no template named {template!r}",
            where="tuning.template",
            remedy=f"did you mean {near[0]!r}?" if near else f"known: {', '.join(NAMES)}",
        )
    heads = ("Human: ", " ### Assistant:") if template == "xgen" else ("\n### Human: ", "\n### Assistant:")
    before = "" if template == "xgen" else SYSTEM_LINE + "\n"
    found: list[Segment] = []
    for message in messages:
        if message.role == "system":
            before = message.content + ("\n\n" if template == "xgen" else "\n")
        elif message.role == "user":
            text = before + heads[0] + message.content + heads[1]
            begins = not found and tokenizer.bos not in (None, tokenizer.end)
            ids = [tokenizer.bos] if begins and tokenizer.bos is not None else []
            ids += _plain(tokenizer, text, "mark" if found or begins else "nothing")
            found.append(Segment((tokenizer.marks["bos"] if begins else "") + text, ids, False))
            before = ""
        else:
            text = " " + message.content
            ids = [*_plain(tokenizer, text, "text"), tokenizer.end]
            found.append(Segment(text + tokenizer.marks["eos"], ids, True))
    return found


_HOLE = "\U0010fffd"
"""Stands for an answer, to see what the template writes behind it."""


# ── The model's own template ────────────────────────────────────────────────────────────────────────────────────────


def _own(messages: Sequence[Message], tokenizer: Tokenizer) -> list[Segment]:
    if tokenizer.chat_template is None:
        raise UserError(
            "the tokenizer has no chat template of its own",
            where="tuning.template",
            remedy="choose template xgen or fastchat",
        )
    marks = _marks(tokenizer)
    said, shields = shield(messages, marks)
    found: list[Segment] = []
    done = ""

    def add(text: str, is_response: bool, end: bool = False) -> None:
        before: _Before = "nothing" if not found else "mark" if found[-1].is_response else "text"
        ids = _marked(tokenizer, text, shields, before)
        spelt = unshield(text, shields) + (tokenizer.marks["eos"] if end else "")
        found.append(Segment(spelt, [*ids, tokenizer.end] if end else ids, is_response))

    for i, message in enumerate(said):
        if message.role != "assistant":
            continue
        before = tokenizer.render(said[:i], add_generation_prompt=True)
        text = tokenizer.render(said[: i + 1], add_generation_prompt=False)
        _must_begin(before, done)
        _must_begin(text, before)
        add(before[len(done) :], False)
        without = tokenizer.render([*said[:i], Message("assistant", _HOLE)], add_generation_prompt=False)
        closing = without[without.rfind(_HOLE) + 1 :]
        mark = _any_of(marks).search(closing) if text.endswith(closing) else None
        done = text[: len(text) - len(closing) + mark.end()] if mark else text
        add(done[len(before) :], True, end=mark is None)
    if said and said[-1].role != "assistant":
        before = tokenizer.render(said, add_generation_prompt=True)
        _must_begin(before, done)
        add(before[len(done) :], False)
    return found


def _must_begin(text: str, beginning: str) -> None:
    if not text.startswith(beginning):
        raise UserError(
            "the model's chat template writes a turn differently once more turns follow: what is learnt would not be "
            "what is generated",
            where="tuning.template",
            remedy="choose template xgen or fastchat, or tune on conversations of one question and one answer",
        )


# ── Texts and marks to ids ──────────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=8)
def _marks(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The special tokens as text, longest first."""
    added = tokenizer.core.get_added_tokens_decoder().values()
    return tuple(sorted((t.content for t in added if t.special and t.content), key=lambda t: (-len(t), t)))


_Before: TypeAlias = Literal["nothing", "mark", "text"]
"""What stands before a stretch of text."""


def _marked(tokenizer: Tokenizer, text: str, shields: Mapping[str, str], before: _Before) -> list[int]:
    """Ids of a rendered stretch: the template's marks are marks, those a message spells stay text."""
    first = _any_of(_marks(tokenizer)).search(text)
    head = text[: first.start()] if first else text
    rest = text[len(head) :]
    ids = _plain(tokenizer, unshield(head, shields), before) if head else []
    if not any(shield in rest for shield in shields):
        return ids + tokenizer.encode_marked(rest)
    for n, piece in enumerate(_any_of(_marks(tokenizer)).split(rest)):
        if n % 2:
            mark = tokenizer.id_of(piece)
            assert mark is not None
            ids.append(mark)
        elif piece:
            ids += _plain(tokenizer, unshield(piece, shields), "mark")
    return ids


@lru_cache(maxsize=8)
def _any_of(marks: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("(" + ("|".join(map(re.escape, marks)) or "(?!)") + ")")


_ANCHOR = "\n"


def _plain(tokenizer: Tokenizer, text: str, before: _Before) -> list[int]:
    """Ids of a stretch of text, none of them a mark.

    Tokenizers in the manner of SentencePiece put a space before whatever they are given; behind other text that would
    be a space nobody wrote. There the text is encoded behind a line end, whose ids are then taken away.
    """
    after_text, after_mark = _adds_space(tokenizer)
    if before == "nothing" or not after_text or (before == "mark" and after_mark):
        return tokenizer.encode(text)
    anchor, ids = tokenizer.encode(_ANCHOR), tokenizer.encode(_ANCHOR + text)
    return ids[len(anchor) :] if ids[: len(anchor)] == anchor else tokenizer.encode(text)


@lru_cache(maxsize=8)
def _adds_space(tokenizer: Tokenizer) -> tuple[bool, bool]:
    """Whether the tokenizer puts a space before a text, and whether it does so behind a mark too."""
    alone, anchor = tokenizer.encode("x"), tokenizer.encode(_ANCHOR)
    after_text = tokenizer.encode(_ANCHOR + "x")[len(anchor) :]
    return after_text != alone, tokenizer.encode_marked(tokenizer.marks["eos"] + "x")[1:] == alone
