"""The stages before any model: the made-up world, the tokenizer, text turned into tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

from tandem import tokenizer as tokenizers
from tandem.corpus import Document, Ledger, SourceSpec, build, documents
from tandem.recipes.place import Place, write_json
from tandem.recipes.recipe import Recipe
from tandem.recipes.sections import Source
from tandem.text import quantity, size
from tandem.tokenizer import Tokenizer
from tandem.world import World, passages, write

PASSAGES = "world:passages"


def make_world(place: Place, folder: Path) -> None:
    """Write the world's files: facts, entities, passages, questions, choices, tasks."""
    settings = place.recipe.world
    assert settings is not None
    counts = write(World.make(settings.seed, settings.facts), folder)
    place.watch.say("  " + " · ".join(f"{n:,} {name}" for name, n in counts.items()))


def source_documents(recipe: Recipe, source: Source) -> SourceSpec | Iterable[Document]:
    """Where a source's documents come from: files, or the world's passages."""
    if source.path == PASSAGES:
        assert recipe.world is not None, "checked with the recipe"
        return _passages(recipe)
    return SourceSpec(source.path, source.form or "auto", source.field, source.limit)


def _passages(recipe: Recipe) -> Iterator[Document]:
    assert recipe.world is not None
    for passage in passages(World.make(recipe.world.seed, recipe.world.facts)):
        yield Document(passage.text, passage.id)


def make_tokenizer(place: Place, folder: Path) -> None:
    """Load, build or train the tokenizer, and write down what it does to each source's text."""
    settings = place.recipe.tokenizer
    if settings.load:
        made = tokenizers.load(Path(settings.load))
    elif settings.xgen:
        made = tokenizers.xgen(Path(settings.xgen))
    else:
        assert settings.vocabulary is not None, "checked with the recipe"
        sample = list(_sample(place.recipe))
        place.watch.say(f"  training on {size(sum(len(t.encode()) for t in sample))} of text")
        made = tokenizers.train(sample, settings.vocabulary, whitespace_runs=settings.whitespace_runs)
    made.save(folder)
    report = tokenizers.check(made)
    findings = [dataclasses.asdict(finding) for finding in report.findings]
    write_json(folder / "facts.json", {"live": made.live, "rows": made.vocabulary, "findings": findings})
    place.watch.say(f"  {made.live:,} ids in {made.vocabulary:,} rows")


def _sample(recipe: Recipe) -> Iterator[str]:
    """Texts of all sources, the same number of bytes of each, as long as they last."""
    assert recipe.tokenizer.sample
    each = recipe.tokenizer.sample // len(recipe.sources)
    for source in recipe.sources.values():
        left = each
        for document in documents(source_documents(recipe, source), Ledger()):
            yield document.text
            left -= len(document.text.encode())
            if left <= 0:
                break


def make_corpus(place: Place, folder: Path) -> None:
    """Build every source's shards; what came in, went out and was removed stays in each one's report.json."""
    made = encoder(place)
    for name, source in place.recipe.sources.items():
        report = build(
            source_documents(place.recipe, source),
            made,
            folder / name,
            seed=place.recipe.seed,
            validation=source.validation,
        )
        held = report.validation
        place.watch.say(
            f"  {name}: {report.train.documents:,} documents, {quantity(report.train.tokens)} tokens "
            f"({report.bytes_per_token:.2f} bytes each), {held.documents:,} documents held out"
        )


def encoder(place: Place) -> Tokenizer:
    """The run's tokenizer."""
    with place.made("tokenizer") as folder:
        return tokenizers.load(folder)
