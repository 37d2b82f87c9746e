"""ReAct (Yao et al., ICLR 2023): thoughts, actions and observations in turn, and the two back-offs to CoT-SC.

    search[TEXT]     look it up: the first findings, read from the top
    lookup[WORD]     the next sentence of these findings that has the word; a new word begins at the top again
    finish[ANSWER]   the answer

At most 7 steps, as published (5 for claims); then there is no answer. A turn without a readable action is asked once
more for the action alone, which is counted. A model that writes its own observation is cut before it. A search that
finds nothing says so and leaves what was found before; a source that fails says that instead.

The back-offs (§3.2): `react_then_cot_sc` where ReAct has no answer, `cot_sc_then_react` where under half agree.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tandem.errors import UserError
from tandem.reason import kinds
from tandem.reason.asking import Exchange, draw, one_line, prompt
from tandem.reason.chains import Asking
from tandem.reason.demonstrations import Demonstration
from tandem.reason.looking_up import QueryWriter, look_up, shortened
from tandem.reason.plain import cot_sc, self_consistency, voted
from tandem.reason.queries import Prompted
from tandem.trace import note, step
from tandem.types import LM, Answer, Finding, Question, Source

TASK = (
    "Solve each question by turns of Thought, Action and Observation. An action is search[what to look up], "
    "lookup[a word in what was found] or finish[the answer]."
)
_ACTION = re.compile(r"\s*(search|lookup|finish)\s*\[(.*?)\]\s*\.?\s*\Z", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"(?:^|\n)\s*Action(?:\s*\d+)?\s*:\s*", re.IGNORECASE)
_THOUGHT = re.compile(r"\s*Thought(?:\s*\d+)?\s*:\s*", re.IGNORECASE)
_OBSERVED = re.compile(r"(?:^|\n)\s*Observation(?:\s*\d+)?\s*:", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Acting:
    """How it acts."""

    most_steps: int | None = None
    """Turns before it has to stop; None is the published number: 7, of claims 5."""
    sentences: int = 5
    """Sentences that a search shows."""
    fetch: int = 3
    """Findings of each source that a search reads."""
    turn_tokens: int = 100
    """Longest turn."""
    writer: QueryWriter = field(default_factory=Prompted)
    """Who writes queries for sources that are no text."""

    def __post_init__(self) -> None:
        if self.most_steps is not None and self.most_steps < 1:
            raise UserError(f"{self.most_steps} turns lead nowhere", where="turns", remedy="give at least 1")


@dataclass
class _Page:
    """What was found last, as sentences, and where `lookup` stands in it."""

    sentences: list[str] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()
    word: str = ""
    hits: list[str] = field(default_factory=list)
    at: int = 0


async def react(
    question: Question, lm: LM, sources: Sequence[Source], *, asking: Asking, acting: Acting | None = None
) -> Answer:
    """The answer it finishes with; outcome `no-answer` where its steps do not lead to one, `refused` at a refusal."""
    acting = acting or Acting()
    own = [source.about(question) for source in sources]
    kind = kinds.of(question)
    most = acting.most_steps or (5 if kind.name == "label" else 7)
    written, thoughts, page, used, repaired = "", list[str](), _Page(), list[Finding](), 0
    for n in range(1, most + 1):
        with step("turn", n=n):
            turn = await _turn(question, lm, asking, acting, written, n)
            note(thought=turn.thought, action=turn.action, argument=turn.argument)
            thoughts.append(turn.thought)
            repaired += turn.repaired
            if turn.action == "refused":
                return _made("", thoughts, used, "refused", n, repaired)
            if turn.action == "finish":
                answer = kind.read(turn.argument, question)
                gives_up = kinds.abstains(question, turn.argument)
                said = "abstained" if gives_up else "answered" if answer else "unparsed"
                return _made("" if gives_up else answer, thoughts, used, said, n, repaired)
            observation = await _observe(turn, question, lm, own, acting, page, used)
            note(observation=observation)
            written += (
                f"{turn.thought}\nAction {n}: {turn.action}[{turn.argument}]\n"
                f"Observation {n}: {observation}\nThought {n + 1}: "
            )
    return _made("", thoughts, used, "no-answer", most, repaired)


async def react_then_cot_sc(
    question: Question,
    lm: LM,
    sources: Sequence[Source],
    *,
    asking: Asking,
    acting: Acting | None = None,
    samples: int = 5,
    temperature: float = 0.7,
) -> Answer:
    """ReAct; where it has no answer, the majority of sampled chains."""
    first = await react(question, lm, sources, asking=asking, acting=acting)
    if first.text:
        return first
    with step("back off", why=first.outcome):
        second = await cot_sc(question, lm, sources, asking=asking, samples=samples, temperature=temperature)
        return replace(second, facts={**second.facts, "backed_off": first.outcome})


async def cot_sc_then_react(
    question: Question,
    lm: LM,
    sources: Sequence[Source],
    *,
    asking: Asking,
    acting: Acting | None = None,
    samples: int = 5,
    temperature: float = 0.7,
) -> Answer:
    """The majority of sampled chains; where it is under half of them, ReAct; where that has no answer, the majority."""
    found = await self_consistency(question, lm, asking, samples, temperature)
    if found.count >= found.n / 2:
        return voted(found)
    with step("back off", count=found.count, n=found.n):
        second = await react(question, lm, sources, asking=asking, acting=acting)
    before = voted(found)
    facts = {"before": before.text, "backed_off": f"{found.count} of {found.n} agree"}
    if second.text:
        return replace(second, facts={**second.facts, **facts})
    return replace(before, facts={**before.facts, **facts, "kept": f"ReAct: {second.outcome}"})


# ── A turn ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Turn:
    """What the model does in a turn."""

    thought: str
    action: str
    """search, lookup, finish, none, or refused."""
    argument: str
    repaired: bool
    """Whether the action had to be asked for."""


async def _turn(question: Question, lm: LM, asking: Asking, acting: Acting, written: str, n: int) -> _Turn:
    """Thought and action; the action is asked for once more where it cannot be read."""
    shots = [Exchange(kinds.shown(d.question, context=asking.context), trajectory(d)) for d in asking.demonstrations]
    given = kinds.shown(question, context=asking.context)

    async def ask(begun: str) -> str | None:
        put = prompt(lm, TASK, shots, given, "Thought 1:", begun, chat=asking.chat)
        (came,) = await draw(lm, put, max_tokens=acting.turn_tokens, stop=("\nObservation",), seed=asking.seed)
        return None if came.finish in ("refusal", "filter") else _OBSERVED.split(came.text.lstrip())[0]

    text = await ask(written.rstrip(" ")) or ""  # of a refusal nothing is a thought; the action is asked for once
    label = _LABEL.search(text)
    thought = _THOUGHT.sub("", text[: label.start()] if label else text, count=1).strip()
    found = _ACTION.match(_first_line(text[label.end() :])) if label else None
    if repaired := found is None:  # the first line is the thought, and the action is asked for
        thought = _first_line(thought)
        with step("ask for the action"):
            again = await ask(f"{written}{thought}\nAction {n}:")
        if again is None:
            return _Turn(one_line(thought), "refused", "", True)
        found = _ACTION.match(_LABEL.sub("", _first_line(again)))
    action, argument = (found[1].lower(), one_line(found[2])) if found else ("none", "")
    return _Turn(one_line(thought), action, argument, repaired)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


async def _observe(
    turn: _Turn, question: Question, lm: LM, sources: Sequence[Source], acting: Acting, page: _Page, used: list[Finding]
) -> str:
    """What the action shows."""
    asked = turn.argument
    if turn.action == "search" and asked:
        n, among = acting.fetch, kinds.listed(question)
        found = await look_up(asked, sources, lm, acting.writer, target=asked, top=n, fetch=n, options=among)
        if found.lacking:
            return f"Nothing found for {asked}." if found.lacking == "no-evidence" else "The sources did not answer."
        page.findings, page.word = found.findings, ""
        texts = [f"{each.title}: {each.text}" if each.title else each.text for each in found.findings]
        page.sentences = [sentence for text in texts for sentence in _SENTENCE.split(one_line(text))]
        used += [each for each in found.findings if each not in used]
        return shortened(" ".join(page.sentences[: acting.sentences]))
    if turn.action == "lookup" and asked:
        if asked.lower() != page.word:
            page.word, page.at = asked.lower(), 0
            page.hits = [sentence for sentence in page.sentences if page.word in sentence.lower()]
        if page.at >= len(page.hits):
            return "No more results."
        page.at += 1
        return shortened(f"(Result {page.at} / {len(page.hits)}) {page.hits[page.at - 1]}")
    return "That is no action. Use search[...], lookup[...] or finish[...]."


def trajectory(d: Demonstration) -> str:
    """A worked example as turns: each step is looked up, further down its page where that has one; then the answer."""
    turns: list[tuple[str, str, str]] = []
    for worked in d.steps:
        if worked.passage:
            turns.append(
                (f"I need to know: {worked.question}", f"search[{worked.question}]", worked.page or worked.passage)
            )
        if worked.passage and worked.page:
            turns.append(
                (
                    "It is not said here, perhaps further down.",
                    f"lookup[{worked.word}]",
                    f"(Result 1 / 1) {worked.passage}",
                )
            )
    said = d.steps[-1].checked or d.steps[-1].text if d.steps else ""
    lines = [
        f"Thought {n}: {t}\nAction {n}: {act}\nObservation {n}: {seen}" for n, (t, act, seen) in enumerate(turns, 1)
    ]
    last = len(turns) + 1
    lines.append(f"Thought {last}: {said}\nAction {last}: finish[{d.answer}]")
    return "\n".join(lines).removeprefix("Thought 1: ")


def _made(
    answer: str, thoughts: Sequence[str], used: Sequence[Finding], outcome: str, turns: int, repaired: int
) -> Answer:
    facts = {"turns": turns, "actions_asked_again": repaired}
    return Answer(answer, " ".join(t for t in thoughts if t), None, outcome, tuple(used), facts)
