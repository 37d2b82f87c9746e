"""A second implementation at the other end: `transformers serve` with a tiny model, driven over http."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tandem.lm.endpoints import Endpoint
from tandem.lm.models_file import find
from tandem.lm.remote import Remote
from tandem.tokenizer import train
from tandem.types import Chat, Completion, Message, Prompt, Sampling, Text

LACKING = [name for name in ("transformers", "fastapi", "uvicorn", "openai") if find_spec(name) is None]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}")]

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
WORDS = ("cat", "dog", "green bird", "café owner")
PROMPTS = ("The answer", "said the green", "question 7 is", "A café", "12")
GREEDY = Sampling(max_tokens=24)


class Served(NamedTuple):
    folder: Path
    address: str
    """Up to /v1."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A random LLaMA with a tokenizer of ours, behind transformers' own server on this machine."""
    folder = tmp_path_factory.mktemp("serve") / "model"
    make_model(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder.parent / "log"
    command = [Path(sys.executable).parent / "transformers", "serve", folder, "--device", "cpu"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*map(str, command), "--host", "127.0.0.1", "--port", str(port)],
            stdout=out,
            stderr=out,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            preexec_fn=die_with_parent,
        )
    try:
        wait_until_up(process, f"http://127.0.0.1:{port}/health", log)
        yield Served(folder, f"http://127.0.0.1:{port}/v1")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def make_model(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = train(
        [f"The answer to question {i} is {i * i}, said the {word}." for i in range(200) for word in WORDS],
        400,
        specials=("<|system|>", "<|user|>", "<|assistant|>"),
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.vocabulary,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=tokenizer.end,
        pad_token_id=tokenizer.pad,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def wait_until_up(process: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(health, timeout=5) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def own(served: Served) -> Any:
    """What the model itself writes, through transformers' `generate`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(served.folder)
    model = AutoModelForCausalLM.from_pretrained(served.folder).eval()

    def write(prompt: Prompt) -> str:
        if isinstance(prompt, Text):
            inputs = tokenizer(prompt.text, return_tensors="pt")
        else:
            turns = [{"role": message.role, "content": message.content} for message in prompt.messages]
            inputs = tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=GREEDY.max_tokens, do_sample=False)
        return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return write


def endpoint(served: Served, form: Any, **abilities: bool) -> Endpoint:
    file = served.folder.parent / f"{form}.toml"
    file.write_text(f'[tiny]\naddress = "{served.address}"\nmodel = "{served.folder}"\nformat = "{form}"\n')
    found = find("tiny", file)
    return replace(found, abilities=replace(found.abilities, **abilities))


def ask(at: Endpoint, prompts: list[Prompt], sampling: Sampling, samples: range = range(1)) -> list[Completion]:
    async def together() -> list[Completion]:
        model = Remote(at)
        try:
            drawn = await asyncio.gather(*(model.generate(prompt, sampling, samples) for prompt in prompts))
        finally:
            await model.close()
        return [one for several in drawn for one in several]

    return asyncio.run(together())


def test_greedy_continuations_are_the_models_own(served: Served, own: Any) -> None:
    prompts: list[Prompt] = [Text(prompt) for prompt in PROMPTS]
    answers = ask(endpoint(served, "completions"), prompts, GREEDY)
    assert [one.text for one in answers] == [own(prompt) for prompt in prompts]
    assert len({one.text for one in answers}) > 1
    assert all(one.served_model == str(served.folder) and not one.notes for one in answers)
    assert all(one.usage.completion_tokens == 24 for one in answers if one.finish == "length")


def test_greedy_answers_in_a_conversation_are_the_models_own(served: Served, own: Any) -> None:
    prompts: list[Prompt] = [
        Chat(
            (Message("system", "Count."), Message("user", prompt), Message("assistant", "12"), Message("user", "And?"))
        )
        for prompt in PROMPTS
    ]
    answers = ask(endpoint(served, "chat"), prompts, GREEDY)
    assert [one.text for one in answers] == [own(prompt) for prompt in prompts]


def test_an_address_alone_is_enough(served: Served, own: Any) -> None:
    prompt = Chat((Message("user", "The answer"),))
    (answer,) = ask(find(f"{served.address}#{served.folder}"), [prompt], GREEDY)
    assert answer.text == own(prompt)


@pytest.mark.parametrize("form", ["completions", "chat"])
def test_what_this_server_ignores_in_silence_is_noted(served: Served, form: Any) -> None:
    prompt: Prompt = Text("The answer") if form == "completions" else Chat((Message("user", "The answer"),))
    drawn = ask(endpoint(served, form), [prompt], Sampling(1.0, max_tokens=8, logprobs=True), range(3))
    assert len(drawn) == 3
    assert all(set(one.notes) == {"server-ignored-n", "server-ignored-logprobs"} for one in drawn)


def test_a_stop_text_that_this_server_leaves_in_is_cut_off_and_noted(served: Served, own: Any) -> None:
    whole = own(Text("The answer"))
    stop = next(character for character in whole[2:] if character.isalnum() and character not in whole[:2])
    (answer,) = ask(endpoint(served, "completions"), [Text("The answer")], replace(GREEDY, stop=(stop,)))
    assert answer.text == whole[: whole.index(stop)]
    assert (answer.finish, answer.notes) == ("stop", ("stop-text-left-in",))
