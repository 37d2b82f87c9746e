"""A few invented rows for every multiple-choice benchmark, in its files' own form."""

import gzip
import json

MMLU = [
    {"subject": subject, "question": f" {question} ", "choices": ["red", "blue", "green", "grey"], "answer": answer}
    for subject, question, answer in (
        ("anatomy", "Which colour has a zoll?", 0),
        ("anatomy", "Which colour has a brell?", 1),
        ("anatomy", "Which colour has a dosk?", 2),
        ("sociology", "Which colour do marn like?", 3),
        ("sociology", "Which colour do tolk like?", 0),
    )
]
MMLU_DEV = [
    {
        "subject": subject,
        "question": f"Which colour is a {n}?",
        "choices": ["red", "blue", "green", "grey"],
        "answer": n,
    }
    for subject in ("anatomy", "sociology")
    for n in range(3)
]
ARC = [
    {"id": "q1", "question": "What does a marn eat?", "choices": ["a stone", "some moss", "the sea"], "answer": 1},
    {
        "id": "q2",
        "question": "What does a tolk drink?",
        "choices": ["rain", "sand", "a long way", "light"],
        "answer": 0,
    },
    {"id": "q3", "question": "Where does a zoll sleep?", "choices": ["in a reed bed", "é"], "answer": 1},
]
ARC_TRAIN = [
    {"question": f"What is {n} plus {n}?", "choices": [f"{2 * n}", f"{2 * n + 1}"], "answer": n % 2} for n in range(12)
]
HELLASWAG = [
    {
        "activity_label": "Folding a sail",
        "ctx_a": "A man holds a sail.",
        "ctx_b": "the Sail",
        "endings": ["is folded twice.", "[step] sings  of home.", "flies away.", "is eaten."],
        "label": n,
    }
    for n in range(3)
]
WINOGRANDE = [
    {"sentence": "Ola thanked Ebe because _ had helped.", "option1": "Ola", "option2": "Ebe", "answer": 2},
    {"sentence": "The jug fit the box as _ was small .", "option1": "the jug", "option2": "the box", "answer": "1"},
]
TRUTHFULQA = [
    {
        "question": "Do marn fly?",
        "mc1": {"choices": ["No, marn walk.", "Yes.", "Only at night."], "labels": [1, 0, 0]},
        "mc2": {"choices": ["No, marn walk.", "Marn do not fly.", "Yes."], "labels": [1, 1, 0]},
    }
]
PREAMBLE = "Q: Is rain wet?\nA: Rain is wet.\n\nQ: What is a brell?\nA: I have no comment."
BOOLQ = [
    {"title": "Marn", "passage": "Marn eat moss.", "question": "do marn eat moss", "answer": True},
    {"title": "Tolk", "passage": "Tolk drink rain.", "question": "do tolk eat", "answer": False},
]
PIQA = [{"goal": "dry a boot", "choices": ["put it near a fire", "put it into a pond"], "answer": 0}]
OPENBOOKQA = [{"id": "7", "question": "Moss grows on", "choices": ["stones", "clouds", "fire", "salt"], "answer": 0}]
MEDMCQA = [
    {"id": "m", "question": "A brell has:", "choices": ["one eye", "two eyes", "no eye", "three"], "answer": 3},
]

FILES = {
    "mmlu_test": MMLU,
    "mmlu_dev": MMLU_DEV,
    "arc_challenge_test": ARC,
    "arc_challenge_train": ARC_TRAIN,
    "arc_easy_test": ARC,
    "hellaswag_val": HELLASWAG,
    "winogrande_dev": WINOGRANDE,
    "truthfulqa_mc": TRUTHFULQA,
    "boolq_dev": BOOLQ,
    "piqa_valid": PIQA,
    "openbookqa_test": OPENBOOKQA,
    "medmcqa_dev": MEDMCQA,
}


def write(file, rows):
    data = "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)
    file.write_bytes(gzip.compress(data.encode()) if file.suffix == ".gz" else data.encode())
    return file


def folder(path):
    """All the files in one folder."""
    path.mkdir()
    for n, (name, rows) in enumerate(FILES.items()):
        write(path / f"{name}.jsonl{'.gz' if n % 2 else ''}", rows)
    (path / "truthfulqa_preamble.txt").write_text(PREAMBLE)
    return path
