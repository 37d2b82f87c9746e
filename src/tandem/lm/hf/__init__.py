"""Models that `transformers` loads (`hf:DIR`), run in padded batches."""

from tandem.lm.hf.backend import HuggingFace

__all__ = ["HuggingFace"]
