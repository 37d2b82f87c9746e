"""`tandem evaluate` beside `lm_eval`, both as whole commands: start, data, prompts, model, scores, results on disk.

    python benchmarks/evaluating.py mmlu --data FOLDER [--items 200]     # five shots, whole subjects
    python benchmarks/evaluating.py arc --data FOLDER [--items 200]      # ARC-Challenge, no shots

Same rows, prompts, weights (the embedded model, as a folder) and threads. The harness reads its own task files, with
the rows beside them; ours runs twice, in float32 and as it loads the model by default. Wall and processor seconds of
each whole process, interleaved over `--rounds`, medians told. Also told: items whose prediction differs from the
harness's, and the largest difference of a log-probability. The package lm_eval has to be there (`--peer-python`).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from contest import load

from tandem.lm import embedded

Row = dict[str, Any]
LETTERS = "ABCDE"
PEER = """
import json, sys, yaml, lm_eval
from pathlib import Path
from lm_eval.tasks._yaml_loader import load_yaml
wanted = json.loads(sys.argv[1])
for name, (file, changes) in wanted.items():
    config = load_yaml(Path(lm_eval.__file__).parent / "tasks" / file)
    for key in ("tag", "group", "dataset_name", "include"):
        config.pop(key, None)
    config |= changes | {"task": name}
    Path(sys.argv[2], f"{name}.yaml").write_text(yaml.safe_dump(config))
"""


def rows(file: Path) -> list[Row]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write(file: Path, kept: list[Row]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return str(file)


def prepare(task: str, data: Path, wanted: int, folder: Path) -> tuple[list[str], dict[str, Any], int]:
    """Files of the rows for both; our task names, the harness's tasks, the number of items."""
    if task == "arc":
        kept = rows(data / "arc_challenge_test.jsonl.gz")[:wanted]
        write(folder / "arc_challenge_test.jsonl", kept)
        hub = [
            {
                "question": row["question"],
                "choices": {"text": row["choices"], "label": list(LETTERS[: len(row["choices"])])},
                "answerKey": LETTERS[row["answer"]],
            }
            for row in kept
        ]
        files = {"test": write(folder / "hub_arc.jsonl", hub)}
        changes = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "num_fewshot": 0}
        changes |= {"training_split": None, "validation_split": None, "fewshot_split": None}
        return ["arc_challenge"], {"race_arc_challenge": ("arc/arc_challenge.yaml", changes)}, len(kept)
    chosen: list[str] = []
    test: list[Row] = []
    for row in rows(data / "mmlu_test.jsonl.gz"):
        if row["subject"] not in chosen:
            if len(test) >= wanted:
                break
            chosen.append(row["subject"])
        test.append(row)
    dev = [row for row in rows(data / "mmlu_dev.jsonl.gz") if row["subject"] in chosen]
    write(folder / "mmlu_test.jsonl", test)
    write(folder / "mmlu_dev.jsonl", dev)
    tasks = {}
    for subject in chosen:
        files = {
            split: write(folder / f"hub_{subject}_{split}.jsonl", [row for row in part if row["subject"] == subject])
            for split, part in (("test", test), ("dev", dev))
        }
        changes = {"dataset_path": "json", "dataset_kwargs": {"data_files": files}, "num_fewshot": 5}
        tasks[f"race_{subject}"] = (f"mmlu/default/mmlu_{subject}.yaml", changes)
    return [f"mmlu_{subject}" for subject in chosen], tasks, len(test)


def timed(command: list[str], environment: dict[str, str], log: Path) -> tuple[float, float]:
    """Wall and processor seconds of a command. Ends the run where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    with log.open("w") as out:
        status = subprocess.run(command, env=environment, stdout=out, stderr=subprocess.STDOUT).returncode
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status:
        raise SystemExit(f"{' '.join(command[:4])} ended with {status}; see {log}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ours(out: Path, tasks: list[str]) -> list[list[float]]:
    found = []
    for task in tasks:
        for line in (out / f"{task}-items.jsonl").read_text().splitlines():
            found.append((task, json.loads(line)["logprobs"]))
    return [logprobs for _, logprobs in found]


def theirs(out: Path, tasks: list[str]) -> list[list[float]]:
    found: list[list[float]] = []
    for task in tasks:
        (file,) = out.rglob(f"samples_{task}_*.jsonl")
        docs = sorted((json.loads(line) for line in file.read_text().splitlines()), key=lambda doc: int(doc["doc_id"]))
        found += [[float(response[0]) for response in doc["filtered_resps"]] for doc in docs]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("mmlu", "arc"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer-batch", default="8")
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has lm_eval")
    options = parser.parse_args()
    model = str(embedded.folder())
    environment = os.environ | {
        "OMP_NUM_THREADS": str(os.cpu_count()),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tasks, peer_tasks, n = prepare(options.task, options.data, options.items, folder)
        (folder / "tasks").mkdir()
        subprocess.run(
            [options.peer_python, "-c", PEER, json.dumps(peer_tasks), str(folder / "tasks")],
            check=True,
            env=environment,
        )
        tandem = [str(Path(sys.executable).with_name("tandem")), "evaluate", "--tasks", ",".join(tasks)]
        tandem += [
            "--shots",
            "5" if options.task == "mmlu" else "0",
            "--data",
            str(folder),
            "--model",
            f"local:{model}",
        ]
        peer = [options.peer_python, "-m", "lm_eval", "--model", "hf", "--device", "cpu", "--log_samples"]
        peer += [
            "--model_args",
            f"pretrained={model},dtype=float32,max_length=8192",
            "--batch_size",
            options.peer_batch,
        ]
        peer += ["--include_path", str(folder / "tasks"), "--tasks", ",".join(peer_tasks)]
        contenders = {
            "tandem": [*tandem, "--out", str(folder / "auto")],
            "tandem fp32": [*tandem, "--precision", "fp32", "--out", str(folder / "fp32")],
            "lm-eval": [*peer, "--output_path", str(folder / "peer")],
        }
        turns: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for turn in range(options.rounds):
            for name, command in contenders.items():
                for old in folder.iterdir():
                    if old.name.split(".")[0] == Path(command[-1]).name:
                        shutil.rmtree(old) if old.is_dir() else old.unlink()
                turns[name].append(timed(command, environment, folder / f"{name.replace(' ', '-')}.log"))
                print(f"  round {turn + 1}: {name} {turns[name][-1][0]:.1f} s", file=sys.stderr, flush=True)
        print(f"{options.task}, {n} items, {load()}")
        slowest = statistics.median(wall for wall, _ in turns["lm-eval"])
        for name, took in turns.items():
            wall, cpu = (statistics.median(each) for each in zip(*took, strict=True))
            print(f"{name:<12}{wall:8.1f} s  {cpu:8.1f} processor s  lm-eval takes {slowest / wall:.2f} x its time")
        expected = theirs(folder / "peer", list(peer_tasks))
        for name, out in (("tandem", "auto"), ("tandem fp32", "fp32")):
            found = ours(folder / out, tasks)
            assert len(found) == len(expected) == n, f"{len(found)}, {len(expected)} and {n} items"
            pairs = list(zip(found, expected, strict=True))
            flips = sum(one.index(max(one)) != two.index(max(two)) for one, two in pairs)
            apart = max(abs(a - b) for one, two in pairs for a, b in zip(one, two, strict=True))
            print(f"{name}: {flips} of {n} predictions differ, log-probabilities by at most {apart:.2g}")


if __name__ == "__main__":
    main()
