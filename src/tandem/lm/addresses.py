"""An address in, a model out: `connect("embedded")`, `connect("https://host/v1#MODEL", store=…, budget=…)`.

What this does not do: hold models. Two calls with one address make two models; whoever wants to share one hands it
around. Libraries are imported for the kind of address that needs them and no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.errors import UserError

if TYPE_CHECKING:
    from tandem.lm.budget import Budget, Prices
    from tandem.lm.model import BackEnd, Model
    from tandem.store import Store

FORMS = {
    "embedded": "the small model that comes with Tandem",
    "local:DIR": "a LLaMA-family folder or a run's folder, by our own decoder",
    "hf:DIR": "any causal model that transformers loads from a folder",
    "openai:MODEL": "OpenAI",
    "anthropic:MODEL": "Anthropic",
    "https://host/v1#MODEL": "any OpenAI-compatible server, over http too",
    "NAME or NAME:MODEL": "an endpoint of models.toml",
    "replay:FILE[#NAME]": "recorded answers only",
    "scripted:FILE": "rules, for tests and docs",
}
"""Every form of address, and what it stands for."""

NEEDED = {"local": "folder", "hf": "folder", "scripted": "file", "replay": "file"}
"""What stands behind the colon."""
ADAPTER = "+adapter:"
"""Begins the suffix that puts an adapter on a model of this machine."""


def connect(
    address: str,
    *,
    store: Store | None = None,
    budget: Budget | None = None,
    allow: Iterable[str] = (),
    precision: str = "auto",
    device: str | None = None,
    template: str | None = None,
    prices: Prices | Mapping[str, Prices] | None = None,
    retry_failed: bool = False,
    dry: bool = False,
) -> Model:
    """The model at an address, ready to be asked; `FORMS` lists the addresses.

    `store` keeps every answer (replayed ones stay where they are), `budget` limits what is spent, `allow` names the
    policies for what a model lacks, `retry_failed` asks again what failed before the store was opened. `precision`
    (auto, fp32, bf16) and `device` are for models of this machine, which cost nothing unless `prices` say so; `prices`
    (of this model, or by name) replace those of models.toml. `template` is a chat template in place of the own one of a
    `local:` model. With `dry` no key is read: the model can count and estimate, nothing more.

    Raises UserError: no such address, folder, file or policy; a key or package that is missing; an unusable model.
    """
    from tandem.lm import policies
    from tandem.lm import prices as pricing
    from tandem.lm.budget import Prices
    from tandem.lm.model import Model

    allowed = policies.chosen(allow)
    address = address.strip()
    base, suffix, adapter = address.partition(ADAPTER)
    kind, colon, rest = base.partition(":")
    backend: BackEnd
    known: Prices | None = Prices(0, 0)
    meant = f"write it as in local:DIR{ADAPTER}DIR"
    if not base:
        raise UserError("no model is named", where=address or "the address", remedy=_advice("", []))
    if suffix and not (base == "embedded" or kind in ("local", "hf")):
        raise UserError("adapters go on models of this machine only", where=address, remedy=meant)
    if suffix and not adapter:
        raise UserError("no adapter is named", where=base, remedy=meant)
    if colon and kind in NEEDED and not rest.partition("#")[0]:
        form = f"{kind}:{'DIR' if NEEDED[kind] == 'folder' else 'FILE'}"
        raise UserError(f"no {NEEDED[kind]} is named", where=kind, remedy=f"write it as in {form}")
    if template is not None and not (base == "embedded" or (colon and kind == "local")):
        raise UserError("takes no other chat template", where=address, remedy="use local:DIR, or its own template")
    if base == "embedded" or (colon and kind in ("local", "hf")):
        backend = _local(kind, rest, adapter if suffix else None, precision, device, template)
    elif colon and kind == "scripted":
        from tandem.lm.scripted import Scripted

        backend = Scripted.read(rest)
    elif colon and kind == "replay":
        from tandem.lm.replay import Replay

        # Policies belong to the questions it looks up; it lacks nothing itself.
        backend, store, allowed = Replay.read(rest, allow=allowed), None, frozenset()
    else:
        backend, known = _remote(address, dry)
    if isinstance(prices, Prices):
        known = prices
    elif prices is not None:
        known = pricing.find(prices, backend.name)
    return Model(backend, store=store, budget=budget, prices=known, allow=allowed, retry_failed=retry_failed)


def _local(
    kind: str, folder: str, adapter: str | None, precision: str, device: str | None, template: str | None
) -> BackEnd:
    """A model of this machine."""
    from tandem.lm import embedded
    from tandem.lm.locate import locate

    place = embedded.folder() if kind == "embedded" else locate(folder)
    if adapter is not None and not (Path(adapter) / "adapter_config.json").is_file():
        raise UserError("no adapter here (no adapter_config.json)", where=adapter, remedy="name its folder")
    if kind == "hf":
        from tandem.lm.hf import HuggingFace

        return HuggingFace.load(place, adapter=adapter, precision=precision, device=device)
    from tandem.lm.local import Local

    return Local.load(place, adapter=adapter, precision=precision, device=device, template=template)


def _remote(address: str, dry: bool) -> tuple[BackEnd, Prices | None]:
    """A model behind an endpoint, and its prices where models.toml tells them."""
    from tandem.lm import endpoints, models_file

    name = address.partition(":")[0]
    if not address.startswith(("http://", "https://")) and name not in endpoints.BUILT_IN:
        named = models_file.names()
        if name not in named:
            raise UserError(f"no model has the address {address!r}", remedy=_advice(address, named))
    from tandem.lm.remote import Remote

    endpoint = models_file.find(address)
    environment = {endpoint.key: "none"} if dry and endpoint.key else os.environ
    return Remote(endpoint, environment=environment), endpoint.prices


def _advice(address: str, named: list[str]) -> str:
    """What may have been meant, or the forms there are."""
    import difflib

    if address and Path(address).is_dir():
        return f"for the folder write local:{address} or hf:{address}"
    if Path(address).is_file():
        kinds = {".toml": "scripted", ".json": "scripted"}
        return f"for the file write {kinds.get(Path(address).suffix, 'replay')}:{address}"
    words = ["embedded", "local:", "hf:", "openai:", "anthropic:", "replay:", "scripted:", *named]
    near = difflib.get_close_matches(address, words, n=1, cutoff=0.75)
    meant = f"did you mean {near[0]!r}? " if near else ""
    width = max(map(len, FORMS))
    forms = "".join(f"\n      {form:<{width}}  {what}" for form, what in FORMS.items())
    here = f"\n    endpoints of models.toml here: {', '.join(named)}" if named else ""
    return f"{meant}an address is one of:{forms}{here}"
