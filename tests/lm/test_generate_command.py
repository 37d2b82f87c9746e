import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tandem.cli.main import main
from tandem.errors import UserError
from tandem.lm import prompt_file
from tandem.store import Store
from tandem.types import Chat, Message, Text

RULES = """
[[rule]]
contains = "secret"
answers = [{ text = "No.", finish = "refusal" }]

[[rule]]
contains = "broken"
fails = "server"

[[rule]]
contains = "slow"
answers = ["at last"]
delay = 0.05

[[rule]]
matches = "user: What is (\\\\w+)"
answers = ["\\\\1 it is", "who knows", "three", "four"]

[[rule]]
matches = "^Once"
answers = [" upon a time"]
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "rules.toml").write_text(RULES)
    return tmp_path


@pytest.fixture
def generate(place, capsys):
    def run(lines, *arguments, model=None):
        write(place / "prompts.jsonl", lines)
        status = main(
            [
                *("generate", str(place / "prompts.jsonl"), "--out", str(place / "out.jsonl")),
                *("--model", model or f"scripted:{place}/rules.toml", *arguments),
            ]
        )
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def write(file, lines):
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))


def output(place):
    return [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]


def asked(n):
    return [{"prompt": f"What is x{i}?"} for i in range(n)]


def test_answers_come_in_the_order_of_the_prompts_with_ids_and_other_fields(generate, place):
    lines = [{"id": f"q{i}", "prompt": "slow" if i % 3 == 0 else f"What is x{i}?", "topic": i} for i in range(30)]
    status, out, _ = generate(lines)
    assert status == 0 and "30 of 30 prompts answered" in out
    got = output(place)
    assert [line["id"] for line in got] == [line["id"] for line in lines]
    assert [line["topic"] for line in got] == list(range(30))
    assert [line["answers"][0]["text"] for line in got][:3] == ["at last", "x1 it is", "x2 it is"]
    assert all(line["model"].startswith("scripted-") for line in got)


def test_n_answers_per_prompt_are_drawn_by_index(generate, place):
    generate(asked(2), "--n", "3", "--temperature", "1")
    assert [[a["text"] for a in line["answers"]] for line in output(place)][1] == ["x1 it is", "who knows", "three"]


def test_more_answers_later_ask_only_for_the_missing_ones(generate, place):
    generate(asked(5), "--n", "2", "--temperature", "1")
    _, out, _ = generate(asked(5), "--n", "4", "--temperature", "1")
    assert "10 re-used" in out
    assert [len(line["answers"]) for line in output(place)] == [4] * 5


def test_the_same_command_asks_nothing_again_and_writes_the_same_bytes(generate, place):
    generate(asked(20), "--logprobs")
    first = (place / "out.jsonl").read_bytes()
    (place / "out.jsonl").unlink()
    _, out, _ = generate(asked(20), "--logprobs")
    assert "20 re-used" in out and "0 tokens read" in out
    assert (place / "out.jsonl").read_bytes() == first


def test_messages_prefill_and_plain_texts_are_asked_as_they_are(generate, place):
    lines = [{"messages": [{"role": "user", "content": "What is y?"}]}, {"prompt": "What is z?", "prefill": "Well"}]
    generate(lines)
    assert [line["answers"][0]["text"] for line in output(place)] == ["y it is", "z it is"]
    generate([{"prompt": "Once"}], "--text")
    assert output(place)[0]["answers"][0]["text"] == " upon a time"


def test_a_failure_is_a_line_of_its_own_and_the_others_go_on(generate, place):
    status, out, err = generate([*asked(3), {"id": "bad", "prompt": "broken"}, {"prompt": "secret"}])
    assert status == 1 and "4 of 5 prompts answered" in out and "1 refusal" in out
    assert "line 4 (id bad): server: rule 2 fails on purpose" in err and "--retry-failed" in err
    got = output(place)
    assert got[3]["error"] == {"kind": "server", "message": "rule 2 fails on purpose"}
    assert got[4]["answers"][0]["finish"] == "refusal"


ONE_BY_ONE = "[abilities]\nmany = false\n"
UNSTEADY = """
[[rule]]
fails = "server"
times = 2
answers = ["zero", "one", "two", "three"]
"""


def test_of_several_samples_those_that_came_are_written_and_only_the_others_asked_again(generate, place):
    def run(n, *more):
        options = ("--n", n, "--temperature", "1", "--allow", "calls-for-samples", *more)
        return generate(
            [{"prompt": "Count."}, {"prompt": "Count on."}], *options, model=f"scripted:{place}/rules2.toml"
        )

    (place / "rules2.toml").write_text(ONE_BY_ONE + UNSTEADY)
    status, out, err = run("4")
    assert status == 1 and "0 of 2 prompts answered" in out
    assert "line 1 (id 1): server: 2 of 4 samples failed: rule 1 fails on purpose" in err
    for line in output(place):
        lost, came = line["answers"][:2], line["answers"][2:]
        assert [one["error"] for one in lost] == [{"kind": "server", "message": "rule 1 fails on purpose"}] * 2
        assert [one["text"] for one in came] == ["two", "three"]
    first = (place / "out.jsonl").read_bytes()
    assert run("4")[0] == 1 and (place / "out.jsonl").read_bytes() == first
    _, out, err = run("4", "--retry-failed", "--budget-calls", "4")
    assert "4 re-used" in out and "budget" not in err


def test_a_budget_that_is_spent_between_the_samples_of_a_prompt_keeps_those_it_paid_for(generate, place):
    (place / "rules2.toml").write_text(ONE_BY_ONE + '[[rule]]\nanswers = ["zero", "one", "two", "three"]\n')
    options = ("--n", "4", "--temperature", "1", "--allow", "calls-for-samples")
    model = f"scripted:{place}/rules2.toml"
    status, _, err = generate([{"prompt": "Count."}], *options, "--budget-calls", "3", model=model)
    assert status == 1 and "budget of calls" in err
    answers = output(place)[0]["answers"]
    assert [one.get("text") for one in answers] == ["zero", "one", "two", None]
    assert answers[3]["error"]["kind"] == "not-asked"
    status, out, _ = generate([{"prompt": "Count."}], *options, model=model)
    assert status == 0 and "3 re-used" in out


def test_only_retry_failed_asks_again_what_failed(generate, place):
    def failed_at():
        with Store(place / "out.jsonl.answers.db") as store:
            return max(record.at for record in store.records() if record.finish == "failed")

    lines = [{"prompt": "broken"}, *asked(1)]
    generate(lines)
    first = failed_at()
    assert "1 re-used" in generate(lines)[1]
    assert failed_at() == first
    assert generate(lines, "--retry-failed")[0] == 1
    assert failed_at() > first


def test_a_dry_run_counts_and_sends_nothing(generate, place):
    generate(asked(2), "--n", "2", "--temperature", "1")
    (place / "out.jsonl").unlink()
    status, out, _ = generate(asked(5), "--n", "2", "--temperature", "1", "--max-tokens", "100", "--dry-run")
    assert status == 0 and "Nothing was sent" in out
    figures = {line.rpartition("  ")[0].strip(): line.rpartition("  ")[2].strip() for line in out.splitlines()}
    assert figures["recorded already"] == "4" and figures["calls"] == "3"
    assert figures["tokens to write"] == "at most 600"
    assert not (place / "out.jsonl").exists()


def test_a_dry_run_makes_no_store(generate, place):
    generate(asked(2), "--dry-run")
    assert sorted(file.name for file in place.iterdir()) == ["prompts.jsonl", "rules.toml"]


def test_a_dry_run_of_a_priced_api_needs_no_key_and_tells_the_money(generate, place, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (place / "prices.toml").write_text('["some-model"]\ninput = 1.0\noutput = 1000.0\n')
    arguments = ("--dry-run", "--price-file", str(place / "prices.toml"), "--max-tokens", "100")
    status, out, _ = generate(asked(10), *arguments, model="openai:some-model")
    assert status == 0
    assert "at most 1\n" in out  # 10 × 100 tokens at 1000 a million, and a little for reading
    assert "unknown" in generate(asked(1), "--dry-run", model="openai:some-model")[1]


@pytest.mark.parametrize(("option", "limit"), [("--budget-calls", "4"), ("--budget-tokens", "300")])
def test_a_spent_budget_ends_the_run_and_keeps_what_is_done(generate, place, option, limit):
    status, out, err = generate(asked(20), option, limit, "--concurrency", "2")
    assert status == 1 and "budget" in err and "were not asked" in err
    got = output(place)
    done = [line for line in got if "answers" in line]
    assert 0 < len(done) < 20
    assert {line["error"]["kind"] for line in got if "error" in line} == {"not-asked"}
    status, out, _ = generate(asked(20))
    assert status == 0 and f"{len(done)} re-used" in out


def test_a_budget_of_money_is_kept(generate, place):
    name = main_name(place)
    (place / "prices.toml").write_text(f'["{name}"]\ninput = 0\noutput = 100000\n')
    prices = ("--price-file", str(place / "prices.toml"), "--max-tokens", "10", "--concurrency", "1")
    status, out, err = generate(asked(20), *prices, "--budget-money", "3")
    assert status == 1 and "budget of money" in err
    assert "cost 2." in out or "cost 1." in out or "cost 3" in out


def main_name(place):
    from tandem.lm import Scripted

    return Scripted.read(place / "rules.toml").name


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not an object"),
        ({}, "neither prompt nor messages"),
        ({"prompt": "a", "messages": []}, "both prompt and messages"),
        ({"prompt": ""}, "empty"),
        ({"prompt": 3}, "not a text"),
        ({"prompt": "a", "id": 1.5}, "id is 1.5"),
        ({"prompt": "a", "id": "first"}, "stands in line 1 already"),
        ({"prompt": "a", "answers": []}, "which the output needs"),
        ({"messages": "hello"}, "not a list"),
        ({"messages": [{"role": "user"}]}, "no role and content"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "'bot'"),
        ({"messages": [{"role": "user", "content": None}]}, "not a text"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, "prefill"),
        ({"messages": [{"role": "system", "content": "x"}]}, "end with the user"),
        ({"prompt": "a", "prefill": ["x"]}, "prefill"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_sent(generate, place, line, words):
    status, _, err = generate([{"prompt": "What is x?", "id": "first"}, line])
    assert status == 2
    assert f"{place}/prompts.jsonl:2" in err and words in err and "→" in err
    assert not (place / "out.jsonl").exists() and not (place / "out.jsonl.answers.db").exists()


def test_what_the_model_lacks_is_named_with_the_line(generate, place):
    (place / "poor.toml").write_text("[abilities]\nprefill = false\n" + RULES)
    lines = [*asked(1), {"prompt": "What is y?", "prefill": "Well"}]
    status, _, err = generate(lines, model=f"scripted:{place}/poor.toml")
    assert status == 2 and "prompts.jsonl:2" in err and "prefill" in err


def test_a_prompt_beyond_the_context_is_named_with_the_line(generate, place):
    (place / "short.toml").write_text("[abilities]\ncontext = 20\n" + RULES)
    lines = [*asked(1), {"prompt": "What is " + "y " * 30}]
    status, _, err = generate(lines, model=f"scripted:{place}/short.toml")
    assert status == 2 and "prompts.jsonl:2" in err and "in a context of 20" in err


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_prompts_is_refused(generate, content):
    status, _, err = generate([content] if content else [])
    assert status == 2 and "holds no prompts" in err


def test_a_missing_file_is_named(place, capsys):
    status = main(["generate", str(place / "none.jsonl"), "--out", str(place / "out.jsonl")])
    assert status == 2 and "no such file" in capsys.readouterr().err


def test_the_prompts_are_never_overwritten(generate, place):
    write(place / "prompts.jsonl", asked(1))
    path = str(place / "prompts.jsonl")
    assert main(["generate", path, "--out", path, "--model", f"scripted:{place}/rules.toml"]) == 2
    assert main(["generate", path, "--out", str(place), "--model", f"scripted:{place}/rules.toml"]) == 2


def test_a_compressed_file_with_a_byte_order_mark_is_read(place):
    file = place / "prompts.jsonl.gz"
    with gzip.open(file, "wb") as f:
        f.write(b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n{"prompt": "b", "id": "x"}')
    lines = list(prompt_file.read(file))
    assert [(line.number, line.id) for line in lines] == [(1, 1), (3, "x")]
    assert lines[0].prompt == Chat((Message("user", "a"),))
    assert next(prompt_file.read(file, plain=True)).prompt == Text("a")
    assert next(prompt_file.read(file, system="s")).prompt.messages[0] == Message("system", "s")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        list(prompt_file.read(file))


def test_a_wrong_key_ends_the_run_at_once(generate, place):
    (place / "key.toml").write_text('[[rule]]\nfails = "key"\n')
    status, _, err = generate(asked(50), model=f"scripted:{place}/key.toml")
    assert status == 1 and "fails on purpose" in err
    assert not (place / "out.jsonl").exists()


def command(place, *arguments):
    return [
        *(sys.executable, "-m", "tandem.cli.main", "generate", str(place / "prompts.jsonl")),
        *("--out", str(place / "out.jsonl"), "--model", f"scripted:{place}/rules.toml", *arguments),
    ]


@pytest.mark.parametrize("signalled", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_what_is_answered_when_the_run_ends_early_is_not_asked_again(place, signalled):
    write(place / "prompts.jsonl", [{"prompt": f"slow {i}"} for i in range(400)])
    run = subprocess.Popen(command(place, "--concurrency", "4"), stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 20
    recorded = 0
    while recorded < 20 and time.monotonic() < until:
        time.sleep(0.1)
        if (place / "out.jsonl.answers.db").exists():
            try:
                with Store(place / "out.jsonl.answers.db", read_only=True) as store:
                    recorded = sum(1 for _ in store.records())
            except UserError:
                continue
    run.send_signal(signalled)
    err = run.communicate(timeout=20)[1]
    assert not (place / "out.jsonl").exists()
    assert sorted(file.name for file in place.iterdir() if not file.name.startswith("out.jsonl.answers.db")) == [
        "prompts.jsonl",
        "rules.toml",
    ]
    if signalled == signal.SIGINT:
        assert run.returncode == 130 and "the same command continues" in err and "Traceback" not in err
    with Store(place / "out.jsonl.answers.db") as store:
        kept = sum(1 for _ in store.records())
    assert 20 <= kept < 400
    done = subprocess.run(command(place), capture_output=True, text=True)
    assert done.returncode == 0 and f"{kept} re-used" in done.stdout, done.stderr


def test_a_narrow_terminal_gets_one_line_that_fits(place):
    write(place / "prompts.jsonl", [{"prompt": f"slow {i}"} for i in range(40)])
    leader, follower = pty.openpty()
    environment = os.environ | {"COLUMNS": "24"}
    arguments = command(place, "--concurrency", "2")
    run = subprocess.Popen(arguments, stderr=follower, stdout=subprocess.DEVNULL, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 4096)
        except OSError:
            break
    assert run.wait(timeout=20) == 0
    os.close(leader)
    looks = shown.decode().split("\r\x1b[K")
    assert len(looks) > 3
    assert all(len(look) < 24 for look in looks[1:-1])


def test_what_is_no_regular_file_is_never_replaced(generate, place):
    pipe = place / "pipe"
    os.mkfifo(pipe)
    write(place / "prompts.jsonl", asked(1))
    arguments = ["generate", str(place / "prompts.jsonl"), "--model", f"scripted:{place}/rules.toml"]
    assert main([*arguments, "--out", str(pipe)]) == 2
    assert main(["generate", str(pipe), "--out", str(place / "out.jsonl")]) == 2
    assert pipe.is_fifo()


def test_a_folder_that_cannot_be_written_is_one_message(place):
    write(place / "prompts.jsonl", asked(1))
    (place / "file").write_text("")
    arguments = ["generate", str(place / "prompts.jsonl"), "--model", f"scripted:{place}/rules.toml"]
    done = subprocess.run(
        [sys.executable, "-m", "tandem.cli.main", *arguments, "--out", f"{place}/file/out.jsonl"],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr and f"{place}/file" in done.stderr


def test_memory_does_not_grow_with_slow_first_prompts(place):
    """The lines that wait for the first one stand on disk."""
    import asyncio

    from tandem.lm import Model, Rule, Scripted
    from tandem.lm.answer_file import answer_all
    from tandem.types import Sampling

    model = Model(Scripted([Rule(("late",), contains=("x0?",), delay=0.2), Rule(("y" * 1000,))]))
    write(place / "prompts.jsonl", asked(2000))

    async def run():
        return await answer_all(
            model, prompt_file.read(place / "prompts.jsonl"), Sampling(), 1, place / "out.jsonl", concurrent=8
        )

    assert asyncio.run(run()).done == 2000
    assert output(place)[0]["answers"][0]["text"] == "late"
    assert [line["prompt"] for line in output(place)] == [line["prompt"] for line in asked(2000)]
