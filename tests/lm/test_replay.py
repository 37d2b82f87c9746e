import asyncio
import contextlib

import pytest

from tandem.cli.main import main
from tandem.errors import CallFailed, UserError
from tandem.lm import Model, Rule, Scripted, connect
from tandem.lm.scripted import ABLE, Said
from tandem.store import Store
from tandem.types import LM, Abilities, Chat, Message, Sampling, Text

ASKED = Text("What is the capital of Lusta?")
WARM = Sampling(temperature=0.7, seed=3)


def run(work):
    return asyncio.run(work)


def ask(model, prompt=ASKED, sampling=WARM, samples=range(1)):
    return run(model.generate(prompt, sampling, samples))


@pytest.fixture
def record(tmp_path):
    """Ask a scripted model with a store; the file."""

    def recorded(backend, questions, allow=()):
        with Store(tmp_path / "answers.db") as store:

            async def all_of_them():
                async with Model(backend, store=store, allow=allow) as model:
                    for prompt, sampling, samples in questions:
                        with contextlib.suppress(CallFailed):
                            await model.generate(prompt, sampling, samples)
                    if backend.abilities.scoring:
                        await model.score(ASKED, [" Karo", " Miro"])

            run(all_of_them())
        return f"{tmp_path}/answers.db"

    return recorded


BACKEND = Scripted(
    [
        Rule(("Karo", "It is Karo."), contains=("Lusta",)),
        Rule((Said("No.", "refusal"),), contains=("secret",)),
        Rule(contains=("broken",), fails="server"),
        Rule(scores={" Karo": -0.25, " Miro": -2.0}),
    ]
)


@pytest.fixture
def replay(record):
    file = record(
        BACKEND, [(ASKED, WARM, range(2)), (Text("secret"), WARM, range(1)), (Text("broken"), WARM, range(1))]
    )
    return connect(f"replay:{file}")


def test_it_is_a_language_model_of_the_recorded_name(replay):
    assert isinstance(replay, LM)
    assert replay.name == BACKEND.name


def test_recorded_answers_come_back(replay):
    assert [answer.text for answer in ask(replay, samples=range(2))] == ["Karo", "It is Karo."]
    assert [answer.text for answer in ask(replay, samples=range(1, 2))] == ["It is Karo."]


def test_refusals_and_failures_come_back_as_what_they_are(replay):
    assert ask(replay, Text("secret"))[0].finish == "refusal"
    with pytest.raises(CallFailed) as error:
        ask(replay, Text("broken"))
    assert error.value.kind == "server"


def test_recorded_scores_come_back_and_others_do_not(replay):
    assert [score.logprob for score in run(replay.score(ASKED, [" Miro", " Karo"]))] == [-2.0, -0.25]
    with pytest.raises(CallFailed, match=r"' Tama'.*What is the capital") as error:
        run(replay.score(ASKED, [" Karo", " Tama"]))
    assert "' Karo'" in str(error.value)


def test_at_temperature_0_one_answer_serves_all_samples(record):
    file = record(BACKEND, [(ASKED, Sampling(), range(1))])
    assert [answer.text for answer in ask(connect(f"replay:{file}"), sampling=Sampling(), samples=range(3))] == [
        "Karo"
    ] * 3


def test_a_miss_names_the_request_and_what_is_recorded_of_it(replay):
    with pytest.raises(CallFailed) as error:
        ask(replay, samples=range(4))
    assert error.value.kind == "not-recorded"
    assert "sample 2, 3 of “What is the capital of Lusta?”" in str(error.value)
    assert "temperature=0.7" in str(error.value) and "seed=3" in str(error.value)
    assert "sample 0 (stop" in str(error.value)


def test_a_miss_names_another_sampling_of_the_same_prompt(replay):
    with pytest.raises(CallFailed, match=r'this prompt is recorded with: .*"seed": 3'):
        ask(replay, sampling=Sampling(temperature=0.7, seed=4))


def test_a_miss_names_the_nearest_prompt(replay):
    with pytest.raises(CallFailed, match="nearest recorded prompt: “What is the capital of Lusta"):
        ask(replay, Text("What is the capital of Tama?"))


