"""A run's folder as a finished quickstart leaves it, for looking at and for testing the page.

python tests/report/report_sample.py FOLDER
"""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path

from tandem import stats
from tandem.results import Curve, Example, Figure, Mark, Results, Section, Series, Table
from tandem.runs import Run

RECIPE = """\
name = "quickstart"
title = "A small language model from this machine's own text"
seed = 7

[world]
seed = 7
facts = 20000

[sources.code]
path = "python:code"
limit = "6 MB"

[sources.docstrings]
path = "python:docstrings"

[sources.world]
path = "world:passages"

[tokenizer]
vocabulary = 4096

[model]
layers = 4
width = 192
heads = 6

[[stage]]
name = "short"
mixture = "first"
context = 256
tokens = 1200000
batch = 8192

[[stage]]
name = "long"
mixture = "second"
context = 512
tokens = 600000
batch = 8192
"""


def share(name: str, right: int, n: int, chance: float | None = None, note: str = "") -> Figure:
    """An accuracy with Wilson's interval."""
    found = stats.proportion(right, n)
    return Figure(name, found.value, "%", found.low, found.high, chance, n, note)


def loss_curve() -> Curve:
    """Two stages of a noisy loss with a gap where steps were skipped, and validation points."""
    rng = random.Random(7)
    x = [8_192.0 * step for step in range(1, 221)]
    y = [3.05 + 5.2 * math.exp(-t / 210_000) + 0.5 * math.exp(-t / 900_000) + rng.gauss(0, 0.05) for t in x]
    y = [v + (0.32 if t > 1_200_000 else 0) * math.exp(-(t - 1_200_000) / 120_000) for t, v in zip(x, y)]
    y[96:99] = [math.nan] * 3
    checked = x[19::20]
    validation = tuple(
        v + 0.06 for v in (3.05 + 5.2 * math.exp(-t / 210_000) + 0.5 * math.exp(-t / 900_000) for t in checked)
    )
    return Curve(
        "Loss during pre-training",
        "tokens seen",
        "nats per token",
        (Series("training", tuple(x), tuple(y)), Series("validation", tuple(checked), validation)),
        (Mark(0.0, "short · context 256"), Mark(1_204_224.0, "long · context 512, half code")),
        note="Three steps after the spike near 790 K tokens were skipped by the guard and have no loss.",
    )


def position_curve() -> Curve:
    """Loss by token position, three sources after each of two stages."""
    x = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
    lines = {"code": (2.1, 3.4), "docstrings": (3.0, 3.1), "world": (1.3, 2.6)}
    series = [
        Series(name, x, tuple(floor + drop / (1 + math.log2(p)) ** 1.15 for p in x))
        for name, (floor, drop) in lines.items()
    ]
    short = tuple(2.1 + 3.4 / (1 + math.log2(p)) ** 1.15 + (0.02 if p < 257 else 0.95) for p in x)
    series.append(Series("code, after short", x, short))
    return Curve(
        "Loss by position in the context",
        "position in the context, tokens",
        "nats per token",
        tuple(series),
        (Mark(256.0, "context of stage short"),),
        log_x=True,
        note="Means over windows that fill the context; each point is the mean of positions since the one before.",
    )


