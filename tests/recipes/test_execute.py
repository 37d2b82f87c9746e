"""Whole runs of a tiny recipe, as a user starts them: in processes of their own, killed, continued, compared."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tandem.cli.main import main
from tandem.runs import file_hash, read_events, read_results

RECIPE = """
name = "tiny"
title = "A tiny run"
seed = 3
[world]
facts = 300
[sources.world]
path = "world:passages"
validation = 0.2
[sources.notes]
path = "{notes}"
validation = 0.2
[tokenizer]
vocabulary = 400
[model]
layers = 2
width = 32
heads = 2
context = 128
[mixture.first]
world = {{ share = 0.75 }}
notes = {{ share = 0.25 }}
[mixture.second]
"mixture:first" = {{ share = 0.5 }}
notes = {{ share = 0.5 }}
[schedule]
peak = 1e-2
warmup = 4
[[stage]]
name = "short"
mixture = "first"
context = 32
tokens = 8_192
batch = 256
[[stage]]
name = "long"
mixture = "second"
context = 64
tokens = 4_096
batch = 256
[training]
checkpoint_seconds = 0.05
[tuning]
data = "world"
items = 400
epochs = 1
context = 128
batch = 512
peak = 1e-2
held_out = {{ instances = 0.2, tasks = 1, types = 1 }}
[evaluation]
validation_tokens = 2_000
choices = 20
per_task = 2
max_tokens = 8
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    notes = folder / "notes"
    notes.mkdir()
    words = [
        "the",
        "mill",
        "stands",
        "near",
        "a",
        "river",
        "and",
        "its",
        "wheel",
        "turns",
        "slowly",
        "in",
        "summer",
        "but",
        "never",
        "in",
        "winter",
    ]
    rng = random.Random(1)
    for i in range(60):
        (notes / f"{i}.txt").write_text(" ".join(rng.choice(words) for _ in range(rng.randrange(20, 200))))
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(notes=notes))
    return path


def command(recipe, out, *more):
    return [sys.executable, "-m", "tandem.cli.main", "run", str(recipe), "--out", str(out), "--threads", "1", *more]


def run(recipe, out, *more):
    # One thread in each process: tests share their two cores.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command(recipe, out, *more), capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    done = run(recipe, out)
    assert done.returncode == 0, done.stderr
    return out


def without_clock(out):
    """Hashes of everything a run leaves but its events and the page that shows their clock."""
    files = sorted(p for p in out.rglob("*") if p.is_file())
    return {
        str(p.relative_to(out)): file_hash(p) for p in files if p.name not in {"events.jsonl", "report.html", ".lock"}
    }


def test_a_run_leaves_models_results_and_a_report(whole):
    results = read_results(whole)
    assert {s.key for s in results.sections} >= {"examples", "evaluation", "loss", "position", "mixture", "tokenizer"}
    assert (whole / "report.html").read_text().startswith("<!doctype html>")
    assert not list(whole.glob("*.tmp")) and not list(whole.glob("*.work"))
    assert (whole / "06-tune/model/model.safetensors").exists()
    items = [json.loads(line) for line in (whole / "07-evaluate/items.jsonl").read_text().splitlines()]
    assert [i["id"] for i in items] == sorted(i["id"] for i in items)
    assert {i["kind"] for i in items} == {"choice", "held-out instances", "held-out tasks", "held-out types"}


def test_nothing_that_tuning_saw_is_held_out(whole):
    split = json.loads((whole / "06-tune/splits.json").read_text())
    train = set(split["train"])
    assert train and split["instances"] and split["tasks"] and split["types"]
    assert not train & {*split["instances"], *split["tasks"], *split["types"]}


def test_a_second_stage_goes_on_where_each_source_stopped(whole):
    first = json.loads((whole / "04-train-short/mixture.json").read_text())
    second = json.loads((whole / "05-train-long/mixture.json").read_text())
    for source in first:
        assert second[source]["offset_tokens"] == first[source]["offset_tokens"] + second[source]["tokens"]


def test_the_published_model_is_read_by_transformers(whole):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder = whole / "06-tune/model"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Who wrote it?"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "Human: Who wrote it? ### Assistant:"
    with torch.no_grad():
        logits = model(**tokenizer(text, return_tensors="pt")).logits
    assert logits.shape[-1] == model.config.vocab_size and torch.isfinite(logits).all()


