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

from tandem.reason import kinds
from tandem.reason.asking import Exchange, draw, is_chat, prompt
from tandem.reason.chains import Asking
from tandem.reason.demonstrations import Demonstration
from tandem.reason.looking_up import QueryWriter, look_up
from tandem.reason.plain import cot_sc, self_consistency, voted
from tandem.reason.queries import Prompted
from tandem.trace import note, step
from tandem.types import LM, Answer, Finding, Question, Source

TASK = (
    "Solve each question by turns of Thought, Action and Observation. An action is search[what to look up], "
    "lookup[a word in what was found] or finish[the answer]."
)
_ACTION = re.compile(r"\s*(search|lookup|finish)\s*\[(.*?)\]\s*\Z", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"(?:^|\n)\s*Action(?:\s*\d+)?\s*:\s*", re.IGNORECASE)
_OBSERVED = re.compile(r"\n\s*Observation(?:\s*\d+)?\s*:", re.IGNORECASE)
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
    """The answer it finishes with; outcome `no-answer` where it does not finish in its steps."""
    acting = acting or Acting()
    own = [source.about(question) for source in sources]
    kind = kinds.of(question)
    most = acting.most_steps or (5 if kind.name == "label" else 7)
    written, thoughts, page, used = "", [], _Page(), list[Finding]()
    for n in range(1, most + 1):
        with step("turn", n=n):
            thought, action, argument = await _turn(question, lm, asking, acting, written, n)
            note(thought=thought, action=action, argument=argument)
            thoughts.append(thought)
            if action == "finish":
                answer = kind.read(argument, question)
                return _made(answer, thoughts, used, "answered" if answer else "unparsed", n)
            observation = await _observe(action, argument, lm, own, acting, page, used)
            note(observation=observation)
            written += f"{thought}\nAction {n}: {action}[{argument}]\nObservation {n}: {observation}\nThought {n + 1}: "
    return _made("", thoughts, used, "no-answer", most)


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
    _, found = await self_consistency(question, lm, asking, samples, temperature)
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


async def _turn(
    question: Question, lm: LM, asking: Asking, acting: Acting, written: str, n: int
) -> tuple[str, str, str]:
    """Thought, action and argument; the action is asked for once more where it cannot be read."""
    shots = [Exchange(kinds.shown(d.question), trajectory(d)) for d in asking.demonstrations]

    async def ask(begun: str) -> str:
        put = prompt(lm, TASK, shots, kinds.shown(question), "Thought 1:", begun, chat=asking.chat)
        stop = () if is_chat(put) else ("\nObservation",)
        (came,) = await draw(lm, put, max_tokens=acting.turn_tokens, stop=stop, seed=asking.seed)
        return _OBSERVED.split(came.text)[0]

    text = await ask(written.rstrip(" "))
    thought, found = _split(text)
    if found is None:  # the first line is the thought, and the action is asked for
        thought = thought.splitlines()[0] if thought else ""
        with step("ask for the action"):
            again = await ask(f"{written}{thought}\nAction {n}:")
        found = _ACTION.match(again.strip().splitlines()[0] if again.strip() else "")
    if found is None:
        return thought, "none", ""
    return thought, found[1].lower(), " ".join(found[2].split())


def _split(text: str) -> tuple[str, re.Match[str] | None]:
    """Thought and action of a turn."""
    label = _LABEL.search(text)
    if label is None:
        return text.strip(), None
    rest = text[label.end() :].strip()
    return text[: label.start()].strip(), _ACTION.match(rest.splitlines()[0] if rest else "")


async def _observe(
    action: str,
    argument: str,
    lm: LM,
    sources: Sequence[Source],
    acting: Acting,
    page: _Page,
    used: list[Finding],
) -> str:
    """What the action shows."""
    if action == "search":
        found = await look_up(
            argument, sources, lm, acting.writer, target=argument, top=acting.fetch, fetch=acting.fetch
        )
        if not found.findings:
            return "The sources cannot be reached." if found.failed else f"Nothing found for {argument}."
        page.findings, page.word = found.findings, ""
        page.sentences = [s for f in found.findings for s in _SENTENCE.split(" ".join(f"{f.title}: {f.text}".split()))]
        used += [each for each in found.findings if each not in used]
        return " ".join(page.sentences[: acting.sentences]).removeprefix(": ")
    if action == "lookup":
        if argument.lower() != page.word:
            page.word, page.at = argument.lower(), 0
            page.hits = [s for s in page.sentences if page.word in s.lower()]
        if page.at >= len(page.hits):
            return "No more results."
        page.at += 1
        return f"(Result {page.at} / {len(page.hits)}) {page.hits[page.at - 1]}"
    return "That is no action. Use search[...], lookup[...] or finish[...]."


def trajectory(d: Demonstration) -> str:
    """A worked example as turns: each step is looked up, then the answer given."""
    parts, n = [], 0
    for n, worked in enumerate((w for w in d.steps if w.passage), 1):
        begun = "" if n == 1 else f"Thought {n}: "
        parts.append(
            f"{begun}I need to know: {worked.question}\nAction {n}: search[{worked.question}]\n"
            f"Observation {n}: {worked.passage}"
        )
    said = d.steps[-1].checked or d.steps[-1].text if d.steps else ""
    parts.append(f"{f'Thought {n + 1}: ' if n else ''}{said}\nAction {n + 1}: finish[{d.answer}]")
    return "\n".join(parts)


def _made(answer: str, thoughts: Sequence[str], used: Sequence[Finding], outcome: str, turns: int) -> Answer:
    return Answer(answer, " ".join(t for t in thoughts if t), None, outcome, tuple(used), {"turns": turns})
