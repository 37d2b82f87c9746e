"""From what the stages left to what a reader is told: figures, tables, curves and examples, in the order of interest.

Reads the stage folders only, so the same run always tells the same story, byte for byte; nothing here has a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tandem.evaluate.perplexity import figure
from tandem.recipes import ladder, published
from tandem.recipes.answers import SHOWN
from tandem.recipes.measuring import AFTER, BEFORE, MAJORITY, MENTIONS
from tandem.recipes.place import Place
from tandem.results import Cell, Curve, Example, Figure, Mark, Results, Section, Series, Table, from_json
from tandem.stats import Interval
from tandem.text import quantity
from tandem.world import MECHANISM

HEADLINES = 4
"""Figures a reader takes in at once."""
POINTS = 300
"""Points a loss curve is thinned to, by means over equal numbers of steps."""


def tell(place: Place) -> Results:
    """The results of a run whose stages all stand."""
    recipe = place.recipe
    measured = place.read("evaluate", "measured.json")
    answered = place.read("answers", "answers.json") if recipe.answers else None
    parameters = recipe.shape(place.read("tokenizer", "facts.json")["rows"]).parameters()
    tokens = sum(stage.steps * stage.batch for stage in recipe.stage)
    return Results(
        title=recipe.title or recipe.name,
        lead=" ".join(filter(None, (_lead(place, measured, parameters, tokens), ladder.lead(answered)))),
        headline=tuple([*ladder.headline(answered), *_headline(place, measured)][:HEADLINES]),
        sections=tuple(s for s in [*ladder.sections(place, answered), *_sections(place, measured)] if s.items),
        next_steps=tuple(_next_steps(place)),
    )


def _lead(place: Place, measured: dict[str, Any], parameters: int, tokens: int) -> str:
    stages = ", then ".join(f"{stage.context:,}" for stage in place.recipe.stage)
    text = (
        f"A decoder of {quantity(parameters)} parameters, trained from nothing on {quantity(tokens)} tokens "
        f"(context {stages})"
    )
    instances = next((a for a in measured["answers"] if a["kind"] == "instances"), None)
    if instances is None:
        return text + "."
    value = {name: interval["value"] for name, interval in instances["figures"].items()}
    return (
        f"{text} and tuned on instructions. On held-out instances of the tasks it was tuned on it answers "
        f"{value[AFTER]:.1%} exactly right; before tuning {value[BEFORE]:.1%}, the majority answer "
        f"{value[MAJORITY]:.1%}."
    )


def _headline(place: Place, measured: dict[str, Any]) -> list[Figure]:
    found = []
    for answered in measured["answers"]:
        interval = Interval.from_json(answered["figures"][AFTER])
        base = answered["figures"][MAJORITY]["value"]
        note = "exact match; chance is the majority answer"
        found.append(figure(f"held-out {answered['kind']}", interval, "%", base, note))
    if AFTER in measured.get("choice figures", {}):
        chosen: Figure = from_json(measured["choice figures"][AFTER])
        found.append(Figure("multiple choice", chosen.value, "%", chosen.low, chosen.high, chosen.chance, chosen.n))
    losses = place.read(f"train-{place.recipe.stage[-1].name}", "losses.json")
    if len(found) < HEADLINES and losses and losses[0]["bits_per_byte"]:
        total_bytes = sum(loss["bytes"] for loss in losses)
        bits = sum(loss["bits_per_byte"]["value"] * loss["bytes"] for loss in losses) / max(1, total_bytes)
        found.append(Figure("bits per byte", bits, note="held-out text of all sources, after the last stage"))
    return found


def _sections(place: Place, measured: dict[str, Any]) -> list[Section]:
    lead = f"Results on the made-up world are {MECHANISM}." if place.recipe.world else ""
    return [
        Section("examples", "Before and after instruction tuning", "", tuple(from_json(measured["examples"]))),
        Section("evaluation", "Evaluation", lead, tuple(_evaluation(measured))),
        Section("loss", "Training", "", (_loss(place), *_decisions(place))),
        Section("sources", "Held-out loss per source", "", tuple(_losses(place))),
        Section("position", "Loss by position", "", tuple(_positions(place))),
        Section("mixture", "The mixture", "Tokens are tokens seen; unique = seen / epochs.", tuple(_mixtures(place))),
        Section("corpus", "From raw text to tokens", "", tuple(_corpus(place))),
        Section("tokenizer", "The tokenizer", "", tuple(_tokenizer(place))),
    ]


def _evaluation(measured: dict[str, Any]) -> list[Table | Curve | Example]:
    found: list[Table | Curve | Example] = []
    if measured["answers"]:
        names = (MAJORITY, BEFORE, AFTER)
        rows: list[tuple[Cell, ...]] = []
        for answered in measured["answers"]:
            intervals = {name: Interval.from_json(answered["figures"][name]) for name in names}
            rows.append((answered["kind"], *(figure(n, intervals[n], "%") for n in names), intervals[AFTER].n))
        note = (
            "Exact match after normalising, 95 % Wilson intervals. Instances: new ones of tasks seen in tuning; tasks: "
        )
        note += "whole tasks not seen, of a type seen; types: whole task types not seen."
        if any(measured["left out"].values()):
            counted = ", ".join(f"{n} {kind}" for kind, n in measured["left out"].items() if n)
            note += f" Left out, because the prompt does not fit into the model's context: {counted}."
        found.append(Table("Held out, in three kinds", ("held out", *names, "items"), tuple(rows), note))
    if measured["comparisons"]:
        found.append(_paired(measured["comparisons"]))
    if measured["choices"]:
        found.append(_choices(measured["choices"]))
    found += [_per_task(answered) for answered in measured["answers"]]
    if measured["outcomes"]:
        found.append(_outcomes(measured["answers"], [from_json(table) for table in measured["outcomes"]]))
    return found


def _per_task(answered: dict[str, Any]) -> Table:
    """Every task with the tuned model's interval; the systems it is compared with as numbers alone."""
    table: Table = from_json(answered["table"])
    rows: list[tuple[Cell, ...]] = []
    for kind, task, *systems, tuned, n in table.rows:
        name = f"{kind}: {task}" if task else str(kind)
        rows.append((name, *(f"{f.value:.1%}" for f in systems if isinstance(f, Figure)), tuned, n))
    return Table(f"Per task: held-out {answered['kind']}", ("task", *table.columns[2:]), tuple(rows), table.note)