def test_only_the_first_misses_are_explained(replay):
    messages = []
    for n in range(6):
        with pytest.raises(CallFailed) as error:
            ask(replay, Text(f"What is the capital of Tama {n}?"))
        messages.append(str(error.value))
    assert [("nearest" in message) for message in messages] == [True] * 3 + [False] * 3


def test_a_long_prompt_is_named_by_its_beginning_and_end(replay):
    prompt = Chat((Message("user", "Begin " + "word " * 500 + "end"),))
    with pytest.raises(CallFailed) as error:
        ask(replay, prompt)
    assert "user: Begin" in error.value.problem and "word end" in error.value.problem
    assert len(error.value.problem) < 400


def test_answers_under_a_policy_come_back_under_the_same_policy(record):
    abilities = Abilities(**{**ABLE.__dict__, "temperature": False, "presence_penalty": False, "scoring": False})
    backend = Scripted({"": ["one", "two"]}, abilities=abilities)
    allow = ("own-temperature", "without-presence-penalty", "calls-for-samples")
    sampling = Sampling(temperature=0.7, presence_penalty=0.5)
    file = record(backend, [(ASKED, sampling, range(2))], allow)
    assert [a.text for a in ask(connect(f"replay:{file}", allow=allow), sampling=sampling, samples=range(2))] == [
        "one",
        "two",
    ]
    with pytest.raises(CallFailed):
        ask(connect(f"replay:{file}"), sampling=sampling)


def test_an_export_is_replayed_like_the_store(record, tmp_path, capsys):
    file = record(BACKEND, [(ASKED, WARM, range(2))])
    assert main(["answers", "export", file, "--out", str(tmp_path / "answers.jsonl")]) == 0
    model = connect(f"replay:{tmp_path}/answers.jsonl")
    assert [answer.text for answer in ask(model, samples=range(2))] == ["Karo", "It is Karo."]
    folder = model.backend.store.path.parent
    assert folder.exists()
    run(model.close())
    assert not folder.exists()


def test_a_bad_line_of_an_export_is_named(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"kind": "stop"}\n')
    with pytest.raises(UserError, match=r"bad.jsonl:1"):
        connect(f"replay:{tmp_path}/bad.jsonl")


def test_a_file_without_answers_is_refused(tmp_path):
    Store(tmp_path / "empty.db").close()
    (tmp_path / "empty.jsonl").write_text("")
    for name in ("empty.db", "empty.jsonl"):
        with pytest.raises(UserError, match="holds no recorded answers"):
            connect(f"replay:{tmp_path}/{name}")


def test_of_several_models_one_is_to_be_named(record):
    record(BACKEND, [(ASKED, WARM, range(1))])
    file = record(Scripted([Rule(("else",), scores={" Karo": -1.0, " Miro": -1.0})]), [(ASKED, WARM, range(1))])
    with pytest.raises(UserError, match="answers of 2 models") as error:
        connect(f"replay:{file}")
    assert BACKEND.name in str(error.value)
    assert ask(connect(f"replay:{file}#{BACKEND.name}"))[0].text == "Karo"
    with pytest.raises(UserError, match="did you mean scripted-"):
        connect(f"replay:{file}#{BACKEND.name[:-1]}x")


def test_a_run_replays_without_its_model(record, tmp_path, capsys):
    (tmp_path / "rules.toml").write_text('[[rule]]\nanswers = ["a", "b"]\n')
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "x"}\n{"prompt": "y"}\n')
    arguments = ["generate", str(tmp_path / "prompts.jsonl"), "--n", "2", "--temperature", "1"]
    first = [*arguments, "--out", str(tmp_path / "first.jsonl"), "--model", f"scripted:{tmp_path}/rules.toml"]
    assert main(first) == 0
    store = tmp_path / "first.jsonl.answers.db"
    again = [*arguments, "--out", str(tmp_path / "again.jsonl"), "--model", f"replay:{store}"]
    assert main(again) == 0
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "first.jsonl").read_bytes()
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "x"}\n{"prompt": "z"}\n')
    assert main(again) == 1
    assert "not-recorded" in capsys.readouterr().err
