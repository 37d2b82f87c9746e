"""`tandem chat`: one model for the whole conversation, whatever it is."""

import asyncio
import io
import json
import os
import pty
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from test_local import TEMPLATE, build

from loopback_server import Act, LoopbackServer
from tandem.cli.chat import Conversation
from tandem.cli.main import main
from tandem.errors import CallFailed, UserError
from tandem.lm import Model, Rule, Scripted, connect, embedded
from tandem.lm.scripted import ABLE
from tandem.train import templates
from tandem.types import Chat, Message, Sampling

RULES = """
[[rule]]
contains = "assistant: Karo.\\nuser: And"
answers = ["Miro."]

[[rule]]
contains = "broken"
fails = "server"

[[rule]]
contains = "Where"
answers = [" Karo.\\n"]

[[rule]]
answers = ["What?"]
"""


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "rules.toml").write_text(RULES)
    return f"scripted:{tmp_path}/rules.toml"


def test_what_was_said_is_part_of_the_next_turn_until_a_new_start(rules, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Where?\n\nAnd?\n/new\nAnd?\n"))
    assert main(["chat", rules]) == 0
    assert capsys.readouterr().out == "Karo.\nMiro.\nWhat?\n"


def test_a_failure_ends_a_conversation_that_nobody_watches(rules, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Where?\nbroken\nAnd?\n"))
    assert main(["chat", rules]) == 1
    shown = capsys.readouterr()
    assert shown.out == "Karo.\n" and "fails on purpose" in shown.err


def test_a_turn_that_failed_is_no_part_of_the_conversation():
    backend = Scripted([Rule(contains=("user: one",), fails="server"), Rule(("yes",))])
    talk = Conversation(Model(backend), Sampling())

    async def work():
        with pytest.raises(CallFailed):
            await talk.say("one")
        await talk.say("two")

    asyncio.run(work())
    assert [turn.content for turn in backend.calls[-1][0].messages] == ["two"]


def test_older_turns_are_left_out_when_a_conversation_outgrows_its_model_but_no_turn_is_cut():
    backend = Scripted([Rule(("one two",))], abilities=replace(ABLE, context=40))
    talk = Conversation(Model(backend), Sampling(max_tokens=10), system="Be brief.")

    async def work():
        for n in range(8):
            await talk.say(f"question {n} of several")
        with pytest.raises(UserError, match="leaves no room"):
            await talk.say("word " * 50)
        await talk.say("question 9 of several")

    asyncio.run(work())
    prompt = backend.calls[-1][0]
    said = [turn.content for turn in prompt.messages]
    assert said[0] == "Be brief." and said[1].startswith("question") and said[-1] == "question 9 of several"
    assert 3 < len(said) < 19 and backend.count(prompt).tokens <= 30


def test_a_plain_model_continues_each_line_by_itself(tmp_path, capsys, monkeypatch):
    (tmp_path / "rules.toml").write_text(
        '[abilities]\nchat = false\n[[rule]]\nmatches = "^Once$"\nanswers = [" upon"]\n'
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("Once\nOnce\n"))
    assert main(["chat", f"scripted:{tmp_path}/rules.toml"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "upon\nupon\n" and "no chat template" in shown.err
    assert main(["chat", f"scripted:{tmp_path}/rules.toml", "--system", "x", "--prompt", "Once"]) == 2


# ── Our own engine ──────────────────────────────────────────────────────────────────────────────────────────────────

TURNS = ["Karo lies in Lusta, a country of rivers.", "Miro lies in Tama.", "Lusta?"]


def test_each_turn_reads_only_what_is_new_in_the_conversation(tmp_path):
    folder = build(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}))

    async def work():
        async with connect(f"local:{folder}", precision="fp32", device="cpu") as model:
            engine, wording = model.backend.engine, model.backend.wording
            talk = Conversation(model, Sampling(max_tokens=24, temperature=0.8), system="çà et là, naïve façades. " * 3)
            held = []
            for number, turn in enumerate(TURNS):
                before = engine.tokens_computed
                answer = await talk.say(turn)
                ids = wording.ids(talk._prompt((*talk._said[:-1],)))
                known = next((n for n, (a, b) in enumerate(zip(held, ids, strict=False)) if a != b), len(held))
                read = answer.usage.prompt_tokens - answer.usage.cached_tokens
                assert answer.usage.prompt_tokens == len(ids)
                if number:
                    assert known > 60
                    assert read <= len(ids) - known + 1
                    assert engine.tokens_computed - before <= read + answer.usage.completion_tokens
                held = ids

    asyncio.run(work())


@pytest.mark.parametrize("name", ["xgen", "fastchat"])
def test_a_named_template_lays_the_conversation_out_as_tuning_does(tmp_path, name):
    folder = build(tmp_path / "m", template=None)
    said = (
        Message("system", "Be brief."),
        Message("user", "Karo?"),
        Message("assistant", "Lusta."),
        Message("user", "你"),
    )

    async def work():
        options = {"precision": "fp32", "device": "cpu"}
        async with connect(f"local:{folder}", template=templates.CHAT_TEMPLATES[name], **options) as model:
            made = model.backend.wording.tokenizer
            assert model.backend.wording.ids(Chat(said)) == templates.prompt(said, name, made)
            async with connect(f"local:{folder}", **options) as other:
                assert other.name != model.name

    asyncio.run(work())


def test_another_template_is_for_models_of_our_decoder(rules, capsys):
    assert main(["chat", rules, "--template", "xgen", "--prompt", "Where?"]) == 2
    assert "takes no other chat template" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named(tmp_path, capsys):
    folder = build(tmp_path / "m", template=TEMPLATE)
    assert main(["chat", str(folder), "--device", "nonsense", "--prompt", "Karo"]) == 2
    assert "no such device here" in capsys.readouterr().err


@pytest.mark.slow
def test_the_embedded_model_reads_its_own_answer_only_once():
    if not embedded.available():
        pytest.skip(f"the embedded model is not installed: {embedded.INSTALL}")

    async def work():
        async with connect("embedded", precision="fp32") as model:
            talk = Conversation(model, Sampling(max_tokens=48))
            first = await talk.say("Tell me in two sentences about the city of Paris.")
            second = await talk.say("And Rome?")
            new = second.usage.prompt_tokens - first.usage.prompt_tokens - first.usage.completion_tokens
            assert second.usage.prompt_tokens - second.usage.cached_tokens <= new + 2

    asyncio.run(work())


# ── A terminal ──────────────────────────────────────────────────────────────────────────────────────────────────────


def at_terminal(arguments, lines=()):
    """What a command shows at a terminal, typed lines included."""
    leader, follower = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-m", "tandem.cli.main", *arguments], stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    shown, lines = b"", list(lines)
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        shown += part
        if lines and shown.endswith("» ".encode()):
            os.write(leader, lines.pop(0).encode())
    os.close(leader)
    return run.wait(timeout=30), shown.decode()


@pytest.fixture
def server():
    """A server in a thread of its own that says piece by piece how many turns it was sent."""
    requests = []

    def answer(request):
        requests.append(request.body)
        pieces = ["That", " is", " turn", f" {len(request.body['messages'])}."]
        chunks = [{"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if "broken" in request.body["messages"][-1]["content"]:
            chunks = chunks[:2]
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        return Act(body=body.encode(), headers={"Content-Type": "text/event-stream"}, drip=0.0003)

    started, stop = threading.Event(), None

    async def serve():
        nonlocal stop
        stop = asyncio.Event()
        async with LoopbackServer(answer) as made:
            serve.url, serve.loop = made.url, asyncio.get_running_loop()
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait(10)
    yield f"{serve.url}/v1#m", requests
    serve.loop.call_soon_threadsafe(stop.set)
    thread.join(10)


def test_a_conversation_with_a_server_is_shown_as_it_comes_and_survives_a_broken_answer(server):
    address, requests = server
    status, shown = at_terminal(["chat", address], ["one\n", "broken\n", "two\n", "\x04"])
    assert status == 0
    assert shown.count("That is turn 1.") == 1 and shown.count("That is turn 3.") == 1
    assert "That is\r\n" in shown and "the answer broke off" in shown
    assert [len(body["messages"]) for body in requests] == [1, 3, 3]
    assert all(body["stream"] for body in requests)


def test_one_question_to_a_server_is_shown_as_it_comes(server):
    address, requests = server
    status, shown = at_terminal(["ask", "--model", address, "Which turn?"])
    assert status == 0 and shown.count("That is turn 1.\r\n") == 1
    assert requests[0]["stream"] is True
    done = subprocess.run(
        [sys.executable, "-m", "tandem.cli.main", "ask", "--model", address, "Which turn?"],
        capture_output=True,
        text=True,
    )
    assert "stream" not in requests[1] and done.returncode == 1  # this server sends nothing else
