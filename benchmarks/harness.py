"""Our benchmark tasks beside lm-evaluation-harness's own: same prompts, predictions, log-probabilities and scores.

    python benchmarks/harness.py --data FOLDER                # prompts: 200 items of each task, 0 and 5 shots
    python benchmarks/harness.py --data FOLDER --score 20     # and 20 items through both, embedded model, fp32

The harness's tasks are read from its own files and get the same rows, in the form they have on the hub; prompts,
choices and scores are then its own code's. Ours get them in both forms, the files' and the hub's. Where the folder has
no file of examples, they are drawn from the items' own file, which also tries that an item never gets itself.

The harness computes in float64 here (`--peer-dtype`), which makes it a reference: in float32 its own sums are up to
1.3e-4 from that on choices of a dozen tokens and 5.0e-4 on 51 tokens, so two float32 programs can differ by more than
either does from the truth. Status 1 where a prediction or score differs, or a log-probability by 1e-4 or more.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import datasets
import lm_eval
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from tandem.evaluate import multiple_choice
from tandem.evaluate.multiple_choice.benchmarks import BENCHMARKS, Benchmark, subject_of

Row = dict[str, Any]
LABELS = "ABCDEFGH"
FILES = {
    "mmlu": "mmlu/default/mmlu_{subject}.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "winogrande": "winogrande/default.yaml",
    "truthfulqa_mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
    "boolq": "super_glue/boolq/default.yaml",
    "piqa": "piqa/piqa.yaml",
    "openbookqa": "openbookqa/openbookqa.yaml",
    "medmcqa": "medmcqa/medmcqa.yaml",
}


def keyed(row: Row, question: str) -> Row:
    labels = list(LABELS[: len(row["choices"])])
    choices = {"text": row["choices"], "label": labels}
    return {question: row["question"], "choices": choices, "answerKey": labels[row["answer"]]}


HUB: dict[str, Callable[[Row], Row]] = {
    "mmlu": dict,
    "arc_challenge": lambda row: keyed(row, "question"),
    "arc_easy": lambda row: keyed(row, "question"),
    "hellaswag": lambda row: {
        "activity_label": row["activity_label"],
        "ctx_a": row["ctx"],
        "ctx_b": "",  # the files have the two joined
        "endings": row["endings"],
        "label": str(row["label"]),
    },
    "winogrande": lambda row: row | {"answer": str(row["answer"])},
    "truthfulqa_mc1": lambda row: {
        "question": row["question"],
        "mc1_targets": row["mc1"],
        "mc2_targets": row["mc2"],
    },
    "truthfulqa_mc2": lambda row: HUB["truthfulqa_mc1"](row),
    "boolq": lambda row: {
        "passage": f"{row['title']} -- {row['passage']}",
        "question": row["question"],
        "label": int(row["answer"]),
    },
    "piqa": lambda row: {
        "goal": row["goal"],
        "sol1": row["choices"][0],
        "sol2": row["choices"][1],
        "label": row["answer"],
    },
    "openbookqa": lambda row: keyed(row, "question_stem"),
    "medmcqa": lambda row: {
        "question": row["question"],
        **dict(zip(("opa", "opb", "opc", "opd"), row["choices"], strict=True)),
        "cop": row["answer"],
    },
}


def rows(file: Path) -> list[Row]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def prepare(benchmark: Benchmark, data: Path, folder: Path, wanted: int, form: str) -> None:
    """The items that are compared, and examples, as files of one form."""
    files = {benchmark.items: wanted, **({benchmark.examples: 500} if benchmark.examples else {})}
    for name, n in files.items():
        source = data / f"{name}.jsonl.gz"
        if not source.exists() and name.startswith("arc_easy"):
            source = data / f"{name.replace('easy', 'challenge')}.jsonl.gz"  # of the same form
        found = rows(source if source.exists() else data / f"{benchmark.items}.jsonl.gz")
        kept = found if benchmark.name == "mmlu" else found[:n]
        kept = [HUB[benchmark.name](row) for row in kept] if form == "hub" else kept
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    if benchmark.preamble:
        text = (data / f"{benchmark.preamble}.txt").read_text(encoding="utf-8")
        (folder / f"{benchmark.preamble}.txt").write_text(text, encoding="utf-8")


def theirs(name: str, benchmark: Benchmark, folder: Path, shots: int, form: str) -> ConfigurableTask:
    """The harness's task on the same rows."""
    subject = subject_of(name)
    path = Path(lm_eval.__file__).parent / "tasks" / FILES[benchmark.name].format(subject=subject)
    config = load_yaml(path) | {"num_fewshot": 0 if benchmark.preamble else shots}
    for key in ("tag", "group"):
        config.pop(key, None)

    def made(**_: object) -> datasets.DatasetDict:
        def split(name: str | None) -> datasets.Dataset:
            read = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
            kept = [row for row in read if subject is None or row["subject"] == subject]
            return datasets.Dataset.from_list(kept if form == "hub" else [HUB[benchmark.name](row) for row in kept])

        items = config.get("test_split") or config["validation_split"]
        examples = config.get("fewshot_split") or config.get("training_split")
        found = {items: split(benchmark.items)}
        if examples and benchmark.examples:
            found[examples] = split(benchmark.examples)
        return datasets.DatasetDict(found)

    task = ConfigurableTask(config=config | {"custom_dataset": made})
    task.set_fewshot_seed(1234)
    return task


