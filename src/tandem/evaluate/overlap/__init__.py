"""Whether test items stand in what a model was trained on or shown."""

from tandem.evaluate.overlap.items import Found, Looked
from tandem.evaluate.overlap.training import Training, look
from tandem.evaluate.overlap.words import COMMON, WORDS, words

__all__ = ["COMMON", "WORDS", "Found", "Looked", "Training", "look", "words"]