def _outcomes(answered: Sequence[dict[str, Any]], tables: Sequence[Table]) -> Table:
    rows = tuple(
        (f"held-out {one['kind']}", *row) for one, table in zip(answered, tables, strict=True) for row in table.rows
    )
    return Table("What became of the answers", ("items", *tables[0].columns), rows, tables[0].note)


def _choices(choices: Sequence[dict[str, Any]]) -> Table:
    """Multiple choice before and after, by how often the training text mentions the fact."""
    tables: list[Table] = [from_json(choice["table"]) for choice in choices]
    names = [choice["system"] for choice in choices]
    order = ["all", *MENTIONS]
    by_group = [{row[0]: row for row in table.rows} for table in tables]
    rows = []
    for group in sorted(by_group[0], key=lambda g: order.index(str(g))):
        items = by_group[0][group][4]
        rows.append((group, *(each[group][2] for each in by_group), items))
    note = "Which option continues the statement best: log-probability per character. 95 % Wilson intervals."
    return Table("Multiple choice: facts of the world", ("the fact is", *names, "items"), tuple(rows), note)


def _paired(comparisons: Sequence[dict[str, Any]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            f"held-out {c['kind']}",
            c["other"],
            figure("difference", Interval.from_json(c["difference"]), "%"),
            f"{c['only_system']} : {c['only_other']}",
            f"{c['p']:.2g}",
            "yes" if c["apart"] else "no",
        )
        for c in comparisons
    ]
    columns = ("items", "after tuning against", "difference", "only one right", "p", "intervals apart")
    return Table(
        "Is the difference real?",
        columns,
        tuple(rows),
        "Paired bootstrap; exact McNemar test, two-sided; intervals are each system's own.",
    )


