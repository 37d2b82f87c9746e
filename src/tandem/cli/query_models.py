"""`--query-model [LANGUAGE=]ADDRESS`: models that write queries, in place of the one that answers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tandem.errors import UserError

if TYPE_CHECKING:
    from tandem.lm.budget import Budget
    from tandem.reason.looking_up import QueryWriter
    from tandem.reason.query_layout import Language
    from tandem.sources.entities import Linker
    from tandem.store import Store
    from tandem.types import LM, Source


def arguments(parser: Any) -> None:
    """The options."""
    parser.add_argument(
        "--query-model",
        action="append",
        default=[],
        metavar="[LANGUAGE=]ADDRESS",
        help="what writes queries in sql, sparql or text, such as sql=embedded+adapter:DIR; repeatable",
    )
    parser.add_argument(
        "--query-names", type=Path, metavar="FILE", help="names of things for SPARQL queries (docs/query-generator.md)"
    )


def named(options: argparse.Namespace) -> dict[Language, tuple[str, int | None]]:
    """Address and number of parts to show, by language. Raises UserError on what cannot be used, before any is opened.

    An adapter of `tandem train query-generator` knows its language; any other model without one writes SQL and SPARQL.
    """
    from tandem.reason.query_layout import LANGUAGES

    found: dict[Language, tuple[str, int | None]] = {}
    for given in options.query_model:
        head, equals, rest = given.partition("=")
        asked: Sequence[Language] = [one for one in LANGUAGES if equals and head == one]
        address = rest if asked else given
        facts = _facts(address)
        own: Sequence[Language] = [one for one in LANGUAGES if one == facts.get("language")]
        if asked and own and asked != own:
            remedy = f"write {own[0]}={address}, or name an adapter for {asked[0]}"
            raise UserError(f"was tuned to write {own[0]}", where=f"--query-model {given}", remedy=remedy)
        for language in asked or own or ("sql", "sparql"):
            if language in found and (asked or own):
                remedy = "name one model for each language"
                raise UserError(f"is the second one for {language}", where=f"--query-model {given}", remedy=remedy)
            found.setdefault(language, (address, facts.get("parts")))
    return found


def _facts(address: str) -> dict[str, Any]:
    """What is told beside an adapter of ours; nothing for any other model."""
    from tandem.lm.addresses import ADAPTER
    from tandem.recipes.query_results import FACTS

    _, plus, folder = address.partition(ADAPTER)
    place = Path(folder) / FACTS
    if not plus or not place.is_file():
        return {}
    try:
        facts = json.loads(place.read_text(encoding="utf-8"))
        parts = facts.get("parts")
        if not isinstance(parts, int | None):
            raise ValueError("`parts` is no number")
        return {"language": facts.get("language"), "parts": parts}
    except (OSError, ValueError, AttributeError) as e:
        raise UserError(f"cannot be read ({e})", where=str(place), remedy="copy the adapter's folder again") from e


def told(options: argparse.Namespace) -> dict[str, Any]:
    """What answers depend on besides: the writers, an adapter by what it holds; nothing where none was asked for."""
    from tandem.lm.addresses import ADAPTER
    from tandem.runs import file_hash

    found: dict[str, Any] = {}
    for language, (address, parts) in named(options).items():
        file = Path(address.partition(ADAPTER)[2] or "none") / "adapter_model.safetensors"
        held = f" {file_hash(file)[:16]}" if file.is_file() else ""
        found[language] = f"{address}{held}" + (f" {parts} parts" if parts is not None else "")
    if options.query_names:
        found["names"] = file_hash(options.query_names)[:16] if options.query_names.is_file() else ""
    return {"query_models": found} if found else {}


async def writer(
    options: argparse.Namespace,
    store: Store | None,
    budget: Budget,
    opened: AsyncExitStack,
    sources: Sequence[Source] = (),
) -> QueryWriter | None:
    """The writer that the options ask for; the models close with `opened`. None: the answering model writes.

    `sources` are those that will be asked: names of things come from the graphs among them.
    """
    models = named(options)
    if not models:
        if options.query_names:
            raise UserError("are for a model that writes SPARQL", where="--query-names", remedy="add --query-model")
        return None
    from tandem.lm import connect
    from tandem.reason.query_writer import QueryModel

    by_address: dict[str, LM] = {}
    for address, _ in models.values():
        if address not in by_address:
            by_address[address] = await opened.enter_async_context(
                connect(
                    address,
                    store=store,
                    budget=budget,
                    allow=options.allow,
                    precision=options.precision,
                    device=options.device,
                    retry_failed=options.retry_failed,
                )
            )
    return QueryModel(
        {language: by_address[address] for language, (address, _) in models.items()},
        {language: parts for language, (_, parts) in models.items() if parts is not None},
        link=await _linking(options, sources) if "sparql" in models else None,
    )


async def _linking(options: argparse.Namespace, sources: Sequence[Source]) -> Any:
    """Names of things: from the table that is given, else from the labels of the graphs in files among the sources."""
    from tandem.sources.entities import Linker
    from tandem.sources.recorded import behind
    from tandem.sources.sparql import GraphFile

    table = Linker.read(options.query_names) if options.query_names else None
    own: dict[str, Linker] = {}
    for source in sources if table is None else ():
        graph = behind(source)
        if isinstance(graph, GraphFile):
            own[source.name] = await Linker.of_graph(graph)

    async def link(need: str, source: Source) -> list[tuple[str, str]]:
        linker = table or own.get(source.name)
        return [(m.text, m.best.id) for m in linker.link(need)] if linker else []

    return link
