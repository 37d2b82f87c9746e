"""Scoring choices on a CPU with the embedded model: Tandem's engine beside lm-evaluation-harness's own back end.

    python benchmarks/scoring.py mmlu --data FOLDER [--items 200]     # five shots, letters
    python benchmarks/scoring.py arc --data FOLDER [--items 200]      # no shots, texts of several tokens
    python benchmarks/scoring.py mmlu --data FOLDER --items 14042 --count   # only tokens: a model of no size reads them

Both get the same (context, continuation) pairs, made here in lm-evaluation-harness's form from files with the fields
question, choices, answer (and subject): mmlu_test, mmlu_dev, arc_challenge_test (.jsonl.gz). MMLU takes whole subjects,
in the file's order, until there are enough items. Seconds are those of scoring alone, after loading and `--warm-up`
turns. Ours twice: as `local:` loads it (bfloat16 where the processor has it) and in float32.
`--peer-batch` is lm-evaluation-harness's batch size. Also told: how many tokens went through our model, and on how many
items predictions differ from the peer's in float32.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from contest import contender, load, median, referee

CONTENDERS = ("tandem", "tandem fp32", "lm-eval")
LETTERS = "ABCD"
Items = list[tuple[str, list[str]]]


def rows(file: Path) -> list[dict[str, object]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def mmlu(folder: Path, wanted: int) -> Items:
    def shown(row: dict[str, object]) -> str:
        options = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, row["choices"], strict=True))
        return f"{str(row['question']).strip()}\n{options}\nAnswer:"

    dev: dict[str, list[str]] = {}
    for row in rows(folder / "mmlu_dev.jsonl.gz"):
        dev.setdefault(row["subject"], []).append(f"{shown(row)} {LETTERS[row['answer']]}\n\n")
    made: Items = []
    subject = None
    for row in rows(folder / "mmlu_test.jsonl.gz"):
        if row["subject"] != subject and len(made) >= wanted:
            break
        subject = row["subject"]
        head = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
        made.append((head + "".join(dev[subject][:5]) + shown(row), [f" {letter}" for letter in LETTERS]))
    return made


def arc(folder: Path, wanted: int) -> Items:
    return [
        (f"Question: {row['question']}\nAnswer:", [f" {choice}" for choice in row["choices"]])
        for row in rows(folder / "arc_challenge_test.jsonl.gz")[:wanted]
    ]


TASKS: dict[str, Callable[[Path, int], Items]] = {"mmlu": mmlu, "arc": arc}


def tandem(items: Items, precision: str, out: Path) -> Callable[[], Mapping[str, float]]:
    from tandem.lm import embedded
    from tandem.lm.local import Local
    from tandem.types import Text

    model = Local.load(embedded.folder(), precision=precision, device="cpu")

    def work() -> Mapping[str, float]:
        model.engine.tree.clear()
        before = model.engine.tokens_computed

        async def ask() -> list[list[float]]:
            scores = await asyncio.gather(*(model.score(Text(c), choices, cut_left=True) for c, choices in items))
            return [[score.logprob for score in each] for each in scores]

        out.write_text(json.dumps(asyncio.run(ask())))
        return {"computed": model.engine.tokens_computed - before}

    return work


def count(items: Items) -> None:
    """Tokens that a model of no size reads for these items, beside what each choice alone and one tree would take."""
    import torch

    from tandem import tokenizer
    from tandem.decoder import Decoder, Shape
    from tandem.decoder.engine import Engine
    from tandem.decoder.jobs import Scoring
    from tandem.lm import embedded
    from tandem.lm.wording import Wording
    from tandem.types import Text

    made = tokenizer.load(embedded.folder())
    wording = Wording(made, context=8192)
    shape = Shape(made.vocabulary, layers=1, width=8, heads=1, kv_heads=1, head_width=8, mlp_width=8, context=8192)
    engine = Engine(Decoder(shape).eval())
    engine.head = lambda x: torch.zeros(len(x), shape.vocabulary)  # nobody looks at them
    sequences = []
    for context, choices in items:
        pairs = [wording.pair(Text(context), choice, cut_left=True) for choice in choices]
        sequences.append([[*before, *after] for before, after in pairs])
        engine.add(Scoring(sequences[-1], [len(before) for before, _ in pairs], lambda result: None))
    while engine.step():
        pass
    alone = sum(len(sequence) - 1 for each in sequences for sequence in each)
    read = sorted(tuple(sequence[:-1]) for each in sequences for sequence in each)
    tree = len(read[0])
    for one, other in itertools.pairwise(read):
        tree += len(other) - next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    print(f"{len(items):,} items: {engine.tokens_computed:,} tokens read, {alone:,} with each choice alone, ", end="")
    print(f"{tree:,} at least: {engine.tokens_computed / tree:.3f} x")


def harness(items: Items, batch: str, out: Path) -> Callable[[], Mapping[str, float]]:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from tandem.lm import embedded

    model = HFLM(pretrained=str(embedded.folder()), device="cpu", dtype="float32", batch_size=batch, max_length=8192)
    pairs = [(context, choice) for context, choices in items for choice in choices]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]

    def work() -> Mapping[str, float]:
        found = iter(model.loglikelihood(requests, disable_tqdm=True))
        out.write_text(json.dumps([[next(found)[0] for _ in choices] for _, choices in items]))
        return {}

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=1, help="turns that are not counted")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer-batch", default="8")
    parser.add_argument("--scratch", type=Path, default=Path("out"))
    parser.add_argument("--count", action="store_true", help="count tokens, take no time")
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)

    def place(name: str) -> Path:
        return options.scratch / f"{options.task}-{name.replace(' ', '-')}.json"

    items = TASKS[options.task](options.data, options.items)
    if options.count:
        count(items)
        return
    if options.contender == "lm-eval":
        contender(harness(items, options.peer_batch, place(options.contender)))
        return
    if options.contender is not None:
        precision = "fp32" if options.contender.endswith("fp32") else "auto"
        contender(tandem(items, precision, place(options.contender)))
        return
    turns = referee(__file__, options.only, options.rounds, options.threads, options.warm_up)
    print(f"{options.task}, {len(items)} items, {load()}")
    first = None
    for name, results in turns.items():
        seconds = median(results, "seconds")
        first = first or seconds
        computed = f"{median(results, 'computed'):9,.0f} tokens" if "computed" in results[0] else " " * 16
        print(
            f"{name:<12}{seconds:8.1f} s  {median(results, 'cpu'):8.1f} processor s  {computed}  "
            f"{median(results, 'MiB'):6.0f} MiB  {seconds / first:.2f} x the time of {next(iter(turns))}"
        )
    if "lm-eval" in turns:
        theirs = json.loads(place("lm-eval").read_text())
        for name in turns:
            if name != "lm-eval":
                ours = json.loads(place(name).read_text())
                pairs = [
                    (a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True)
                ]
                flips = sum(one.index(max(one)) != two.index(max(two)) for one, two in zip(ours, theirs, strict=True))
                apart = max(abs(a - b) for a, b in pairs)
                print(f"{name}: {flips} of {len(items)} predictions differ, log-probabilities by at most {apart:.2g}")


if __name__ == "__main__":
    main()
