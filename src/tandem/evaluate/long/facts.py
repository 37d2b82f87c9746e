"""Sentences that give a fact of a world, read back and checked against the chain of facts that leads to an answer.

A line's own error has a kind: *format* (no sentence that gives a fact in its plain wording), *subject* (not about what
the step before ended with), *relation* (another one than the question asks for there), *object* (not true of its
subject), *answer* (not what the last step ended with). Names may be any that mean the entity.
"""

from __future__ import annotations

import re
from functools import cached_property

from tandem.evaluate.answers import after
from tandem.evaluate.long.steps import Chain, Step
from tandem.metrics.normalise import answer_form
from tandem.types import Question
from tandem.world import RELATIONS, World
from tandem.world.templates import WORDINGS, sentence

FORMAT, SUBJECT, RELATION, OBJECT, ANSWER = "format", "subject", "relation", "object", "answer"
KINDS = (FORMAT, SUBJECT, RELATION, OBJECT, ANSWER)
CUE = "Answer:"
_MARK = re.compile(r"^(?:[-*•]\s+|\d{1,2}[.)]\s+)")


def written(question: Question) -> str:
    """The flawless chain as text, with its answer."""
    return "\n".join([*(each["text"] for each in question.meta["evidence"]), f"{CUE} {question.answers[0]}"])


class Reader:
    """Reads sentences about a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def read(self, line: str) -> tuple[str, str, str] | None:
        """(relation, subject, object) of a sentence, None where it gives no fact in plain words."""
        for relation, pattern in self._patterns:
            if match := pattern.match(_MARK.sub("", line.strip())):
                return relation, match["s"].strip(), match["o"].strip()
        return None

    def true_of(self, relation: str, subject: str) -> set[str]:
        """Forms of what a relation holds for, now, of the entity with this name; empty where it holds for nothing."""
        columns = self.world.columns
        found: set[str] = set()
        for entity in self._entities.get(answer_form(subject), ()):
            for fact in self.world.facts_of(entity):
                of = RELATIONS[columns.relation[fact]]
                if of.name == relation and columns.status[fact] == 0:
                    found |= self._forms(int(columns.object[fact]) if of.to_entity else None, fact)
        return found

    def check(self, question: Question, text: str) -> Chain:
        """What was written, against the chain of facts that leads to the answer. Lines are steps in order."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        given = [line for line in lines if not line.startswith(CUE)]
        columns = self.world.columns
        steps: list[Step] = []
        chain = [int(fact[1:]) for fact in question.meta["facts"]]
        expected = {answer_form(self.world.names[columns.subject[chain[0]]])}
        expected |= {answer_form(a) for a in self.world.aliases(int(columns.subject[chain[0]]))}
        for n, fact in enumerate(chain):
            of = RELATIONS[columns.relation[fact]]
            forms = self._forms(int(columns.object[fact]) if of.to_entity else None, fact)
            fine = not steps or steps[-1].value_right
            wanted = question.meta["evidence"][n]["text"]
            line = given[n] if n < len(given) else ""
            read = self.read(line)
            if read is None:
                steps.append(Step(line, wanted, parents_right=fine, kind=FORMAT))
                expected = set()
                continue
            relation, subject, object_ = read
            kind = ""
            if expected and answer_form(subject) not in expected:
                kind = SUBJECT
            elif relation != of.name:
                kind = RELATION
            elif answer_form(object_) not in self.true_of(relation, subject):
                kind = OBJECT
            steps.append(Step(line, wanted, answer_form(object_) in forms, fine, not kind, kind))
            expected = self._names_like(object_)
        answer = after(CUE)(text)
        wanted = f"{CUE} {question.answers[0]}"
        if answer is None:
            steps.append(Step("", wanted, parents_right=steps[-1].value_right, kind=FORMAT))
        else:
            right = answer_form(answer) in {answer_form(each) for each in question.answers}
            copied = answer_form(answer) in expected
            kind = "" if copied else ANSWER
            steps.append(Step(f"{CUE} {answer}", wanted, right, steps[-1].value_right, copied, kind))
        return Chain(str(question.meta["hops"]), tuple(steps), max(0, len(given) - len(chain)))

    @cached_property
    def _patterns(self) -> list[tuple[str, re.Pattern[str]]]:
        found = []
        for name, wording in WORDINGS.items():
            plain = re.escape(sentence(wording.plain, s="\0", o="\1")).replace("\0", "(?P<s>.+?)")
            plain = plain.replace("\1", "(?P<o>.+?)").removesuffix(r"\.")
            found.append((name, re.compile(plain + r"\.?$", re.IGNORECASE)))
        return found

    @cached_property
    def _entities(self) -> dict[str, list[int]]:
        """Form of a name → entities that have it."""
        found: dict[str, list[int]] = {}
        for entity, name in enumerate(self.world.names):
            for each in {answer_form(name), *(answer_form(a) for a in self.world.aliases(entity))}:
                found.setdefault(each, []).append(entity)
        return found

    def _forms(self, entity: int | None, fact: int) -> set[str]:
        """Forms of a fact's object."""
        others = self.world.aliases(entity) if entity is not None else ()
        return {answer_form(each) for each in (self.world.object_text(fact), *others)}

    def _names_like(self, name: str) -> set[str]:
        """The forms of all names of what a name means, itself included."""
        found = {answer_form(name)}
        for entity in self._entities.get(answer_form(name), ()):
            found |= {answer_form(each) for each in (self.world.names[entity], *self.world.aliases(entity))}
        return found
