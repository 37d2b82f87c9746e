import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from tandem.cli.main import main

RULES = """
[[rule]]
contains = "capital of Lusta"
answers = ["Karo", "It is Karo."]

[[rule]]
contains = ["system: Be brief", "assistant: The town"]
answers = [" of Karo"]

[[rule]]
contains = "secret"
answers = [{ text = "I would rather not say.", finish = "refusal" }]

[[rule]]
contains = "broken"
fails = "server"

[[rule]]
contains = "many words"
answers = ["one two three four"]

[[rule]]
matches = "^Once upon"
answers = [" a time"]
"""


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "rules.toml").write_text(RULES)
    return f"scripted:{tmp_path}/rules.toml"


@pytest.fixture
def ask(rules, capsys):
    def run(*arguments):
        status = main(["ask", "--model", rules, *arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return run


def test_the_answer_is_printed_and_nothing_else_is_on_standard_output(ask):
    assert ask("What is the capital of Lusta?") == (0, "Karo\n", "")


def test_a_question_needs_no_quotes(ask):
    assert ask("the", "capital", "of", "Lusta")[1] == "Karo\n"


def test_without_a_question_standard_input_is_read(ask, monkeypatch):
    for arguments in ((), ("-",)):
        monkeypatch.setattr("sys.stdin", io.StringIO("the capital of Lusta\n"))
        assert ask(*arguments)[1] == "Karo\n"


@pytest.mark.parametrize("words", ["", "  \n"])
def test_an_empty_question_is_refused(ask, monkeypatch, words):
    monkeypatch.setattr("sys.stdin", io.StringIO(words))
    status, out, err = ask()
    assert (status, out) == (2, "")
    assert "the question is empty" in err


def test_several_answers_are_numbered(ask):
    status, out, _ = ask("capital of Lusta", "--n", "2", "--temperature", "1")
    assert status == 0
    assert out.index("── 1 ") < out.index("Karo\n") < out.index("── 2 ") < out.index("It is Karo.")


def test_several_answers_at_temperature_0_are_pointed_out(ask):
    assert "--temperature 0.8" in ask("capital of Lusta", "--n", "2")[2]


def test_log_probabilities_are_listed_by_token(ask):
    out = ask("capital of Lusta", "--logprobs")[1]
    assert out == "Karo\n    -1.0000  'Karo'\n"


def test_system_and_prefill_are_part_of_the_conversation(ask):
    assert ask("Where?", "--system", "Be brief", "--prefill", "The town")[1] == "of Karo\n"


def test_a_plain_text_is_continued(ask):
    assert ask("--text", "Once upon")[1] == "a time\n"


@pytest.mark.parametrize("option", ["--system", "--prefill"])
def test_a_plain_text_takes_nothing_of_a_conversation(ask, option):
    status, _, err = ask("--text", "Once upon", option, "x")
    assert status == 2 and option in err


def test_a_refusal_is_printed_and_told_by_the_status(ask):
    status, out, err = ask("the secret")
    assert (status, out) == (1, "I would rather not say.\n")
    assert "refusal" in err


def test_a_failure_is_one_message_without_a_traceback(ask):
    status, out, err = ask("broken")
    assert (status, out) == (1, "")
    assert "fails on purpose" in err and "Traceback" not in err


def test_an_answer_that_was_cut_says_so(ask):
    status, out, err = ask("many words", "--max-tokens", "2")
    assert (status, out) == (0, "one two\n")
    assert "2 tokens" in err and "--max-tokens" in err


def test_a_stop_text_may_be_written_with_an_escape(ask):
    assert ask("many words", "--stop", " three")[1] == "one two\n"


@pytest.mark.parametrize(
    ("option", "value"), [("--max-tokens", "0"), ("--n", "0"), ("--top-p", "0"), ("--top-p", "2"), ("--stop", "")]
)
def test_a_sampling_that_cannot_be_is_named_by_its_option(ask, option, value):
    status, _, err = ask("capital of Lusta", option, value)
    assert status == 2 and option in err


@pytest.mark.parametrize("value", ["-1", "nan", "hot"])
def test_a_temperature_that_is_none_is_a_usage_error(rules, value, capsys):
    with pytest.raises(SystemExit) as error:
        main(["ask", "--model", rules, "capital of Lusta", "--temperature", value])
    assert error.value.code == 2
    assert "--temperature" in capsys.readouterr().err


def test_a_recorded_answer_is_not_asked_again(ask, tmp_path):
    store = str(tmp_path / "answers.db")
    assert ask("capital of Lusta", "--store", store)[1] == "Karo\n"
    status = main(["ask", "--model", f"replay:{store}", "capital of Lusta"])
    assert status == 0


def test_an_unknown_model_is_answered_with_the_forms(capsys):
    assert main(["ask", "--model", "bla", "hello"]) == 2
    assert "local:DIR" in capsys.readouterr().err


def test_torch_is_not_loaded_for_a_model_that_needs_none(rules):
    code = (
        "import sys; from tandem.cli.main import main; "
        f"main(['ask', '--model', {rules!r}, 'the capital of Lusta']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Karo\n"), done.stderr


def on_terminal(arguments, columns=80, stdout=subprocess.PIPE):
    """What a command writes on standard error when that is a terminal so wide, and on standard output."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    out = follower if stdout is None else stdout
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    run = subprocess.Popen(
        [sys.executable, "-m", "tandem.cli.main", *arguments], stderr=follower, stdout=out, env=environment
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            if not (part := os.read(leader, 4096)):
                break
        except OSError:
            break
        shown += part
    os.close(leader)
    return run.wait(timeout=30), shown.decode(), run.stdout.read().decode() if run.stdout else ""


@pytest.mark.parametrize("columns", [8, 40])
def test_what_is_waited_for_never_wraps(tmp_path, columns):
    folder = tmp_path / "a-folder-with-a-rather-long-name-of-its-own"
    folder.mkdir()
    (folder / "rules.toml").write_text(RULES)
    status, shown, out = on_terminal(["ask", "--model", f"scripted:{folder}/rules.toml", "capital of Lusta"], columns)
    assert (status, out) == (0, "Karo\n")
    waited = [look for look in shown.split("\r\x1b[K") if "…" in look]
    assert len(waited) == 2 and all(len(look) < columns for look in waited)
    assert columns < 40 or waited[0].endswith("its-own/rules.toml …")


@pytest.mark.slow
def test_the_embedded_model_answers_without_being_named(capsys):
    from tandem.lm import embedded

    if not embedded.available():
        pytest.skip(f"the embedded model is not installed: {embedded.INSTALL}")
    assert main(["ask", "What is the capital of France?", "--max-tokens", "12"]) == 0
    assert "Paris" in capsys.readouterr().out
