"""The scratch folder is empty at every start, whatever was left in it, and clearing it touches nothing else."""
# ruff: noqa: PTH102, PTH106, PTH116, PTH118, PTH123, PTH208 — names as a program makes them, by bare system calls

import os
import stat
from pathlib import Path

import pytest

from tandem.sandbox.view import Scratch


@pytest.fixture
def scratch():
    made = Scratch(1 << 20, mounted=False)
    yield made
    made.renew()
    os.rmdir(made.folder)


def test_a_new_folder_is_empty_and_its_owners_alone(scratch):
    assert os.listdir(scratch.folder) == []
    assert stat.S_IMODE(os.stat(scratch.folder).st_mode) == 0o700


def test_files_folders_and_links_are_cleared_away(scratch):
    here = Path(scratch.folder)
    (here / "a" / "b" / "c").mkdir(parents=True)
    for place in (here, here / "a", here / "a" / "b", here / "a" / "b" / "c"):
        (place / "file").write_text("x")
        (place / "link").symlink_to("/etc")
        (place / "loop").symlink_to("loop")
        (place / "hard").hardlink_to(place / "file")
    os.mkfifo(here / "a" / "pipe")
    scratch.renew()
    assert os.listdir(scratch.folder) == []


def test_five_thousand_folders_in_each_other_are_cleared_away(scratch):
    handle = os.open(scratch.folder, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=handle)
        below = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    scratch.renew()
    assert os.listdir(scratch.folder) == []


def test_what_a_link_leads_to_stays(scratch, tmp_path):
    kept = tmp_path / "kept"
    (kept / "inner").mkdir(parents=True)
    (kept / "file").write_text("kept")
    kept.chmod(0o755)
    here = Path(scratch.folder)
    (here / "to folder").symlink_to(kept)
    (here / "to file").symlink_to(kept / "file")
    (here / "a").mkdir()
    (here / "a" / "to folder").symlink_to(kept)
    (here / "a" / "hard").hardlink_to(kept / "file")
    scratch.renew()
    assert os.listdir(scratch.folder) == []
    assert (kept / "file").read_text() == "kept"
    assert (kept / "inner").is_dir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o755


def test_folders_closed_to_everybody_are_cleared_away(scratch):
    here = Path(scratch.folder)
    (here / "a" / "b" / "c").mkdir(parents=True)
    (here / "a" / "b" / "file").write_text("x")
    for name in ("a/b/file", "a/b/c", "a/b", "a"):
        (here / name).chmod(0)
    here.chmod(0)
    scratch.renew()
    assert os.listdir(scratch.folder) == []
    assert stat.S_IMODE(here.stat().st_mode) == 0o700


def test_names_that_are_no_text_are_cleared_away(scratch):
    here = os.fsencode(scratch.folder)
    for name in (b"\xff\xfe", b"a\nb", b"-rf", b"*", b" ", b"n" * 255, b"\xed\xa0\x80"):
        os.mkdir(os.path.join(here, name))
        with open(os.path.join(here, name, name), "w"):
            pass
    scratch.renew()
    assert os.listdir(scratch.folder) == []


def test_a_folder_moved_up_meets_no_name_that_is_there(scratch):
    here = Path(scratch.folder)
    for number in range(40):
        (here / f"{number}.left").write_text("a file where a folder wants to go")
        (here / f"x{number}" / f"{number}.left" / "y").mkdir(parents=True)
        (here / f"x{number}" / "z").mkdir()
    scratch.renew()
    assert os.listdir(scratch.folder) == []


def test_bytes_in_it_are_counted_without_following_links(scratch, tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    here = Path(scratch.folder)
    assert scratch.bytes() == 0
    (here / "file").write_bytes(b"x" * 100_000)
    (here / "link").symlink_to(tmp_path / "large")
    assert 100_000 <= scratch.bytes() < 200_000