def results() -> Results:
    """All sections of a quickstart."""
    prompt = "Where was Miran Oshel born?\nAnswer with the name of the town."
    program = (
        "def elements(first, second):\n    only = []\n    for item in first:\n        if item not in second:\n"
        "            only.append(item)\n    return only\n"
    )
    overview = Section(
        "examples",
        "Before and after instruction tuning",
        "The same prompts, greedily continued by the pre-trained model and by the tuned one. "
        "Instances held out from tuning; the first items of the file, not chosen.",
        (
            Example(
                "lookup · instance held out",
                prompt,
                (
                    (
                        "before tuning",
                        " Miran Oshel was born in the the town of the town of the Kelda, and the founder of the",
                    ),
                    ("after tuning", "Varrow"),
                ),
                "Varrow",
                (False, True),
            ),
            Example(
                "true or false · task held out",
                "True or false: the Harbour Museum of Tessaly opened before 1931.",
                (("before tuning", "\n\nTrue or false: the Harbour Museum opened"), ("after tuning", "False")),
                "True",
                (None, False),
            ),
            Example(
                "continue the program · source code",
                program[:58],
                (("before tuning", program[58:] * 9), ("after tuning", program[58:])),
                "",
                (None, None),
            ),
        ),
    )
    evaluation = Section(
        "evaluation",
        "Evaluation",
        "Accuracy on tasks over the made-up world. Each held-out kind asks for more transfer than the one before.",
        (
            Table(
                "Instruction tasks",
                ("Held out", "Before tuning", "After tuning"),
                (
                    ("instances", share("", 21, 400, 0.183), share("", 325, 400, 0.183)),
                    ("tasks", share("", 14, 240, 0.171), share("", 118, 240, 0.171)),
                    ("task types", share("", 9, 120, 0.202), share("", 31, 120, 0.202)),
                ),
                "Chance is the majority answer of each task. Exact match after normalising case and articles.",
            ),
            Table(
                "Multiple choice",
                ("Facts mentioned", "Accuracy"),
                (
                    ("100 times or more", share("", 163, 200, 0.25)),
                    ("10 to 99 times", share("", 104, 200, 0.25)),
                    ("2 to 9 times", share("", 66, 200, 0.25)),
                    ("never", share("", 47, 200, 0.25)),
                ),
                "Four options, scored by the log-probability of the answer text per token.",
            ),
            Table(
                "Perplexity",
                ("Source", "Before long stage", "After long stage", "Bits per byte"),
                (
                    ("code", Figure("", 11.42, "", 10.96, 11.90), Figure("", 8.03, "", 7.70, 8.38), 1.093),
                    ("docstrings", Figure("", 27.9, "", 26.1, 29.8), Figure("", 26.3, "", 24.7, 28.1), 1.412),
                    ("world", Figure("", 4.61, "", 4.52, 4.70), Figure("", 4.38, "", 4.30, 4.46), 0.684),
                ),
            ),
        ),
    )
    loss = Section("loss", "Training", "The context doubles where the second stage begins.", (loss_curve(),))
    position = Section(
        "position",
        "Loss by position",
        "A model that uses its context predicts later tokens better.",
        (position_curve(),),
    )
    mixture = Section(
        "mixture",
        "Data",
        "Tokens are tokens seen; unique tokens are seen tokens over epochs.",
        (
            Table(
                "Stage short",
                ("Source", "Tokens", "Epochs", "Unique", "Share (%)"),
                (
                    ("code", 360_000, 0.24, 1_500_000, 30.0),
                    ("docstrings", 360_000, 0.41, 878_049, 30.0),
                    ("world", 480_000, 1.12, 428_571, 40.0),
                ),
                bars="Share (%)",
            ),
            Table(
                "Stage long",
                ("Source", "Tokens", "Epochs", "Unique", "Share (%)"),
                (
                    ("code", 390_000, 0.26, 1_500_000, 65.0),
                    ("docstrings", 90_000, 0.10, 878_049, 15.0),
                    ("world", 120_000, 0.28, 428_571, 20.0),
                ),
                "Half of it is data of stage short, half is code.",
                bars="Share (%)",
            ),
        ),
    )
    tokenizer = Section(
        "tokenizer",
        "Tokenizer",
        "Byte-level BPE trained on the three sources, with tokens for runs of white space.",
        (
            Table(
                "Bytes per token",
                ("Source", "Documents", "Bytes", "Tokens", "Bytes per token"),
                (
                    ("code", 1_412, 6_000_000, 1_612_903, 3.72),
                    ("docstrings", 9_877, 3_214_551, 878_049, 3.661),
                    ("world", 4_130, 1_690_032, 428_571, 3.943),
                ),
                bars="Bytes per token",
            ),
            Table(
                "Checks",
                ("Check", "Outcome"),
                (
                    ("any bytes come back", "yes"),
                    ("runs of 2 to 24 spaces are one token", "yes"),
                    ("padding id in the unused tail", "4095"),
                ),
            ),
        ),
    )
    return Results(
        "A small language model from this machine's own text",
        "A decoder with 2.57 million parameters, pre-trained on 1.8 million tokens of Python's library and a made-up "
        "world, then tuned on 3,200 instructions, answers 81 % of held-out instructions right. Before tuning it "
        "answered 5 %; guessing the most common answer gives 18 %.",
        (
            share("Held-out instructions right", 325, 400, 0.183, "instances held out"),
            share("Multiple choice", 380, 800, 0.25, "facts of all frequencies"),
            Figure("Validation loss", 2.214, "nats", 2.196, 2.232, note="mean over three sources"),
            Figure("Parameters", 2_571_264, "", note="4 layers of width 192"),
        ),
        (overview, evaluation, loss, position, mixture, tokenizer),
        (
            ("Talk to the model", "tandem chat out/quickstart"),
            ("Make one from your own text", "tandem quickstart --text ~/notes --out out/mine"),
            (
                "Tune a larger model on your own conversations",
                "tandem tune --model hf:path/to/model --data chat.jsonl --out out/tuned",
            ),
        ),
    )


