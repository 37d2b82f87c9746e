"""What judges are asked, in the form of the published judges and in our own words.

AlpacaEval 2: a system and a user message, two outputs named m and M, the answer one token. AlpacaEval 1: the same two
named model_1 and model_2, the answer a ranked list. MT-bench: a grade or a verdict in double brackets after an
explanation, with a reference where there is one. `VERSION` changes with every word.
"""

from __future__ import annotations

from collections.abc import Sequence

from tandem.types import Chat, Message

VERSION = "1"
LETTERS = ("m", "M")
"""Names of the outputs shown first and second."""
RANKED = ("model_1", "model_2")
"""The same where a list is wanted."""

_COMPARE = (
    "You compare two answers that language models gave to the same instruction, and say which one a careful person who "
    "had given the instruction would rather have. What counts is whether the answer does what was asked, whether it is "
    "right, and whether it is clear. Neither the order of the answers nor their length speaks for one of them."
)
_OUTPUTS = (
    "# Instruction\n\n{instruction}\n\n# Answer of {names[0]}\n\n{first}\n\n# Answer of {names[1]}\n\n{second}\n\n"
)
_ONE_TOKEN = "# Task\n\nWhich answer is better? Reply with the name of its model, m or M, and with nothing else."
_RANKS = (
    "# Task\n\nRank the two models, the better one first. Reply with nothing but a JSON list of this form, with no "
    'ties: [{"model": "NAME", "rank": 1}, {"model": "NAME", "rank": 2}], where NAME is model_1 or model_2.'
)
_GRADE = (
    "You grade an assistant's answer, impartially. Consider whether it is helpful, to the point, correct, deep enough, "
    "inventive where that is wanted, and as detailed as the question needs. {more}First explain your judgment in a few "
    "sentences. Then give a whole number from 1 (useless) to 10 (could not be better), in double brackets, in exactly "
    "this form: Rating: [[5]]"
)
_VERDICT = (
    "You compare the answers of two assistants, A and B, impartially. Consider whether they follow the user's wishes, "
    "are helpful, correct, deep enough, and as detailed as the question needs. {more}Do not let the order, the length "
    "or the assistants' names sway you. First explain your judgment in a few sentences. Then give your verdict in "
    "exactly this form: [[A]] if A is better, [[B]] if B is better, [[tie]] if neither is."
)
_REFERENCE = (
    "A reference answer is given: compare with it, name mistakes, and correct them before you decide. "
    "It need not be matched word for word. "
)
_RATE = "# Task\n\nExplain in a few sentences how good the {which}answer is, and end with its grade N: Rating: [[N]]"
_DECIDE = "# Task\n\nExplain in a few sentences whose {which}answer is better, and end with [[A]], [[B]] or [[tie]]."
_SECOND = "You see a conversation of two questions; judge the answer to the second one, in the light of the first. "


def letter(instruction: str, first: str, second: str) -> Chat:
    """AlpacaEval 2's question: m or M."""
    outputs = _OUTPUTS.format(instruction=instruction, names=LETTERS, first=first, second=second)
    return _chat(_COMPARE, outputs + _ONE_TOKEN)


def ranking(instruction: str, first: str, second: str) -> Chat:
    """AlpacaEval 1's question: a ranked list."""
    outputs = _OUTPUTS.format(instruction=instruction, names=RANKED, first=first, second=second)
    return _chat(_COMPARE, outputs + _RANKS)


def single(questions: Sequence[str], answers: Sequence[str], references: Sequence[str] = ()) -> Chat:
    """MT-bench's question for a grade of the last answer; references to all questions, or none."""
    system = _GRADE.format(more=_more(questions, references))
    task = _RATE.format(which=_which(questions))
    return _chat(system, "\n\n".join([*_referenced(references), *_turns("the assistant", questions, answers), task]))


def versus(
    questions: Sequence[str], first: Sequence[str], second: Sequence[str], references: Sequence[str] = ()
) -> Chat:
    """MT-bench's question for a verdict on the last answers of A and B."""
    system = _VERDICT.format(more=_more(questions, references))
    parts = [*_referenced(references)]
    for name, answers in (("assistant A", first), ("assistant B", second)):
        parts += [f"## Conversation with {name}", *_turns(name, questions, answers)]
    return _chat(system, "\n\n".join([*parts, _DECIDE.format(which=_which(questions))]))


def _more(questions: Sequence[str], references: Sequence[str]) -> str:
    return (_REFERENCE if references else "") + (_SECOND if len(questions) > 1 else "")


def _which(questions: Sequence[str]) -> str:
    return "second " if len(questions) > 1 else ""


def _referenced(references: Sequence[str]) -> list[str]:
    several = len(references) > 1
    return [f"[Reference answer{f' to question {n}' if several else ''}]\n{r}" for n, r in enumerate(references, 1)]


def _turns(name: str, questions: Sequence[str], answers: Sequence[str]) -> list[str]:
    several = len(questions) > 1
    parts: list[str] = []
    for n, (question, answer) in enumerate(zip(questions, answers, strict=True), 1):
        which = f" {n}" if several else ""
        parts += [f"[Question{which}]\n{question}", f"[Answer{which} of {name}]\n{answer}"]
    return parts


def _chat(system: str, user: str) -> Chat:
    return Chat((Message("system", system), Message("user", user)))
