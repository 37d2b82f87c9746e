"""Prompts as token ids: what a text begins with, how a conversation is laid out, where a continuation starts.

A conversation is laid out by the tokenizer's own chat template. Where it has none, a plain form stands in, with a
warning: a model that was never tuned on conversations may answer anything. What this does not do: load tokenizers, or
cut prompts unasked.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from tandem.errors import UserError
from tandem.lm.policies import allowing
from tandem.tokenizer import Tokenizer
from tandem.types import Abilities, Chat, Message, Prompt, Text

NO_TEMPLATE = "no-chat-template"
"""Note on an answer to a conversation that was laid out plainly for lack of a template."""
HEADS = {"system": "", "user": "User: ", "assistant": "Assistant: "}
"""What stands before a turn where the tokenizer has no template."""


class Wording:
    """A tokenizer and the rules by which a model's prompts are made of it."""

    def __init__(self, tokenizer: Tokenizer, *, context: int, lead: Sequence[int] = ()) -> None:
        """`lead` are the ids every text begins with (the tokenizer's own post-processor's), `context` the longest."""
        self.tokenizer = tokenizer
        self.context = context
        self.lead = tuple(lead)
        self._warned = False
        self._measured = ("", 0)

    @property
    def abilities(self) -> Abilities:
        """What a model of this machine can be asked for: everything."""
        return Abilities(
            context=self.context,
            chat=True,
            prefill=True,
            many=True,
            temperature=True,
            seed=True,
            logprobs=True,
            scoring=True,
            presence_penalty=True,
            ignore_end=True,
        )

    def ids(self, prompt: Prompt) -> list[int]:
        """The ids to be continued, never none. Raises UserError when the template refuses the conversation."""
        if isinstance(prompt, Text):
            return [*self.lead, *self.tokenizer.encode(prompt.text)] or [self._begin()]
        return self._laid_out(prompt.messages) + self.tokenizer.encode(prompt.prefill)

    def fitting(self, prompt: Prompt) -> list[int]:
        """The ids to be continued, with room for an answer. Raises UserError with both lengths when there is none."""
        ids = self.ids(prompt)
        if len(ids) >= self.context:
            raise UserError(
                f"a prompt of {len(ids):,} tokens leaves no room in a context of {self.context:,}",
                where=self.tokenizer.name,
                remedy=f"shorten it, use a model with a longer context, or {allowing('cut-left')}",
            )
        return ids

    def notes(self, prompt: Prompt) -> tuple[str, ...]:
        """What was not as asked."""
        return (NO_TEMPLATE,) if isinstance(prompt, Chat) and self.tokenizer.chat_template is None else ()

    def pair(self, context: Prompt, continuation: str, *, cut_left: bool) -> tuple[list[int], list[int]]:
        """Ids of a context and its continuation, encoded together and split at the length of the context alone.

        White space at the end of the context belongs to the continuation, which never comes out empty. With `cut_left`
        a context that is too long loses its beginning. Raises UserError with both lengths when the two do not fit.
        """
        if isinstance(context, Text):
            before, text = [*self.lead], context.text
        else:
            before, text = self._laid_out(context.messages), context.prefill
        kept = text.rstrip()
        whole = self.tokenizer.encode(text + continuation)
        if not continuation or not whole:
            raise UserError("an empty continuation cannot be scored", remedy="give it a text")
        measured = self._measured
        if measured[0] != kept:  # the continuations of one context come one after the other
            measured = self._measured = (kept, len(self.tokenizer.encode(kept)))
        at = min(measured[1], len(whole) - 1)
        first, second = [*before, *whole[:at]] or [self._begin()], whole[at:]
        over = len(first) + len(second) - (self.context + 1)  # the last token is predicted, not read
        if over > 0 and (not cut_left or over >= len(first)):
            raise UserError(
                f"a context of {len(first):,} tokens and a continuation of {len(second):,} do not fit into "
                f"{self.context:,}",
                where=self.tokenizer.name,
                remedy="shorten them, or let the context be cut on its left" if not cut_left else "shorten it",
            )
        return first[max(0, over) :], second

    def _laid_out(self, messages: Sequence[Message]) -> list[int]:
        if not messages or messages[-1].role == "assistant":
            raise UserError("a conversation ends with the user's turn", remedy="add it; a begun answer is the prefill")
        if self.tokenizer.chat_template is not None:
            return self.tokenizer.encode_chat(messages)
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.tokenizer.name}: this tokenizer has no chat template; conversations are laid out as "
                "“User: …” and “Assistant: …”, which the model may never have seen",
                stacklevel=2,
            )
        turns = "".join(f"{HEADS[message.role]}{message.content}\n\n" for message in messages)
        return [*self.lead, *self.tokenizer.encode(turns + HEADS["assistant"].rstrip())]

    def _begin(self) -> int:
        """The id an empty text is replaced by: begin of text where there is one, else end of text."""
        bos = self.tokenizer.bos
        return self.tokenizer.end if bos is None else bos


def lead_of(tokenizer: Tokenizer) -> list[int]:
    """Ids that the tokenizer's own post-processor puts in front of a text (Llama's begin of text)."""
    plain = tokenizer.encode("a")
    whole: list[int] = tokenizer.core.encode("a", add_special_tokens=True).ids
    at = next((n for n in range(len(whole)) if whole[n : n + len(plain)] == plain), 0)
    return whole[:at]
