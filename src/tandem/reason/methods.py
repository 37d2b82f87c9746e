"""The methods by name, with the settings they take: what the command line and experiments choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tandem.errors import UserError
from tandem.reason import kinds
from tandem.reason.calibrated import calibrated
from tandem.reason.chain_of_knowledge import Adapting, chain_of_knowledge
from tandem.reason.chains import Asking
from tandem.reason.plain import cot, cot_sc, standard, verbal
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
_ACTING = frozenset(name for name in NAMES if "react" in name)
EDITING = frozenset({"verify-and-edit", "chain-of-knowledge"})
"""Those that check the steps of a chain."""
_VOTING = frozenset(NAMES) - {"standard", "cot", "react"}
USED: Mapping[str, frozenset[str]] = {
    "samples": _VOTING,
    "temperature": _VOTING,
    "gate": EDITING,
    "top": EDITING,
    "target": EDITING,
    "fetch": EDITING | {"calibrated"},
    "style": frozenset({"verify-and-edit"}),
    "at_once": frozenset({"chain-of-knowledge"}),
    "most_steps": _ACTING,
    "max_tokens": frozenset(NAMES) - {"standard", "react"},
    "answer_tokens": frozenset(NAMES) - {"react"},
    "sentence_tokens": EDITING,
    "turn_tokens": _ACTING,
    "writer": WITH_SOURCES,
}
"""Settings, and what of `Asking` not every method has a use for: by name, the methods that use it."""


@dataclass(frozen=True)
class Settings(Adapting):
    """Everything a method can be told; each takes what concerns it."""

    most_steps: int | None = None
    """ReAct's turns; None is the published number."""
    turn_tokens: int = Acting.turn_tokens
    """ReAct's longest turn."""


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
    if name == "standard":
        return partial(standard, asking=asking)
    if name == "cot":
        return partial(cot, asking=asking)
    if name in ("cot-sc", "verbal"):
        method = cot_sc if name == "cot-sc" else verbal
        return partial(method, asking=asking, samples=s.samples, temperature=s.temperature)
    if name == "calibrated":
        return partial(calibrated, asking=asking, settings=s)
    if name == "verify-and-edit":
        return partial(verify_and_edit, asking=asking, settings=s)
    if name == "chain-of-knowledge":
        return partial(chain_of_knowledge, asking=asking, settings=s)
    acting = Acting(most_steps=s.most_steps, turn_tokens=s.turn_tokens, writer=s.writer)
    if name == "react":
        return partial(react, asking=asking, acting=acting)
    backed = react_then_cot_sc if name == "react-then-cot-sc" else cot_sc_then_react
    return partial(backed, acting=acting, asking=asking, samples=s.samples, temperature=s.temperature)
