"""Chain-of-Knowledge (Li et al., ICLR 2024; first called Knowledge Adapting): correct each step before the next one.

    chains  ← n samples; if they agree: the majority's answer
    domains ← which fields of knowledge does the question need?
    for each step i of the likeliest chain:
        queries ← one for each source of these domains, in the source's language
        step i  ← corrected by what they found
        steps i+1, i+2, … ← written anew after the corrected ones        (“at once”: all steps corrected apart)
    answer ← the prompt with the corrected chain already written

Any number of steps; answer options stand in every prompt. All findings of all sources are ranked together and the best
few kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tandem.errors import UserError
from tandem.metrics.normalise import answer_form
from tandem.reason.asking import Exchange
from tandem.reason.chains import Asking, finish, go_on
from tandem.reason.editing import Edited, Editing, concluded, corrected, doubtful, evidence, require, sentence
from tandem.reason.kinds import shown, standing
from tandem.reason.plain import self_consistency, voted
from tandem.together import together
from tandem.trace import note, step
from tandem.types import LM, Answer, Question, Source

CHOOSE = "Name the fields of knowledge the question needs, with commas between"
MOST_STEPS = 8
"""So many steps are checked; what a chain has besides stays as it is."""


@dataclass(frozen=True)
class Domain:
    """A field of knowledge and who knows it."""

    about: str
    """What it covers, in a few words for the model."""
    sources: tuple[str, ...]
    """Names of its sources."""


@dataclass(frozen=True)
class Adapting(Editing):
    """How Chain-of-Knowledge corrects; the rest as in `Editing`."""

    domains: Mapping[str, Domain] = field(default_factory=dict)
    """Fields of knowledge by name; none: every source is asked."""
    at_once: bool = False
    """Correct all steps apart from each other, instead of writing later steps anew after a correction."""


async def chain_of_knowledge(
    question: Question, lm: LM, sources: Sequence[Source], *, asking: Asking, settings: Adapting
) -> Answer:
    """The majority's answer, or one that rests on corrected steps."""
    require(lm, settings)
    found = await self_consistency(question, lm, asking, settings.samples, settings.temperature)
    if not await doubtful(question, found, lm, asking, settings):
        return voted(found)
    chosen = await choose(question, lm, sources, asking, settings)
    own = [source.about(question) for source in chosen]
    if settings.at_once:
        edits = await together(correct(question, text, lm, own, asking, settings) for text in found.best.steps)
    else:
        edits = await progressively(question, found.best.steps, lm, own, asking, settings)
    if all(edit.outcome != "edited" for edit in edits):
        return concluded(question, found, edits, None, settings)
    final = await finish(question, lm, asking, [edit.text for edit in edits])
    return concluded(question, found, edits, final, settings)


async def progressively(
    question: Question, steps: Sequence[str], lm: LM, sources: Sequence[Source], asking: Asking, settings: Adapting
) -> list[Edited]:
    """Correct the first step, write the rest anew, correct the next, and so on to the end of the chain."""
    edits: list[Edited] = []
    rest = tuple(steps)
    while rest and len(edits) < MOST_STEPS:
        edit = await correct(question, rest[0], lm, sources, asking, settings)
        edits.append(edit)
        rest = rest[1:]
        if rest and edit.outcome == "edited":  # where nothing is written anew, the steps that were there are checked
            rest = await go_on(question, lm, asking, [each.text for each in edits]) or rest
    return [*edits, *(Edited(text, "not-checked") for text in rest)]


async def correct(
    question: Question, text: str, lm: LM, sources: Sequence[Source], asking: Asking, settings: Adapting
) -> Edited:
    """One step, corrected by what its sources find."""
    with step("correct", sentence=text):
        check = f"{question.text} {text}"
        found = await evidence(text, question, lm, sources, settings, check=check, sentence=text)
        if found.lacking:
            edit = Edited(text, found.lacking)
        else:
            edit = await corrected(question, text, found.findings, lm, asking, settings)
        note(edit=edit.text, edited=edit.outcome)
        return edit


async def choose(
    question: Question, lm: LM, sources: Sequence[Source], asking: Asking, settings: Adapting
) -> list[Source]:
    """The sources of the fields that the model names, and those of no field; all where it names none that is known."""
    if not settings.domains:
        return list(sources)
    known = {source.name for source in sources}
    for name, domain in settings.domains.items():
        if missing := sorted(set(domain.sources) - known):
            raise UserError(
                f"names the source {missing[0]!r}", where=f"domain {name}", remedy=f"known: {', '.join(sorted(known))}"
            )
    with step("choose domains"):
        listed = "; ".join(f"{name} ({domain.about})" for name, domain in settings.domains.items())
        shots = [Exchange(shown(d.question), ", ".join(d.domains)) for d in asking.demonstrations if d.domains]
        shots = [shot for shot in shots if set(shot.written.split(", ")) <= set(settings.domains)]
        line = await sentence(lm, asking, f"{CHOOSE}. There are: {listed}.", shots, shown(question), "Fields:", 40)
        found = standing(answer_form(line.text), {name: answer_form(name) for name in settings.domains})
        named = [name for name in settings.domains if name in found]
        wanted = {source for name in named for source in settings.domains[name].sources}
        elsewhere = {source for domain in settings.domains.values() for source in domain.sources} - wanted
        chosen = [source for source in sources if not named or source.name not in elsewhere]
        left = [source.name for source in sources if source not in chosen]
        note(written=line.text, domains=named or "all: none is named", **({"not asked": left} if left else {}))
        return chosen
