"""`tandem tune` and `tandem chat` on a small model folder, as a user starts them."""

import json

import pytest
from safetensors.numpy import load_file

from tandem import decoder, tokenizer
from tandem.cli.main import main
from tandem.decoder import Decoder, Shape
from tandem.runs import read_results

QUESTIONS = {"red": "What colour is a tomato?", "green": "What colour is grass?", "blue": "What colour is the sky?"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A fresh little model with a tokenizer and a chat template, as a Hugging Face folder."""
    from tandem.train.templates import CHAT_TEMPLATES

    folder = tmp_path_factory.mktemp("model")
    text = [f"Human: {q} ### Assistant: {a}. " * 5 for a, q in QUESTIONS.items()]
    made = tokenizer.train(text, 320)
    made.chat_template = CHAT_TEMPLATES["xgen"]
    shape = Shape(
        vocabulary=made.vocabulary, layers=2, width=32, heads=2, kv_heads=2, head_width=16, mlp_width=64, context=64,
        eos=made.end, pad=made.pad,
    )  # fmt: skip
    decoder.save(Decoder(shape, seed=1), folder)
    made.save(folder)
    return folder


def record(form, question, answer):
    if form == "alpaca":
        return {"instruction": question, "input": "", "output": answer}
    if form == "sharegpt":
        return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def chat_file(path, *, form="chat", rows=60):
    items = list(QUESTIONS.items()) * (rows // 3)
    lines = [json.dumps(record(form, f"{question} ({i})", answer)) for i, (answer, question) in enumerate(items)]
    path.write_text("".join(line + "\n" for line in lines))
    return str(path)


def tune(model, data, out, *more):
    arguments = ["tune", "--model", f"hf:{model}", "--data", data, "--out", str(out), "--device", "cpu"]
    return main([*arguments, "--context", "64", "--rows", "4", "--peak", "5e-3", "--held-out", "0.2", *more])


def held_out_losses(out):
    return [figure.value for figure in read_results(out).headline]


@pytest.mark.parametrize("form", ["chat", "alpaca", "sharegpt"])
def test_tuning_lowers_the_loss_on_held_out_answers_whatever_the_form_of_the_data(model, tmp_path, form):
    data = chat_file(tmp_path / "data.jsonl", form=form)
    assert tune(model, data, tmp_path / "out", "--epochs", "8") == 0
    before, after = held_out_losses(tmp_path / "out")
    assert after < 0.5 * before


def test_an_adapter_is_kept_beside_the_merged_model_and_gives_the_same_answers(model, tmp_path, capsys):
    data = chat_file(tmp_path / "data.jsonl")
    assert tune(model, data, tmp_path / "out", "--lora", "4", "--epochs", "8", "--peak", "2e-2") == 0
    before, after = held_out_losses(tmp_path / "out")
    assert after < before
    assert json.loads((tmp_path / "out/01-tune/adapter/adapter_config.json").read_text())["r"] == 4
    base = load_file(model / "model.safetensors")
    merged = load_file(tmp_path / "out/01-tune/model/model.safetensors")
    assert (base["model.embed_tokens.weight"] == merged["model.embed_tokens.weight"]).all()
    capsys.readouterr()
    answers = []
    for arguments in ([str(tmp_path / "out")], [str(model), "--adapter", str(tmp_path / "out/01-tune/adapter")]):
        assert main(["chat", *arguments, "--prompt", QUESTIONS["red"] + " (3)", "--max-tokens", "8"]) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]


def test_the_same_command_again_does_not_tune_twice(model, tmp_path, capsys):
    data = chat_file(tmp_path / "data.jsonl", rows=30)
    assert tune(model, data, tmp_path / "out", "--epochs", "1") == 0
    first = (tmp_path / "out/01-tune/model/model.safetensors").read_bytes()
    capsys.readouterr()
    assert tune(model, data, tmp_path / "out", "--epochs", "1") == 0
    assert "stands already" in capsys.readouterr().out
    assert (tmp_path / "out/01-tune/model/model.safetensors").read_bytes() == first


def test_other_data_in_the_same_folder_is_refused(model, tmp_path, capsys):
    assert tune(model, chat_file(tmp_path / "a.jsonl", rows=30), tmp_path / "out", "--epochs", "1") == 0
    assert tune(model, chat_file(tmp_path / "b.jsonl", rows=33), tmp_path / "out", "--epochs", "1") == 2
    assert "b.jsonl" in capsys.readouterr().err


def test_roles_out_of_order_stop_the_tuning_with_their_line_or_are_counted(model, tmp_path, capsys):
    data = chat_file(tmp_path / "data.jsonl", rows=30)
    with (tmp_path / "data.jsonl").open("a") as f:
        f.write(json.dumps({"messages": [{"role": "assistant", "content": "hello"}]}) + "\n")
    assert tune(model, data, tmp_path / "out", "--epochs", "1") == 2
    error = capsys.readouterr().err
    assert "data.jsonl:31" in error and "Traceback" not in error
    assert not (tmp_path / "out/01-tune").exists()
    assert tune(model, data, tmp_path / "out2", "--epochs", "1", "--on-bad", "skip") == 0
    assert "1 skipped" in capsys.readouterr().out


def test_chat_answers_each_line_of_its_input(model, capsys, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("What colour is grass?\n\n/new\nAnd the sky?\n"))
    assert main(["chat", str(model), "--max-tokens", "4"]) == 0
    assert capsys.readouterr().out.count("\n") == 2


def test_chat_says_where_it_found_no_model(tmp_path, capsys):
    assert main(["chat", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err
    assert main(["chat", str(tmp_path / "nowhere")]) == 2