def write_run(folder: Path, found: Results | None = None, recipe: str = RECIPE) -> Path:
    """A run's folder with results, events of an interrupted and resumed run, facts and recipe."""
    with Run(folder, recipe, {"seed": 7, "torch": "2.13.0", "tokenizer": "9b1f03a6c2d47e58"}) as run:
        run.write_results(found or results())
    clock, lines = 1_762_000_000.0, []

    def event(kind: str, after: float, **facts: object) -> None:
        nonlocal clock
        clock += after
        lines.append(json.dumps({"event": kind, "at": round(clock, 3)} | facts))

    event("run begins", 0.0)
    for stage, seconds in (("corpus", 9.1), ("tokenizer", 6.4)):
        event("stage begins", 0.01, stage=stage)
        event("stage ends", seconds, stage=stage, seconds=seconds)
    event("stage begins", 0.01, stage="short")
    for step in (10, 20, 30):
        event(
            "progress",
            6.0,
            stage="short",
            step=step,
            steps=147,
            tokens=8192 * step,
            loss=5.1,
            tokens_per_second=13_650.0,
        )
    event("run begins", 900.0)
    event("stage begins", 0.01, stage="short", resumed=30)
    for step in range(40, 148, 10):
        event(
            "progress",
            6.1,
            stage="short",
            step=step,
            steps=147,
            tokens=8192 * step,
            loss=3.41,
            tokens_per_second=13_430.0,
        )
    event(
        "progress", 4.0, stage="short", step=147, steps=147, tokens=8192 * 147, loss=3.388, tokens_per_second=13_430.0
    )
    event("stage ends", 0.3, stage="short", seconds=71.4)
    event("stage begins", 0.01, stage="long")
    event("progress", 49.0, stage="long", step=74, steps=74, tokens=8192 * 74, loss=3.102, tokens_per_second=12_310.0)
    event("stage ends", 0.3, stage="long", seconds=49.3)
    event("stage begins", 0.01, stage="tuning")
    event("progress", 41.0, stage="tuning", step=60, steps=60, tokens=245_760, loss=0.412, tokens_per_second=12_020.0)
    event("stage ends", 0.2, stage="tuning", seconds=41.2)
    event("stage begins", 0.01, stage="evaluation")
    event("stage ends", 22.8, stage="evaluation", seconds=22.8)
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    return folder


if __name__ == "__main__":
    from tandem import report

    print(report.write(write_run(Path(sys.argv[1]))))
