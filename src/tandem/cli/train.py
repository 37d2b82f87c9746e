"""`tandem train query-generator`: tune an adapter that writes SQL, SPARQL or plain questions; measure it, too.

A command for tunings that are for one part of a method; conversations in general are `tandem tune`'s.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `tandem train`."""
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    summary = "an adapter that writes queries: a step in, SQL, SPARQL or a plain question out"
    _query_generator(what.add_parser("query-generator", help=summary, description=f"Tunes {summary}."))


def _query_generator(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--language", required=True, choices=["sql", "sparql", "text"], help="what is written; an adapter for each")
    add("--out", required=True, type=Path, metavar="DIR", help="run folder for adapter, figures and report")
    add("--model", default="embedded", help="embedded, a model's folder or a run's folder (default: embedded)")
    data = parser.add_argument_group("material", "a made-up world, or files of one's own (docs/query-generator.md)")
    add = data.add_argument
    add(
        "--world", type=Path, nargs="+", default=[], metavar="DIR", help="folders of `tandem world`, the first measured"
    )
    add("--unseen-world", type=Path, metavar="DIR", help="one that is measured with only (its split: worlds)")
    add("--pairs", type=Path, nargs="+", default=[], metavar="FILE", help="pairs to train on")
    add("--test", type=Path, nargs="+", default=[], metavar="FILE", help="pairs to measure with")
    add("--form", default="pairs", choices=["pairs", "wikisql", "lcquad"], help="of these files (default: pairs)")
    add("--tables", type=Path, nargs="+", default=[], metavar="FILE", help="WikiSQL's tables: one, or one a file")
    add("--schemas", type=Path, metavar="FILE", help="descriptions of what is asked, by name (JSON)")
    add("--data", action="append", default=[], metavar="NAME=FILE", help="tables or triples by name; repeatable")
    add("--describe", choices=["file", "source"], help="schemas as in the file, or as `tandem answer` shows them")
    add("--held-out", type=float, default=0.1, help="share to measure with where no --test is given (default: 0.1)")
    add("--limit", type=int, default=0, metavar="N", help="pairs to train on, drawn from the seed (default: all)")
    add("--test-limit", type=int, default=100, metavar="N", help="pairs to measure with in each split (default: 100)")
    add("--on-bad", default="error", choices=["error", "skip"], help="what to do with pairs that cannot be used")
    how = parser.add_argument_group("training")
    add = how.add_argument
    add("--lora", type=int, default=16, metavar="RANK", help="rank of the adapter (default: 16)")
    add("--alpha", type=float, default=0.0, help="LoRA's alpha (default: twice the rank)")
    add("--dropout", type=float, default=0.0, help="LoRA's dropout (default: 0)")
    add("--epochs", type=float, default=3.0, help="times each pair is seen (default: 3)")
    add("--context", type=int, default=2048, help="tokens of a row: a schema and the pairs that ask it (default: 2048)")
    add("--rows", type=int, default=1, help="rows per step (default: 1)")
    add("--peak", type=float, default=2e-4, help="highest learning rate (default: 2e-4)")
    add("--learn", default="query", choices=["query", "text"], help="what the loss falls on (default: query)")
    add("--contrast", default="none", choices=["none", "listing", "margin"], help="use of wrong queries (none)")
    add("--margin", type=float, default=1.0, help="nats by which right tokens lead (default: 1)")
    add("--parts", type=int, default=40, help="tables or predicates shown; 0: no schema (default: 40)")
    add("--shots", type=int, default=3, help="worked examples for the untuned model's second try (default: 3)")
    add("--max-tokens", type=int, default=192, metavar="N", help="longest query, in tokens (default: 192)")
    add("--precision", default="fp32", choices=["fp32", "bf16"], help="arithmetic of the products (default: fp32)")
    add("--seed", type=int, default=0, help="of what is drawn, order and adapter (default: 0)")
    add("--device", help="cpu, cuda, cuda:1 (default: the best there is)")
    add("--threads", type=int, help="CPU threads (default: all cores)")


def run(options: argparse.Namespace) -> int:
    """Measure, tune, measure; say what came of it and where the adapter is."""
    from tandem.cli.evaluate import markdown
    from tandem.cli.progress import watcher
    from tandem.errors import UserError
    from tandem.recipes import query_generator
    from tandem.recipes.query_material import Given
    from tandem.recipes.query_results import STAGES
    from tandem.results import Table

    data = {}
    for one in options.data:
        name, equals, path = one.partition("=")
        if not equals or not name or not path:
            raise UserError(f"is {one!r}", where="--data", remedy="write NAME=FILE, with a name that pairs use")
        data[name] = Path(path)
    if options.max_tokens < 1:
        raise UserError(f"is {options.max_tokens}", where="--max-tokens", remedy="give at least 1")
    described = options.describe or ("source" if data and not options.schemas else "file")
    given = Given(
        options.language,
        tuple(options.world),
        options.unseen_world,
        tuple(options.pairs),
        tuple(options.test),
        options.form,
        tuple(options.tables),
        options.schemas,
        data,
        described,
        options.held_out,
        options.limit,
        options.test_limit,
        options.on_bad == "skip",
        options.seed,
    )
    names = "model parts lora alpha dropout epochs context rows peak learn contrast margin shots precision seed"
    settings = {name: getattr(options, name) for name in names.split()}
    job = query_generator.QueryGenerator(given=given, longest=options.max_tokens, **settings)
    with watcher() as watch:
        results = query_generator.run(job, options.out, watch=watch, device=options.device, threads=options.threads)
    print(f"\n{results.lead}\n")
    for item in (item for section in results.sections[:1] for item in section.items if isinstance(item, Table)):
        print(markdown(item))
    print(f"Adapter: {options.out / STAGES[2] / 'adapter'}\nReport:  {options.out / 'report.html'}")
    return 0
