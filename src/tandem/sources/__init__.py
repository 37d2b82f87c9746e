"""Sources: whatever can be looked up, with its place and its date."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tandem.sources.dataset import Dataset
    from tandem.sources.passages.source import Passages
    from tandem.sources.recorded import Recorded, Recorder
    from tandem.sources.registry import Registry
    from tandem.sources.replayed import Replayed

__all__ = ["Dataset", "Passages", "Recorded", "Recorder", "Registry", "Replayed"]

_HOMES = {"Dataset": "dataset", "Passages": "passages.source", "Recorded": "recorded", "Recorder": "recorded"}
_HOMES |= {"Registry": "registry", "Replayed": "replayed"}


def __getattr__(name: str) -> Any:  # loaded when asked for: a source needs nothing of the others
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(import_module(f"tandem.sources.{_HOMES[name]}"), name)
