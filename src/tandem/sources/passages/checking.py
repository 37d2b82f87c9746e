"""Whether the files of a segment fit together: their lengths when it is opened, all their numbers after a failure.

Opening compares types, shapes and last ends, some microseconds whatever the size. What that lets pass (a number changed
in the middle of a file) is looked for when something fails, so that the error names the file; texts are checked as they
are read (`arrays`). What this does not do: hash numbers; one that changed into another that could be stays unseen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tandem.sources.passages import arrays

if TYPE_CHECKING:
    from tandem.sources.passages.segment import Segment

Array: TypeAlias = NDArray[Any]


def check(segment: Segment, gone: int) -> None:
    """Raises Damaged, naming the file, where lengths do not agree; `gone` is the number of the list of what is gone."""
    n, words, parts = len(segment.texts), len(segment.postings.terms), segment.postings
    pairs = len(parts.passages)
    u32: tuple[Any, ...] = (np.uint32,)
    few = (np.uint8, np.uint16)
    told: list[tuple[str, Array, tuple[Any, ...], tuple[int, ...]]] = [
        ("starts", parts.starts, (np.int64,), (words + 1,)),
        ("passages", parts.passages, u32, (pairs,)),
        ("often", parts.often, few, (pairs,)),
        ("most", parts.most, few, (words,)),
        ("lengths", parts.lengths, u32, (n,)),
        ("heading", segment.heading, u32, (n,)),
        ("places", segment.places, u32, (n, 2)),
        ("document-first", segment.document_first, u32, (len(segment.documents) + 1,)),
        ("origin-first", segment.origin_first, u32, (len(segment.origins) + 1,)),
        ("origin-keys", segment.keys(), (np.uint64,), (len(segment.origins),)),
    ]
    if segment.frequency is not None:
        told.append((f"gone-{gone}", segment.gone, u32, (segment.gone.size,)))
        told.append((f"frequency-{gone}", segment.frequency, (np.int64,), (words,)))
    for name, values, kinds, shape in told:
        if values.dtype not in kinds or values.shape != shape:
            raise _damaged(segment, name, "it does not fit the others")
    for name, ends, end in (
        ("starts", parts.starts, pairs),
        ("document-first", segment.document_first, n),
        ("origin-first", segment.origin_first, len(segment.documents)),
    ):
        if int(ends[-1]) != end:
            raise _damaged(segment, name, f"it ends at {int(ends[-1]):,}, not {end:,}")
    rows = segment.vectors
    if rows is not None and (rows.dtype != np.float16 or rows.ndim != 2 or len(rows) != n):
        raise _damaged(segment, "vectors", "it does not fit the others")


def examine(segment: Segment) -> None:
    """Raises Damaged for the first file whose numbers cannot be; nothing where all can."""
    parts = segment.postings
    texts = (segment.texts, segment.documents, segment.origins, segment.headings, parts.terms)
    rising = {f"{one.path.stem}-ends": one.ends for one in texts if isinstance(one, arrays.Texts)}
    rising |= {"document-first": segment.document_first, "origin-first": segment.origin_first, "starts": parts.starts}
    for name, values in rising.items():
        if bool((values[1:] < values[:-1]).any()):
            raise _damaged(segment, name, "its numbers do not rise")
    for name, values, end in (
        ("passages", parts.passages, len(segment)),
        ("heading", segment.heading, len(segment.headings)),
        ("gone-*", segment.gone, len(segment.origins)),
    ):
        if len(values) and int(values.max()) >= end:
            raise _damaged(segment, name, "a number in it is too large")
    frequency = segment.frequency
    if frequency is not None and bool(((frequency < 0) | (frequency > np.diff(parts.starts))).any()):
        raise _damaged(segment, "frequency-*", "more passages hold a word than there are")


@contextlib.contextmanager
def examined(segments: Sequence[Segment]) -> Iterator[None]:
    """Where something fails inside, and a file of these segments is damaged, the damage is what is raised."""
    try:
        yield
    except (IndexError, ValueError, OverflowError, MemoryError, OSError):
        for segment in segments:
            examine(segment)
        raise


def _damaged(segment: Segment, name: str, what: str) -> arrays.Damaged:
    return arrays.Damaged(segment.folder / f"{name}.npy", f"is damaged ({what})")
