"""The methods by name, with the settings they take: what the command line and experiments choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tandem.errors import UserError
from tandem.reason import kinds
from tandem.reason.agreement import Gate
from tandem.reason.calibrated import calibrated
from tandem.reason.chain_of_knowledge import Adapting, Domain, chain_of_knowledge
from tandem.reason.chains import Asking
from tandem.reason.editing import Editing
from tandem.reason.looking_up import QueryWriter, Target
from tandem.reason.plain import cot, cot_sc, standard, verbal
from tandem.reason.queries import Prompted
from tandem.reason.react import Acting, cot_sc_then_react, react, react_then_cot_sc
from tandem.reason.verify_and_edit import verify_and_edit
from tandem.types import LM, Answer, Method, Question, Source

NAMES: Mapping[str, str] = {
    "standard": "answer at once",
    "cot": "think in steps, then answer",
    "cot-sc": "the majority of several chains",
    "verbal": "the same, its confidence what the model says of itself",
    "calibrated": "the same, its confidence from probability and evidence, fitted on the first questions",
    "verify-and-edit": "where chains disagree, check each step and predict again",
    "chain-of-knowledge": "where chains disagree, correct each step before the next one",
    "react": "thoughts, look-ups and observations in turn",
    "react-then-cot-sc": "ReAct; without an answer, the majority of chains",
    "cot-sc-then-react": "the majority of chains; under half, ReAct",
}
"""Methods by name, and what they do."""
WITH_SOURCES = frozenset(NAMES) - {"standard", "cot", "cot-sc", "verbal"}
"""Those that look things up."""


@dataclass(frozen=True)
class Settings:
    """Everything a method can be told; each takes what concerns it."""

    samples: int = 5
    """Chains that vote."""
    temperature: float = 0.7
    """Of the chains."""
    gate: Gate = field(default_factory=Gate)
    """When to look things up."""
    top: int = 3
    """Findings kept for a step."""
    fetch: int = 10
    """Findings asked of each source."""
    target: Target = "question"
    """What findings are ranked against."""
    keep_original: bool = True
    """Whether an answer that is no valid one leaves the one before."""
    domains: Mapping[str, Domain] = field(default_factory=dict)
    """Fields of knowledge, for Chain-of-Knowledge."""
    at_once: bool = False
    """Chain-of-Knowledge: correct all steps apart."""
    most_steps: int | None = None
    """ReAct's turns."""
    writer: QueryWriter = field(default_factory=Prompted)
    """Who writes the queries."""
    shots: int = 3
    """Worked cases in front of a question about a step, and in front of its correction."""


def named(name: str, asking: Mapping[kinds.Name, Asking], settings: Settings | None = None) -> Method:
    """A method with its settings bound, for questions of all the kinds in `asking`.

    Raises UserError on an unknown name, and on settings that cannot be.
    """
    if name not in NAMES:
        raise UserError(f"no method is called {name!r}", where="method", remedy=f"known: {', '.join(NAMES)}")
    of_kind = {kind: _bound(name, each, settings or Settings()) for kind, each in asking.items()}

    async def method(question: Question, lm: LM, sources: Sequence[Source]) -> Answer:
        kind = kinds.of(question).name
        if kind not in of_kind:
            raise UserError(
                f"a {kind} is wanted, and there are no demonstrations for it", where=f"question {question.id}"
            )
        return await of_kind[kind](question, lm, sources)

    return method


def _bound(name: str, asking: Asking, s: Settings) -> Method:
    if s.samples < 1:
        raise UserError(f"{s.samples} samples cannot vote", where="samples", remedy="give at least 1")
    if s.temperature < 0:
        raise UserError(f"cannot be {s.temperature:g}", where="temperature", remedy="give 0 or more")
    if name == "standard":
        return partial(standard, asking=asking)
    if name == "cot":
        return partial(cot, asking=asking)
    if name in ("cot-sc", "verbal"):
        method = cot_sc if name == "cot-sc" else verbal
        return partial(method, asking=asking, samples=s.samples, temperature=s.temperature)
    if name == "calibrated":
        return partial(calibrated, asking=asking, settings=_editing(s))
    if name == "verify-and-edit":
        return partial(verify_and_edit, asking=asking, settings=_editing(s))
    if name == "chain-of-knowledge":
        adapting = Adapting(**vars(_editing(s)), domains=s.domains, at_once=s.at_once)
        return partial(chain_of_knowledge, asking=asking, settings=adapting)
    acting = Acting(most_steps=s.most_steps, writer=s.writer)
    if name == "react":
        return partial(react, asking=asking, acting=acting)
    backed = react_then_cot_sc if name == "react-then-cot-sc" else cot_sc_then_react
    return partial(backed, acting=acting, asking=asking, samples=s.samples, temperature=s.temperature)


def _editing(s: Settings) -> Editing:
    return Editing(
        samples=s.samples,
        temperature=s.temperature,
        gate=s.gate,
        top=s.top,
        fetch=s.fetch,
        target=s.target,
        keep_original=s.keep_original,
        writer=s.writer,
        shots=s.shots,
    )