def test_running_a_finished_recipe_again_changes_nothing(recipe, whole):
    before = without_clock(whole)
    done = run(recipe, whole)
    assert done.returncode == 0
    assert done.stdout.count("stands already") == 7
    assert without_clock(whole) == before


def test_a_changed_recipe_in_the_same_folder_is_refused_with_the_difference(recipe, whole):
    done = run(recipe, whole, "--set", "seed=4")
    assert done.returncode == 2
    assert "-seed = 3" in done.stderr and "+seed = 4" in done.stderr


def test_ctrl_c_leaves_a_run_that_continues(recipe, whole, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(command(recipe, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: any(e.get("stage") == "04-train-short" for e in read_events(out)), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "continues" in errors and "Traceback" not in errors
    assert run(recipe, out).returncode == 0
    assert without_clock(out) == without_clock(whole)


def until(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_at_ten_random_moments_a_run_ends_as_if_nothing_had_happened(recipe, whole, tmp_path):
    out = tmp_path / "run"
    rng = random.Random(5)
    kills = 0
    while kills < 10:
        process = subprocess.Popen(command(recipe, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        events = len(read_events(out))
        until(lambda events=events: len(read_events(out)) > events, process)
        time.sleep(rng.uniform(0.0, 1.5))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    print(f"killed {kills} times of 10")
    assert kills >= 3, f"only {kills} of 10 kills landed before the run ended: the recipe is too short to be killed in"
    done = run(recipe, out)
    assert done.returncode == 0, done.stderr
    assert without_clock(out) == without_clock(whole)


def test_every_other_way_to_train_runs_too(recipe, tmp_path):
    """bf16 products, attention over whole rows, another architecture, an adapter instead of full tuning."""
    changes = [
        "model.precision=bf16", "model.documents=false", "model.parallel=true", "model.activation=gelu",
        "model.norm=layer", "model.tied=true", "tuning.lora={rank=2}", "tuning.template=fastchat",
        "training.skip_spikes=true",
    ]  # fmt: skip
    done = run(recipe, tmp_path / "run", *(part for change in changes for part in ("--set", change)))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/06-tune/adapter/adapter_model.safetensors").exists()
    # The long system line leaves no room for some prompts in 128 tokens: they are counted, not swallowed.
    measured = json.loads((tmp_path / "run/07-evaluate/measured.json").read_text())
    assert sum(measured["left out"].values()) > 0
    assert "does not fit" in (tmp_path / "run/report.html").read_text()


def test_a_missing_source_stops_a_run_before_it_begins(recipe, tmp_path):
    done = run(recipe, tmp_path / "run", "--set", "sources.notes.path=/nowhere/at/all")
    assert done.returncode == 2
    assert "sources.notes.path" in done.stderr and "/nowhere/at/all" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_a_usage_error(recipe, tmp_path):
    done = run(recipe, tmp_path / "run", "--device", "cuda:99")
    assert done.returncode == 2
    assert "--device cuda:99" in done.stderr


def test_a_training_that_diverges_ends_with_what_to_do(recipe, tmp_path):
    done = run(recipe, tmp_path / "run", "--set", "schedule.peak=1e6", "--set", "schedule.warmup=1")
    assert done.returncode == 1, done.stderr
    assert "has not been finite" in done.stderr and "Traceback" not in done.stderr
    decisions = [e for e in read_events(tmp_path / "run") if e["event"] == "decision"]
    assert {"not finite"} <= {d["what"] for d in decisions}


def test_one_window_of_held_out_text_gives_a_loss_without_an_interval(recipe, tmp_path):
    done = run(recipe, tmp_path / "run", "--set", "evaluation.validation_tokens=1")
    assert done.returncode == 0, done.stderr
    losses = json.loads((tmp_path / "run/05-train-long/losses.json").read_text())
    assert losses and all(loss["nats_per_token"]["low"] is None for loss in losses)


def test_conversations_that_cannot_be_split_stop_a_run_before_it_trains(recipe, tmp_path):
    out = tmp_path / "run"
    done = run(recipe, out, "--set", "tuning.held_out.types=50")
    assert done.returncode == 2
    assert "tuning.held_out.types" in done.stderr
    assert [p.name for p in out.iterdir() if p.is_dir()] == ["01-world"]


def test_a_context_that_no_conversation_fits_into_stops_a_run_before_it_trains(recipe, tmp_path):
    out = tmp_path / "run"
    done = run(recipe, out, "--set", "tuning.context=8", "--set", "tuning.batch=16")
    assert done.returncode == 2
    assert "tuning.context" in done.stderr and "fits into 8 tokens" in done.stderr
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["01-world", "02-tokenizer"]


@pytest.mark.parametrize("flags", [("--threads", "0"), ("--threads", "-3"), ("--device", "meta"), ("--device", "hpu")])
def test_threads_and_devices_that_cannot_compute_are_usage_errors(recipe, tmp_path, flags):
    done = run(recipe, tmp_path / "run", *flags)
    assert done.returncode == 2, done.stderr
    assert flags[0] in done.stderr
    assert not (tmp_path / "run").exists()


def tune(model, data, out, *more):
    words = ["tune", "--model", str(model), "--data", str(data), "--out", str(out), "--threads", "1", *more]
    return subprocess.run([sys.executable, "-m", "tandem.cli.main", *words], capture_output=True, text=True)


def test_data_mended_after_an_error_goes_into_the_same_folder(whole, tmp_path):
    chat = [{"messages": [{"role": r, "content": "a"} for r in ("user", "assistant")]}] * 4
    data, out = tmp_path / "chat.jsonl", tmp_path / "tuned"
    data.write_text("\n".join(json.dumps(c) for c in [*chat, {"messages": chat[0]["messages"][::-1]}]))
    refused = tune(whole, data, out, "--epochs", "1")
    assert refused.returncode == 2 and f"{data}:5" in refused.stderr
    data.write_text("\n".join(json.dumps(c) for c in chat))
    mended = tune(whole, data, out, "--epochs", "1")
    assert mended.returncode == 0, mended.stderr
    assert (out / "01-tune/model/model.safetensors").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--epochs", "nan"),
        ("--rows", "0"),
        ("--peak", "-1"),
        ("--peak", "0"),
        ("--held-out", "1"),
        ("--dropout", "0.5"),
        ("--lora", "-4"),
        ("--context", "-1"),
    ],
)
def test_a_flag_of_tuning_that_makes_no_sense_is_named(flags, tmp_path, capsys):
    data = tmp_path / "chat.jsonl"
    data.write_text("{}\n")
    assert main(["tune", "--model", str(tmp_path), "--data", str(data), "--out", str(tmp_path / "o"), *flags]) == 2
    assert f"tandem tune: {flags[0]}:" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", ["05-train-long/losses.json", "05-train-long/history.json"])
def test_a_torn_file_of_a_finished_stage_is_named_with_what_to_remove(recipe, whole, tmp_path, name):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    with (out / name).open("r+b") as file:
        file.truncate(10)
    done = run(recipe, out)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert str(out / name) in done.stderr and f"remove {(out / name).parent}" in done.stderr
    shutil.rmtree((out / name).parent)
    assert run(recipe, out).returncode == 0
    assert without_clock(out) == without_clock(whole)


@pytest.mark.parametrize(
    ("name", "later"),
    [
        ("03-corpus/notes/train/tokens.bin", "0[4-7]-*"),
        ("05-train-long/model/model.safetensors", "0[67]-*"),
    ],
)
def test_what_a_run_made_and_lost_is_named_with_the_folder_to_remove(recipe, whole, tmp_path, name, later):
    out = tmp_path / "run"
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns(later))
    with (out / name).open("r+b") as file:
        file.truncate(10)
    done = run(recipe, out)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    stage = out / name.split("/")[0]
    assert str(out / name) in done.stderr and f"remove {stage}, then run the recipe again" in done.stderr
    assert "corpus build" not in done.stderr and "download" not in done.stderr


def test_torn_moments_of_an_optimiser_are_named(recipe, whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns("05-*", "06-*", "07-*"))
    with (out / "04-train-short/optimiser.safetensors").open("r+b") as file:
        file.truncate(100)
    done = run(recipe, out)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert str(out / "04-train-short/optimiser.safetensors") in done.stderr
