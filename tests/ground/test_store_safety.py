"""The store among other processes, threads and event loops, on a full disk, and on files that are not its own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from store_worker import sample

from tandem.errors import Failure, UserError
from tandem.store import Request, Sample, Store
from tandem.store.recorded import open_recorded

WORKER = [sys.executable, str(Path(__file__).with_name("store_worker.py"))]


def put(store: Store, *samples: Sample):
    async def putting():
        return await store.put(samples)

    return asyncio.run(putting())


def test_four_processes_share_one_file_and_all_see_the_answer_that_was_first(tmp_path):
    path, n = tmp_path / "answers.db", 300
    running = [
        subprocess.Popen([*WORKER, path, f"process-{i}", str(n)], stdout=subprocess.PIPE, text=True) for i in "abcd"
    ]
    heard = [process.communicate(timeout=60)[0].splitlines() for process in running]
    assert all(process.returncode == 0 for process in running)
    assert heard[0] == heard[1] == heard[2] == heard[3]
    assert len(heard[0]) == n
    with Store(path, read_only=True) as store:
        assert {record.outcome.text.split(" x")[0] for record in store.records()} == set(heard[0])
        assert store.stats()["model"]["answers"] == n


HOLDER = """
import asyncio, sys
from store_worker import sample
from tandem.store import Store

async def put(store, number):
    return await store.put([sample("held", number)])

with Store(sys.argv[1]) as store:
    for number in range(3):
        print("ready", flush=True)
        sys.stdin.readline()
        asyncio.run(put(store, number))
