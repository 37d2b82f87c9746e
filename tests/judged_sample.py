"""A few judged conversations of our own, as files."""

import json

INSTRUCTIONS = [
    "Name a colour.",
    "Greet a marn.",
    "Count to three.",
    "Say nothing.",
    "Describe a tolk.",
    "Sum 2 and 2.",
]
QUESTIONS = [
    {"question_id": 1, "category": "writing", "turns": ["Write a line on moss.", "Make it rhyme."]},
    {
        "question_id": 2,
        "category": "math",
        "turns": ["What is 6 times 7?", "And halved?"],
        "gpt4_reference_answer": ["It is 42.", "It is 21."],
        "reference": None,
    },
    {"question_id": 3, "category": "coding", "turns": ["Print 1.", "Print 2."], "gpt4_reference_answer": None},
]


def write(file, rows):
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def outputs(texts, generator="base"):
    return [
        {"instruction": i, "output": t, "generator": generator, "dataset": "ab"[n % 2]}
        for n, (i, t) in enumerate(zip(INSTRUCTIONS, texts, strict=False))
    ]


def judgments(preferences, lengths=None):
    """Rows on record; `lengths` are (baseline, model) in characters."""
    lengths = lengths or [(4, 4)] * len(preferences)
    return [
        {
            "instruction": f"Task {n}.",
            "output_1": "b" * first,
            "output_2": "m" * second,
            "generator_1": "base",
            "generator_2": "mine",
            "annotator": "one",
            "preference": p,
        }
        for n, (p, (first, second)) in enumerate(zip(preferences, lengths, strict=True))
    ]


def folder(path):
    """Baselines of both versions and the questions of MT-bench."""
    path.mkdir()
    texts = [f"Base {n}." for n in range(len(INSTRUCTIONS))]
    write(path / "alpaca_eval_gpt4_turbo_outputs.jsonl", outputs(texts))
    write(path / "alpaca_eval_text_davinci_003_outputs.jsonl", outputs(texts, "davinci"))
    write(path / "mt_bench_questions.jsonl", QUESTIONS)
    return path
