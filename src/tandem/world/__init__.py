"""A small made-up world from a seed: facts, passages, questions, choices and instruction tasks, all consistent.

What is measured on it is labelled `MECHANISM`: it shows that something works and why,
and reproduces no published figure.
"""

from tandem.world.choices import choices
from tandem.world.folder import summary, write
from tandem.world.instances import TASKS
from tandem.world.passages import Mention, Passage, passages, plan
from tandem.world.questions import questions
from tandem.world.schema import RELATION, RELATIONS, Entity, Fact, Relation
from tandem.world.tasks import InstructionItem, tasks
from tandem.world.world import MECHANISM, VERSION, World

__all__ = [
    "MECHANISM", "RELATION", "RELATIONS", "TASKS", "VERSION",
    "Entity", "Fact", "InstructionItem", "Mention", "Passage", "Relation", "World",
    "choices", "passages", "plan", "questions", "summary", "tasks", "write",
]  # fmt: skip
