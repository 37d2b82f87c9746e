"""A small made-up world from a seed: facts, passages, questions, choices and instruction tasks, all consistent.

What is measured on it is labelled `MECHANISM`: it shows that something works and why, and reproduces no published figure.
"""

from tandem.world.passages import Mention, Passage, passages, plan
from tandem.world.schema import RELATION, RELATIONS, Entity, Fact, Relation
from tandem.world.world import MECHANISM, VERSION, World

__all__ = [
    "MECHANISM", "RELATION", "RELATIONS", "VERSION",
    "Entity", "Fact", "Mention", "Passage", "Relation", "World", "passages", "plan",
]  # fmt: skip
