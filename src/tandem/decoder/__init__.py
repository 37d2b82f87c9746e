"""The transformer: configuration, layers, weights in and out, adapters, caches, generating, scoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tandem.decoder.shape import RopeScaling, Shape

if TYPE_CHECKING:
    from tandem.decoder.model import Decoder
    from tandem.decoder.weights import load, save

__all__ = ["Decoder", "RopeScaling", "Shape", "load", "save"]


def __getattr__(name: str) -> Any:
    """Import torch only when a module that needs it is asked for: planning works from `Shape` alone."""
    if name == "Decoder":
        from tandem.decoder.model import Decoder

        return Decoder
    if name in ("load", "save"):
        from tandem.decoder import weights

        return getattr(weights, name)
    raise AttributeError(name)
