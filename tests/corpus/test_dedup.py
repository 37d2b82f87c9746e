from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.corpus.dedup import Seen


@settings(max_examples=30, deadline=None)
@given(draws=st.lists(st.integers(0, 60), max_size=200), hashes=st.integers(1, 40))
def test_the_first_of_equal_texts_is_new_and_no_other_with_any_memory(draws: list[int], hashes: int) -> None:
    met: set[int] = set()
    with Seen(memory=hashes * 130) as seen:
        for n in draws:
            assert seen.add(f"text {n}") == (n not in met)
            met.add(n)


def test_many_texts_in_little_memory_are_told_apart_and_leave_no_files(tmp_path: Path) -> None:
    rng = random.Random(1)
    with Seen(memory=500 * 130, folder=tmp_path) as seen:
        largest = 0
        for n in range(20_000):
            assert seen.add(str(n))
            largest = max(largest, len(seen._fresh))
        assert largest <= 500
        assert 0 < len(seen._runs) < 10, "files are merged"
        assert len(list(tmp_path.rglob("*.hashes"))) == len(seen._runs)
        assert not any(seen.add(str(rng.randrange(20_000))) for _ in range(2_000))
        assert seen.add("20000")
    assert list(tmp_path.iterdir()) == []


def test_files_of_hashes_are_sorted_after_merging_in_slices(tmp_path: Path) -> None:
    with Seen(memory=1 << 16, folder=tmp_path) as seen:
        for n in range(30_000):
            seen.add(str(n))
        for _, rows in seen._runs:
            pairs = [(int(a), int(b)) for a, b in rows]
            assert pairs == sorted(set(pairs))