def _loss(place: Place) -> Curve:
    """Training loss over tokens seen, the stage switches marked."""
    series, marks, seen = [], [], 0
    keys = [(f"train-{s.name}", s.name, f"{s.context:,} tokens") for s in place.recipe.stage]
    if place.recipe.tuning:
        keys.append(("tune", "tuning (answers only)", "tuning"))
    for key, name, label in keys:
        history = place.read(key, "history.json")
        if seen:
            marks.append(Mark(float(seen), label))
        x, y = [], []
        size = max(1, -(-len(history["loss"]) * len(keys) // POINTS))
        for first in range(0, len(history["loss"]), size):
            losses = [v for v in history["loss"][first : first + size] if v is not None]
            seen += sum(history["tokens"][first : first + size])
            x.append(float(seen))
            y.append(sum(losses) / len(losses) if losses else float("nan"))
        series.append(Series(name, tuple(x), tuple(y)))
    return Curve("Training loss", "tokens seen", "nats/token", tuple(series), tuple(marks))


def _decisions(place: Place) -> list[Table]:
    rows: list[tuple[Cell, ...]] = []
    keys = [f"train-{s.name}" for s in place.recipe.stage] + (["tune"] if place.recipe.tuning else [])
    for key in keys:
        for d in place.read(key, "history.json")["decisions"]:
            rows.append((key.removeprefix("train-"), d["step"], d["kind"], d["seen"], d["done"]))
    return (
        [Table("Unusual steps", ("stage", "step", "kind", "what was seen", "what was done"), tuple(rows))]
        if rows
        else []
    )


def _losses(place: Place) -> list[Table]:
    stages = place.recipe.stage
    read = {s.name: {loss["source"]: loss for loss in place.read(f"train-{s.name}", "losses.json")} for s in stages}
    rows: list[tuple[Cell, ...]] = []
    for source, last in read[stages[-1].name].items():
        bits = [read[s.name][source]["bits_per_byte"] for s in stages]
        shown = [figure("bits/byte", Interval.from_json(b)) if b else None for b in bits]
        nats = last["nats_per_token"]["value"]
        rows.append((_title(place, source), *shown, nats, last["tokens"]))
    if not rows:
        return []
    columns = ("source", *(f"bits/byte after {s.name}" for s in stages), "nats/token, last", "tokens")
    note = (
        "95 % intervals by bootstrap over context windows. Bits per byte compare across tokenizers; end marks count in "
    )
    return [Table("Held-out loss", columns, tuple(rows), note + "nats per token only.")]


def _positions(place: Place) -> list[Curve | Table]:
    stages = place.recipe.stage
    series, last = [], []
    for stage in stages:
        last = place.read(f"train-{stage.name}", "positions.json")
        if last:
            y = tuple(b["nats"]["value"] for b in last)
            series.append(Series(f"after {stage.name}", tuple(float(b["last"]) for b in last), y))
    if not series:
        return []
    marks = {s.context: Mark(float(s.context), f"trained on {s.context:,}") for s in stages}
    curve = Curve(
        "Loss by position",
        "tokens of the document seen",
        "nats/token",
        tuple(series),
        tuple(marks.values()),
        log_x=True,
        note="Held-out documents longer than twice the trained length where there are any. A model that uses its "
        "context gets better to the right, up to the length it was trained on.",
    )
    rows = tuple((_range(b), figure("nats/token", Interval.from_json(b["nats"])), b["tokens"]) for b in last)
    table = Table(f"After {stages[-1].name}", ("tokens seen", "nats/token", "targets"), rows)
    return [curve, table]


def _range(bucket: dict[str, Any]) -> str:
    first, last = bucket["first"], bucket["last"]
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


def _mixtures(place: Place) -> list[Table]:
    found = []
    for stage in place.recipe.stage:
        realised = place.read(f"train-{stage.name}", "mixture.json")
        rows: list[tuple[Cell, ...]] = [
            (
                _title(place, s),
                r["tokens"],
                r["epochs"],
                round(r["tokens"] / r["epochs"]),
                Figure("share", r["share"], "%"),
            )
            for s, r in sorted(realised.items(), key=lambda item: -item[1]["share"])
        ]
        rows.append(("total", sum(r["tokens"] for r in realised.values()), None, None, Figure("share", 1.0, "%")))
        columns = ("source", "tokens seen", "epochs", "unique tokens", "share")
        found.append(Table(f"Stage {stage.name!r}", columns, tuple(rows), bars="share"))
    if any(name.startswith("mixture:") for mixture in place.recipe.mixture.values() for name in mixture):
        theirs = published.table("xgen-stage-2")
        found.append(
            Table(f"Published beside: {theirs.title}", theirs.columns, theirs.rows, f"{theirs.source}. {theirs.note}")
        )
    return found


def _corpus(place: Place) -> list[Table]:
    rows: list[tuple[Cell, ...]] = []
    removed: list[tuple[Cell, ...]] = []
    for source in place.recipe.sources:
        report = place.read("corpus", f"{source}/report.json")
        train, held = report["train"], report["validation"]
        tokens = train["tokens"] + held["tokens"]
        text_bytes = train["text_bytes"] + held["text_bytes"]
        rows.append(
            (_title(place, source), train["documents"], held["documents"], text_bytes, tokens, text_bytes / tokens)
        )
        for step in report["steps"]:
            for what in ("removed", "changed"):
                for reason, n in step.get(what, {}).items():
                    removed.append((_title(place, source), step["step"], what, reason, n))
    columns = ("source", "documents", "held out", "bytes of text", "tokens", "bytes per token")
    found = [Table("What was read", columns, tuple(rows))]
    if removed:
        found.append(
            Table("What was removed or changed, and why", ("source", "step", "", "reason", "n"), tuple(removed))
        )
    return found


def _tokenizer(place: Place) -> list[Table]:
    facts = place.read("tokenizer", "facts.json")
    rows: list[tuple[Cell, ...]] = [("live ids", facts["live"]), ("rows of the embedding", facts["rows"])]
    found = [Table("Size", ("", ""), tuple(rows))]
    findings = tuple((f["severity"], f["name"], f["message"]) for f in facts["findings"])
    if findings:
        found.append(Table("What `tandem tokenizer check` says", ("severity", "check", "finding"), findings))
    return found


def _title(place: Place, source: str) -> str:
    return place.recipe.sources[source].title or source


def _next_steps(place: Place) -> list[tuple[str, str]]:
    steps = [
        ("Talk to the model", "tandem chat {run}"),
        ("The same from your own text", "tandem quickstart --text FOLDER --out runs/mine"),
    ]
    if place.recipe.tuning:
        tune = "tandem tune --model {run} --data chat.jsonl --out runs/tuned"
        steps.append(("Tune it further on your own conversations", tune))
    if place.recipe.answers and (index := place.folder("answers") / "index").is_dir():
        stage = f"{{run}}/{index.parent.name}"
        top = place.recipe.answers.top
        as_asked = f"--demonstrations {stage}/{SHOWN} --rank source --top {top}"
        look = f'tandem answer "QUESTION" --source passages:{stage}/index {as_asked} --explain'
        steps.append(("Look something up in the documents yourself", look))
    ask = 'OPENAI_API_KEY=KEY tandem ask --model openai:MODEL "QUESTION"'
    steps.append(("Ask a larger model with your own key", ask))
    return steps