"""


def test_a_process_that_ends_takes_nothing_from_one_that_goes_on(tmp_path):
    """Locks tell a process that closes the file whether others have it open: if it is the last, the log is removed."""
    path = tmp_path / "answers.db"
    Store(path).close()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", HOLDER, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    for number in range(3):
        assert holder.stdout.readline() == "ready\n"
        with Store(path) as store:
            put(store, sample("we", 10 + number))
        opened, folder = open_recorded(path, lambda body: None)
        opened.close()
        assert folder is None
        assert path.with_name("answers.db-wal").exists()
        holder.stdin.write("\n")
        holder.stdin.flush()
    assert holder.wait(timeout=60) == 0
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM draws").fetchone() == (6,)
    connection.close()


def test_reading_a_record_that_is_open_here_drops_no_lock(tmp_path):
    path = tmp_path / "answers.db"
    Store(path).close()
    with Store(path):
        opened, _ = open_recorded(path, lambda body: None)
        opened.close()
        subprocess.run([*WORKER, path, "other", "1"], check=True, capture_output=True)
        assert path.with_name("answers.db-wal").exists()


def test_a_full_disk_is_said_keeps_what_was_acknowledged_and_is_overcome(tmp_path):
    done = subprocess.run(
        [*WORKER, tmp_path / "answers.db", "we", "2000", str(400_000)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    before, _, after = done.stdout.partition("ERROR ")
    assert str(tmp_path / "answers.db") in after and "full" in after and "free some space" in after
    assert before.splitlines() == [f"we says {n}" for n in range(len(before.splitlines()))] != []
    with Store(tmp_path / "answers.db") as store:
        assert store.stats()["model"]["answers"] == 2000
    assert after.rstrip().endswith("RECOVERED")


def test_a_file_of_a_newer_version_is_refused(tmp_path):
    Store(tmp_path / "answers.db").close()
    with sqlite3.connect(tmp_path / "answers.db") as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(UserError, match=r"newer version of Tandem.*format 7") as error:
        Store(tmp_path / "answers.db")
    assert error.value.where == str(tmp_path / "answers.db") and "upgrade" in error.value.remedy


@pytest.mark.parametrize("content", [b"question,answer\n" * 100, b"x"], ids=["text", "short"])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "answers.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"not a file of recorded answers"):
        Store(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(UserError, match="another program"):
        Store(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_a_damaged_file_and_a_spoilt_row_are_said(tmp_path):
    path = tmp_path / "answers.db"
    with Store(path) as store:
        put(store, *(sample("we", number) for number in range(200)))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE draws SET notes = '[' WHERE id = 1")
    connection.close()
    with Store(path) as store:
        with pytest.raises(Failure, match="a row cannot be read"):
            store.find(sample("we", 0).request, [0], max_tokens=16)
        with pytest.raises(Failure, match="a row cannot be read"):
            list(store.records())
    content = bytearray(path.read_bytes())
    for at in range(3 * 4096, len(content), 997):
        content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(Failure, match="the file is damaged") as error, Store(path) as store:
        list(store.records())
    assert ".recover" in error.value.remedy


def test_an_empty_file_left_by_a_kill_becomes_a_store(tmp_path):
    (tmp_path / "answers.db").touch()
    with Store(tmp_path / "answers.db") as store:
        put(store, sample("we", 1))


@pytest.mark.parametrize("place", ["a-file/answers.db", "/proc/answers.db", "."])
def test_a_place_that_cannot_hold_a_file_is_named(tmp_path, place):
    (tmp_path / "a-file").touch()
    with pytest.raises(UserError, match=r"cannot be opened") as error:
        Store(tmp_path / place)
    assert error.value.where == str(tmp_path / place) and "permissions" in error.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "shut").mkdir(mode=0o500)
    with pytest.raises(UserError, match="cannot be opened"):
        Store(tmp_path / "shut" / "answers.db")


def test_a_lock_that_is_kept_too_long_is_a_failure_and_later_work_goes_on(tmp_path):
    with Store(tmp_path / "answers.db", patience=0.2) as store:
        other = sqlite3.connect(tmp_path / "answers.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Failure, match=r"locked for more than 0\.2 s") as error:
            put(store, sample("we", 1))
        assert "end that process" in error.value.remedy
        assert store.find(sample("we", 1).request, [0], max_tokens=16) == {}
        other.execute("ROLLBACK")
        other.close()
        put(store, sample("we", 1))
        assert len(store.find(sample("we", 1).request, [0], max_tokens=16)) == 1


def test_a_lock_that_ends_in_time_is_waited_for(tmp_path):
    with Store(tmp_path / "answers.db", patience=20) as store:
        other = sqlite3.connect(tmp_path / "answers.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, lambda: other.execute("ROLLBACK")).start()
        put(store, sample("we", 1))
        other.close()


@pytest.mark.parametrize("wrong", [{"index": 2**70}, {"max_tokens": -(2**63) - 1}, {"finish": "end"}], ids=str)
def test_a_value_that_fits_no_cell_spoils_only_itself(tmp_path, wrong):
    good, bad = sample("we", 1), sample("we", 2)
    if "finish" in wrong:
        bad = replace(bad, outcome=replace(bad.outcome, **wrong))
    else:
        bad = replace(bad, **wrong)

    async def together(store):
        return await asyncio.gather(store.put([good]), store.put([bad]), store.put([good]), return_exceptions=True)

    with Store(tmp_path / "answers.db") as store:
        first, spoilt, last = asyncio.run(together(store))
        assert first == last == [good.outcome]
        assert isinstance(spoilt, Failure) and "a value cannot be recorded" in str(spoilt)
        assert spoilt.where == str(store.path)


def test_of_several_samples_handed_in_together_all_are_recorded_or_none(tmp_path):
    half = [sample("we", 1), replace(sample("we", 2), index=2**70), sample("we", 3)]

    async def together(store):
        return await asyncio.gather(store.put(half), store.put([sample("we", 4)]), return_exceptions=True)

    with Store(tmp_path / "answers.db") as store:
        spoilt, fine = asyncio.run(together(store))
        assert isinstance(spoilt, Failure) and fine == [sample("we", 4).outcome]
        assert [record.request for record in store.records()] == [sample("we", 4).request]
        assert store.stats() == {"model": {"answers": 1, "requests": 1, "tokens read": 1, "tokens written": 1}}


def test_looking_for_a_number_that_fits_no_cell_is_a_named_error(tmp_path):
    with Store(tmp_path / "answers.db") as store:
        put(store, sample("we", 1))
        with pytest.raises(Failure, match="a value cannot be recorded"):
            store.find(sample("we", 1).request, [2**70], max_tokens=16)


def test_answers_are_recorded_from_several_threads_with_event_loops_of_their_own(tmp_path):
    with Store(tmp_path / "answers.db") as store:

        def record(number):
            async def some():
                for i in range(20):
                    await store.put([sample(f"thread {number}", number * 100 + i)])

            asyncio.run(some())

        threads = [threading.Thread(target=record, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.stats()["model"]["answers"] == 120


def test_closing_commits_what_nobody_waited_for(tmp_path):
    async def hand_in(store):
        for number in range(50):
            store.put([sample("we", number)])

    with Store(tmp_path / "answers.db") as store:
        asyncio.run(hand_in(store))
    with Store(tmp_path / "answers.db") as store:
        assert store.stats()["model"]["answers"] == 50


def test_a_program_that_forgets_to_close_loses_nothing_and_leaves_one_file(tmp_path):
    code = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[2])\n"
        "from store_worker import sample, Store\n"
        "async def main():\n    store.put([sample('we', 1)])\n"
        "store = Store(sys.argv[1]); asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "answers.db", Path(__file__).parent], check=True, timeout=30)
    assert [path.name for path in tmp_path.iterdir()] == ["answers.db"]
    with Store(tmp_path / "answers.db") as store:
        assert store.stats()["model"]["answers"] == 1


def test_a_closed_store_says_so(tmp_path):
    store = Store(tmp_path / "answers.db")
    store.close()
    store.close()
    with pytest.raises(UserError, match="closed"):
        store.find(sample("we", 1).request, [0], max_tokens=16)
    with pytest.raises(UserError, match="closed"):
        put(store, sample("we", 1))


@pytest.mark.parametrize("child", ["ask", "close", "open", "forget", "nothing"])
def test_a_fork_in_the_middle_of_a_commit_is_refused_everything_ends_at_once_and_spoils_nothing(tmp_path, child):
    worker = Path(__file__).with_name("store_fork_worker.py")
    command = [sys.executable, str(worker), tmp_path / "answers.db", child]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)  # which no hang survives
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 model slow\n", "")


def test_reading_only_makes_no_file_and_changes_none(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        Store(tmp_path / "answers.db", read_only=True)
    assert list(tmp_path.iterdir()) == []
    with Store(tmp_path / "answers.db") as store:
        put(store, sample("we", 1))
    with Store(tmp_path / "answers.db", read_only=True) as store:
        assert len(list(store.records())) == 1
        with pytest.raises(UserError, match="reading only"):
            put(store, sample("we", 2))
    assert [path.name for path in tmp_path.iterdir()] == ["answers.db"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the superuser, to become nobody")
def test_a_file_in_a_folder_nobody_may_write_can_be_read(tmp_path):
    folder = tmp_path / "shut"
    with Store(folder / "answers.db") as store:
        put(store, sample("we", 1))
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from store_worker import Store\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "print(len(list(Store(sys.argv[1], read_only=True).records())))"
    )
    for parent in (folder, *folder.parents):
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    command = [sys.executable, "-c", code, folder / "answers.db", Path(__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "1\n", done.stderr
    assert [path.name for path in folder.iterdir()] == ["answers.db"]


def test_reading_only_works_beside_a_process_that_writes(tmp_path):
    with Store(tmp_path / "answers.db") as writing, Store(tmp_path / "answers.db", read_only=True) as reading:
        put(writing, sample("we", 1))
        assert reading.find(sample("we", 1).request, [0], max_tokens=16)


def test_taking_over_records_twice_changes_nothing_and_an_answer_beats_a_refusal(tmp_path):
    answer = sample("we", 1)
    refusal = replace(answer, outcome=replace(answer.outcome, finish="refusal", text="no"))
    with Store(tmp_path / "one.db") as one, Store(tmp_path / "two.db") as two:
        put(one, *(sample("we", number) for number in range(1200)))
        put(two, refusal)
        assert two.add(one.records()) == (1200, 0)
        assert two.add(one.records()) == (0, 1200)
        assert two.add([refusal]) == (0, 1)
        assert list(two.records()) == list(one.records())
        assert two.find(Request.of("model", {"prompt": {"text": "question 1"}}), [0], max_tokens=16) == {
            0: answer.outcome
        }
