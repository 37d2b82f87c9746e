"""An indexing that is ended early keeps whole files, and the same call goes on to what one call would have made."""

import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from tandem.cli.keeping import Keeping
from tandem.sources.documents.confined import Confined
from tandem.sources.documents.indexing import index
from tandem.sources.passages import Index, Writer, header


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(6):
        (folder / f"{n}.txt").write_text(f"note {n} of the bridge\n")
    (folder / "copy.txt").write_text("note 5 of the bridge\n")
    return folder


def built(notes, out, go_on=None):
    with Writer(out) as writer, Confined() as child:
        return index([notes], writer, confined=child, **({"go_on": lambda: go_on(writer)} if go_on else {}))


def test_files_that_were_read_before_the_end_are_kept_and_the_next_call_reads_the_others(notes, tmp_path):
    left = iter([True, True, False])
    done = built(notes, tmp_path / "index", lambda writer: next(left))
    assert (done.books.read, done.unread) == (2, 4) and len(Index(tmp_path / "index")) == 2
    done = built(notes, tmp_path / "index")
    assert (done.books.unchanged, done.books.read, len(done.repeats)) == (2, 4, 1)
    built(notes, tmp_path / "whole")
    assert Index(tmp_path / "index").identity == Index(tmp_path / "whole").identity


def test_an_index_that_is_committed_between_files_is_the_same_also_where_repeats_change(notes, tmp_path):
    for round in range(2):
        if round:
            (notes / "5.txt").write_text("note five, anew\n")  # its repeat is read in its place
        built(notes, tmp_path / "often", lambda writer: writer.commit() is not None)
        built(notes, tmp_path / "once")
        assert Index(tmp_path / "often").identity == Index(tmp_path / "once").identity
        assert len(Index(tmp_path / "often")) == 6 + round


def test_a_process_that_dies_leaves_what_was_committed_last(notes, tmp_path):
    class DiedError(BaseException):
        pass

    looked = []

    def commits_twice_and_dies(writer):
        looked.append(1)
        if len(looked) in (2, 3):
            writer.commit()
        if len(looked) == 5:
            raise DiedError
        return True

    with pytest.raises(DiedError):
        built(notes, tmp_path / "index", commits_twice_and_dies)
    assert len(Index(tmp_path / "index")) == 2
    done = built(notes, tmp_path / "index")
    assert (done.books.unchanged, done.books.read) == (2, 4)


def test_commits_come_at_intervals_that_grow_with_what_they_take():
    with Keeping(lambda: time.sleep(0.02), every=0.0) as keeping:
        assert keeping.go_on() and keeping.commits == 1
        assert keeping.go_on() and keeping.commits == 1  # twenty times 0.02 s have to go by
    with Keeping(lambda: None, every=60.0) as keeping:
        assert keeping.go_on() and keeping.commits == 0


def test_the_first_interrupt_ends_after_the_file_and_the_second_at_once():
    with Keeping(lambda: None) as keeping:
        assert keeping.go_on()
        signal.raise_signal(signal.SIGINT)
        assert keeping.asked and not keeping.go_on()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_waits_for_nothing_before_files_are_read_and_in_what_is_kept_as_a_whole():
    with Keeping(lambda: None) as keeping:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        keeping.go_on()
        keeping.whole()
        assert keeping.commits == 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_outside_of_the_main_thread_interrupts_are_left_alone():
    def work():
        with Keeping(lambda: None) as keeping:
            keeping.go_on()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture
def large(tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    draws = random.Random(1)
    words = [f"w{draws.randrange(20_000)}" for _ in range(20_000)]
    paragraphs = [" ".join(words[at : at + 100]) for at in range(0, len(words), 100)]
    for n in range(150):
        (folder / f"{n}.txt").write_text("\n\n".join([f"number {n}", *draws.sample(paragraphs, 100)]))
    return folder


def begun(large, out):
    """`tandem index` as soon as it reads."""
    command = [sys.executable, "-m", "tandem.cli.main", "index", str(large), "--out", str(out)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background job ignores it
    )
    while process.poll() is None and not any(out.glob("segment-*")):
        time.sleep(0.005)
    return process


def test_ctrl_c_keeps_what_was_read_and_the_same_command_goes_on(large, tmp_path):
    process = begun(large, tmp_path / "index")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "keeps what is read; Ctrl-C again ends at once" in err and "files were not read; the same command" in err
    kept = header.read(tmp_path / "index").total("origins")
    assert 0 < kept < 150
    again = begun(large, tmp_path / "index")
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 0 and f"unchanged  {kept:>9,} files" in out


def test_ctrl_c_twice_keeps_nothing_of_a_first_file_and_says_so(tmp_path):
    (tmp_path / "large").mkdir()
    with (tmp_path / "large" / "a.jsonl").open("w") as file:
        file.writelines(f'{{"text": "{n} {"word " * 300}"}}\n' for n in range(30_000))
    process = begun(tmp_path / "large", tmp_path / "index")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted: nothing of this call is kept" in err
    assert not (tmp_path / "index" / header.NAME).exists() and not any((tmp_path / "index").glob("segment-*"))