def compare(name: str, data: Path, shots: int, items: int, form: str = "file") -> tuple[Any, Any]:
    """Both tasks with their prompts, which are the same."""
    benchmark = BENCHMARKS["mmlu" if subject_of(name) else name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(benchmark, data, folder, items, form)
        ours = multiple_choice.load(name, [folder], shots=shots, limit=items)
        other = theirs(name, benchmark, folder, shots, form)
        other.build_all_requests(limit=items)
    asked = [pair for one in ours.asked for pair in one.pairs]
    expected = [request.args for request in other.instances]
    apart = [n for n, (one, two) in enumerate(zip(asked, expected)) if one != tuple(two)]
    assert len(asked) == len(expected), f"{name}: {len(asked)} requests, {len(expected)} of the harness"
    assert not apart, f"{name}, {shots} shots: {asked[apart[0]]!r} is not {expected[apart[0]]!r}"
    print(
        f"{name}, {form}: {len(ours.asked)} items, {shots} shots: all {len(asked)} contexts and continuations the same"
    )
    return ours, other


def score(ours: Any, other: Any, model: Any, peer: Any) -> bool:
    """The same items through both models: log-probabilities, predictions, scores, means with errors; whether alike."""
    from lm_eval.api.metrics import mean_stderr

    model.backend.engine.tree.clear()
    scored = asyncio.run(multiple_choice.run(ours, model))
    found = iter(peer.loglikelihood(other.instances, disable_tqdm=True))
    by_item: dict[int, list[tuple[float, bool]]] = {}
    for request in other.instances:
        by_item.setdefault(request.doc_id, []).append(next(found))
    gaps, flips, differ = list[float](), 0, 0
    metrics: dict[str, list[float]] = {}
    for one, (place, results) in zip(scored.records, by_item.items(), strict=True):
        logprobs = [logprob for logprob, _ in results]
        gaps += [abs(a - b) for a, b in zip(one.logprobs, logprobs, strict=True)]
        flips += one.prediction != logprobs.index(max(logprobs))
        values = other.process_results(other.eval_docs[place], results)
        for metric, value in values.items():
            mine = one.values["mass" if "mass" in one.values else metric]
            differ += abs(float(value) - mine) > 1e-4
            metrics.setdefault(metric, []).append(float(value))
    told = []
    for metric, values in metrics.items():
        mine = scored.mean("mass" if "mass" in scored.task.benchmark.metrics else metric)
        error = mean_stderr(values)
        told.append(
            f"{metric} {mine.value:.4f} ± {mine.error:.4f} (harness {sum(values) / len(values):.4f} ± {error:.4f})"
        )
    print(
        f"  {len(scored.records)} items: log-probabilities apart by at most {max(gaps):.1e} "
        f"({sum(gap >= 1e-4 for gap in gaps)} of {len(gaps)} by 1e-4 or more), {flips} predictions and "
        f"{differ} scores differ; {', '.join(told)}",
        flush=True,
    )
    return max(gaps) < 1e-4 and not flips and not differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tasks", default=",".join(["mmlu_anatomy", *[name for name in FILES if name != "mmlu"]]))
    parser.add_argument("--items", type=int, default=200, help="items whose prompts are compared")
    parser.add_argument("--shots", type=int, nargs="*", default=[0, 5])
    parser.add_argument("--score", type=int, default=0, metavar="N", help="items that go through both models")
    parser.add_argument("--peer-dtype", default="float64", help="float32, float64")
    options = parser.parse_args()
    model = peer = None
    if options.score:
        from lm_eval.models.huggingface import HFLM

        from tandem.lm import connect, embedded

        model = connect("embedded", precision="fp32")
        peer = HFLM(
            pretrained=str(embedded.folder()), device="cpu", dtype=options.peer_dtype, batch_size=4, max_length=8192
        )
    apart = []
    for name in options.tasks.split(","):
        for shots in options.shots:
            for form in ("file", "hub"):
                compare(name, options.data, shots, options.items, form)
        if options.score:
            ours, other = compare(name, options.data, 5 if name.startswith("mmlu") else 0, options.score)
            apart += [] if score(ours, other, model, peer) else [name]
    if apart:
        raise SystemExit(f"not the same: {', '.join(apart)}")


if __name__ == "__main__":
    main()
