"""docs/recipes.md, made from the schema: every section and key, its type, default and meaning.

    python -m tandem.recipes.reference > docs/recipes.md

A test holds the page to the schema. What this does not do: explain; the page's prose stands in `_HEAD` below.
"""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tandem.recipes import check, quantities, toml
from tandem.recipes.recipe import Recipe

_HEAD = """\
# Recipes

A recipe is one TOML file that describes a run: raw text → tokenizer → mixture → pre-training in stages → instruction
tuning → evaluation. `tandem run` executes it, `tandem plan` says what it will take. Three come with Tandem and go by
name: `quickstart`, `gpu-1h`, `xgen-7b`.

```sh
tandem plan gpu-1h
tandem plan xgen-7b --set stage.2k.tokens=900B --set mixture.first.commoncrawl.tokens=979.37B
```

`--set KEY=VALUE` changes one key; a stage goes by its name, the value is TOML or else plain text, and no value takes
the key out (`--set tokenizer.vocabulary= --set tokenizer.load=DIR`). A recipe is checked before anything runs, and all
problems are reported at once, each with its line and what to do; the exit status is then 2.

**Amounts.** Tokens and counts are numbers, or text with a unit: `K M B T` (powers of 1,000; `G` is `B`) and `Ki Mi Gi
Ti` (of 1,024), so `"800B"`, `879.37e9`, `"4Mi"`. Bytes are numbers, or text with `B kB MB GB TB KiB MiB GiB TiB`.

**Mixtures.** A row gives its `share`, and a mixture's shares sum to 1 (± 0.001), or its `tokens` *seen*, as the talk's
tables do; then share = tokens / sum, unique tokens = tokens / `epochs`, and the table must sum to the tokens of the
stages that use it (within 0.1 %). The data of another mixture is a row of its own: `"mixture:first" = { share = 0.5 }`.

**Learning rate.** One schedule, warm-up and cosine, runs over the steps of all stages, in order. A stage with a
`[stage.schedule]` has its own over its own steps instead, and is left out of the common one.

**Where settings come from.** `[[provenance]]` says which keys are published; `tandem plan` prints it of every key.
Defaults are LLaMA's (Touvron et al. 2023, arXiv 2302.13971) where the last column says so; XGen's own optimiser
settings are not published.

**Paths** are relative to the folder the command runs in.

The rest of this page is made from the schema: `python -m tandem.recipes.reference > docs/recipes.md`.
"""


def page() -> str:
    """The whole page, as Markdown."""
    parts = [_HEAD, _section("Top level", Recipe)]
    parts += [_section(f"`{header}`", model) for header, model in check.sections(Recipe)]
    return "\n".join(parts)


def _section(title: str, model: type[BaseModel]) -> str:
    doc = (model.__doc__ or "").strip()
    rows = []
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            continue
        cells = (f"`{name}`", _kind(field), _default(field), (field.description or "").replace("|", "\\|"))
        rows.append("| " + " | ".join(cells) + " |")
    table = ["| Key | Value | Default | Meaning |", "|---|---|---|---|", *rows, ""] if rows else []
    return "\n".join([f"## {title}", "", doc, "", *table])


def _is_section(annotation: Any) -> bool:
    bare = check.bare(annotation)
    while get_origin(bare) in (dict, list):
        bare = check.bare(get_args(bare)[-1])
    return isinstance(bare, type) and issubclass(bare, BaseModel)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "**needed**"
    extra = field.json_schema_extra
    source = f" ({extra['source']})" if isinstance(extra, dict) and "source" in extra else ""
    if field.default is None:
        return f"–{source}"
    return f"`{toml.value_text(field.default)}`{source}"


def _kind(field: FieldInfo) -> str:
    text = _type(field.annotation, list(field.metadata))
    return f"{text}, optional" if field.default is None else text


def _type(annotation: Any, metadata: list[Any]) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _type(inner, [*metadata, *_flat(more)])
    validators = [getattr(item, "func", None) for item in metadata]
    if quantities.tokens in validators:
        return "amount"
    if quantities.n_bytes in validators:
        return "bytes"
    if origin in (Union, UnionType):
        kinds = [_type(arm, metadata) for arm in get_args(annotation) if arm is not type(None)]
        return " or ".join(kinds)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin is list:
        return f"list of {_type(get_args(annotation)[0], [])}"
    names = {int: "whole number", float: "number", str: "text", bool: "`true`, `false`"}
    return " ".join([names.get(annotation, "table"), *_bounds(metadata)])


def _flat(metadata: list[Any]) -> list[Any]:
    return [item for entry in metadata for item in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]


def _bounds(metadata: list[Any]) -> list[str]:
    signs = ((Ge, "≥", "ge"), (Gt, ">", "gt"), (Le, "≤", "le"), (Lt, "<", "lt"))
    return [
        f"{sign} {getattr(item, name):g}" for item in metadata for kind, sign, name in signs if isinstance(item, kind)
    ]


if __name__ == "__main__":
    print(page(), end="")
