"""A small made-up world from a seed: facts, passages, triples, tables, questions, claims, queries and tasks.

What is measured on it is labelled `MECHANISM`: it shows that something works and why,
and reproduces no published figure.
"""

from tandem.world.choices import choices
from tandem.world.claims import claims, fever_evidence
from tandem.world.folder import summary, write
from tandem.world.instances import TASKS
from tandem.world.knowledge import PARTS, Sizes, write_knowledge
from tandem.world.mixed import Mixed
from tandem.world.pairs import Pair, pairs
from tandem.world.partition import Partition
from tandem.world.passages import Mention, Passage, passages, plan
from tandem.world.questions import questions
from tandem.world.schema import RELATION, RELATIONS, Entity, Fact, Relation
from tandem.world.strata import STRATA, stratified, stratum, stratum_of
from tandem.world.table_questions import table_questions
from tandem.world.table_schemas import TableSchema, table_schema, table_schemas
from tandem.world.tables import write_csv, write_sqlite
from tandem.world.tasks import InstructionItem, tasks
from tandem.world.triples import graph_schema, triples
from tandem.world.world import MECHANISM, VERSION, World

__all__ = [
    "MECHANISM", "PARTS", "RELATION", "RELATIONS", "STRATA", "TASKS", "VERSION",
    "Entity", "Fact", "InstructionItem", "Mention", "Mixed", "Pair", "Partition", "Passage", "Relation", "Sizes",
    "TableSchema", "World",
    "choices", "claims", "fever_evidence", "graph_schema", "pairs", "passages", "plan", "questions", "stratified",
    "stratum", "stratum_of", "summary", "table_questions", "table_schema", "table_schemas", "tasks", "triples",
    "write", "write_csv", "write_knowledge", "write_sqlite",
]  # fmt: skip
