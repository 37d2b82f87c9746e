"""The wire format of OpenAI's (first) completions: a plain text continued, or scored.

Spoken by vLLM, SGLang, llama.cpp and Ollama, and by OpenAI for its two base models. Log-probabilities come as parallel
lists, from llama.cpp as in the chat format. A given text is scored by having it echoed with its log-probabilities
(SGLang, vLLM, llama-cpp-python), or by vLLM's `prompt_logprobs`; context and continuation are tokenised together there.
What this does not do: fill in the middle, several prompts in one call.
"""

from __future__ import annotations

from typing import Any

from tandem.errors import Unsupported
from tandem.lm.endpoints import Endpoint
from tandem.lm.wire import openai_chat
from tandem.lm.wire.answers import Asked, Choice, completions
from tandem.lm.wire.openai_chat import counts, drawing, finish, listed, score, score_at_end
from tandem.lm.wire.reply import Part
from tandem.lm.wire.spans import Piece, place, spelled
from tandem.lm.wire.streams import Choices
from tandem.types import Completion, Prompt, Score, Text

PATH = "/completions"
"""Below the endpoint's address."""
STREAMING = openai_chat.STREAMING
streamed = Choices


def body(endpoint: Endpoint, prompt: Prompt, asked: Asked) -> dict[str, Any]:
    """The request for `asked.samples` answers."""
    return {
        "model": endpoint.model,
        "prompt": _plain(endpoint, prompt),
        **drawing(endpoint, asked),
        **({"logprobs": max(1, asked.sampling.alternatives)} if asked.sampling.logprobs else {}),
        **endpoint.body,
    }


def answers(endpoint: Endpoint, reply: Part, asked: Asked) -> tuple[Completion, ...]:
    """The completions of a reply. Raises `CallFailed` that names the path of what is missing or of the wrong type."""
    choices = []
    for part in reply["choices"].items():
        ended, notes = finish(part)
        logprobs = part.get("logprobs")
        pieces = tuple(_pieces(logprobs, asked.sampling.alternatives > 0)) if logprobs else None
        choices.append(Choice(part["text"].text(), ended, pieces, notes=notes))
    return completions(reply, choices, counts(reply), asked)


def scoring_body(endpoint: Endpoint, context: Prompt, continuation: str) -> dict[str, Any]:
    """The request that has a continuation scored.

    One token is asked for, since zero means "without end" to some servers.
    """
    return {
        "model": endpoint.model,
        "prompt": _plain(endpoint, context) + continuation,
        endpoint.max_tokens_field: 1,
        "temperature": 0.0,
        **({"echo": True, "logprobs": 1} if endpoint.scoring == "echo" else {"prompt_logprobs": 1}),
        **endpoint.body,
    }


def scored(endpoint: Endpoint, reply: Part, context: Prompt, continuation: str) -> Score:
    """How likely the continuation was, out of the reply to `scoring_body`."""
    choices = reply["choices"].items()
    if not choices:
        raise reply.malformed("the reply has no answer")
    before = _plain(endpoint, context)
    if endpoint.scoring == "prompt-logprobs":
        return score_at_end(choices[0]["prompt_logprobs"], before, continuation)
    text = choices[0]["text"].text()
    if not text.startswith(before + continuation):
        raise reply.malformed('the server did not echo the prompt; take scoring = "echo" out of its endpoint')
    logprobs = choices[0]["logprobs"]
    pieces = _pieces(logprobs)
    spans = place((before + continuation).encode(), [piece.data for piece in pieces])
    return score(logprobs, pieces, spans, len(before.encode()))


def _plain(endpoint: Endpoint, prompt: Prompt) -> str:
    if not isinstance(prompt, Text):
        raise Unsupported(
            "this endpoint continues a plain text, and takes no conversation",
            where=endpoint.name,
            remedy='declare one with format = "chat" in models.toml, or ask with a text',
        )
    return prompt.text


def _pieces(logprobs: Part, alternatives: bool = False) -> list[Piece]:
    """Tokens of a choice: parallel lists, or llama.cpp's list as in the chat format."""
    if content := logprobs.get("content"):
        return list(listed(content, alternatives))
    texts = logprobs.get("tokens")
    if texts is None:
        return []
    values = logprobs["token_logprobs"].items()
    tops = top.items() if (top := logprobs.get("top_logprobs")) else [None] * len(values)
    tokens = texts.items()
    if not len(tokens) == len(values) == len(tops):
        raise logprobs.malformed(f"{logprobs.path} has lists of different lengths")
    pieces = []
    for token, value, likeliest in zip(tokens, values, tops, strict=True):
        logprob = None if value.value is None else value.number()
        named = likeliest.entries() if likeliest and likeliest.value else []
        best = [(name, entry.number()) for name, entry in named]
        greedy = logprob is not None and bool(best) and logprob >= max(lp for _, lp in best)
        pieces.append(Piece(spelled(token.text()), logprob, greedy, tuple(best) if alternatives else ()))
    return pieces
