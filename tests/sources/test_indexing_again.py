"""An indexing given again: what stood twice is never lost, and no index reads itself or another."""

import os
import shutil
from pathlib import Path

import pytest

from tandem.cli.main import main
from tandem.errors import UserError
from tandem.sources.documents.indexing import index
from tandem.sources.documents.reading import Reading
from tandem.sources.passages import Index, Origin, Writer

TEXT = "The quokka treaty was signed in Perth."


def build(paths, out, reading=None, **how):
    with Writer(out) as writer:
        return index(paths, writer, reading, **how)


def places(out, query="quokka"):
    return [hit.place for hit in Index(out).search(query, 9)]


@pytest.fixture
def folders(tmp_path):
    """A/a.txt, B/b.txt and C/c.txt, which say the same."""
    made = [tmp_path / name for name in "ABC"]
    for folder in made:
        folder.mkdir()
        (folder / f"{folder.name.lower()}.txt").write_text(TEXT)
    return made


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.index"


# ── Repeats ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_when_the_indexed_file_changes_its_repeat_from_another_call_takes_its_place(folders, out):
    a, b, _ = folders
    build([a], out)
    assert build([b], out).repeats == {f"{b}/b.txt": f"{a}/a.txt"}
    (a / "a.txt").write_text("New text.")
    done = build([a], out)
    assert places(out) == [f"{b}/b.txt:1"] and places(out, "new") == [f"{a}/a.txt:1"]
    assert done.instead == {f"{b}/b.txt": f"{a}/a.txt"}
    assert (done.books.read, done.replaced) == (2, 1)


@pytest.mark.parametrize("together", [True, False])
def test_when_the_indexed_file_is_pruned_its_repeat_takes_its_place_and_not_before(folders, out, together):
    a, b, _ = folders
    for paths in [[a, b]] if together else [[a], [b]]:
        build(paths, out)
    (a / "a.txt").unlink()
    assert build([a], out).missing == [f"{a}/a.txt"]
    assert places(out) == [f"{a}/a.txt:1"]
    assert build([a], out, prune=True).pruned == 1
    assert places(out) == [f"{b}/b.txt:1"]


def test_a_repeat_of_a_repeat_is_the_next_in_turn(folders, out):
    a, b, c = folders
    build([a], out)
    build([b], out)
    assert build([c], out).repeats == {f"{c}/c.txt": f"{a}/a.txt"}
    (a / "a.txt").write_bytes(b"")
    build([a], out)
    assert places(out) == [f"{b}/b.txt:1"]
    (b / "b.txt").unlink()
    build([b, a], out, prune=True)
    assert places(out) == [f"{c}/c.txt:1"]


def test_a_repeat_that_is_gone_by_then_is_told_and_the_next_one_is_read(folders, out):
    a, b, c = folders
    build(folders, out)
    (b / "b.txt").unlink()
    (a / "a.txt").write_text("New text.")
    done = build([a], out)
    assert done.missing == [f"{b}/b.txt"]
    assert places(out) == [f"{c}/c.txt:1"]
    assert not build([a], out).missing
    with Writer(out) as writer:
        assert sorted(Path(origin.key).name for origin in writer.origins()) == ["a.txt", "c.txt"]


def test_a_repeat_that_says_something_else_by_then_is_read_as_a_changed_file(folders, out):
    a, b, c = folders
    build(folders, out)
    (b / "b.txt").write_text("A wombat treaty.")
    (a / "a.txt").write_text("New text.")
    done = build([a], out)
    assert places(out, "wombat") == [f"{b}/b.txt:1"] and places(out) == [f"{c}/c.txt:1"]
    assert (done.books.read, done.replaced) == (3, 2)


def test_a_repeat_in_place_of_a_file_that_can_be_read_no_longer_and_both_unreadable(folders, out):
    a, b, _ = folders
    build([a, b], out)
    (a / "a.txt").write_bytes(bytes(99))
    shutil.copy(a / "a.txt", b / "twin.txt")
    done = build([a, b], out)
    assert done.books.skipped.counts == {"binary": 2} and places(out) == [f"{b}/b.txt:1"]
    assert not done.repeats
    assert build([b], out).books.skipped.counts == {"binary": 1}


def test_files_read_in_another_way_stay_repeats_of_each_other(folders, out):
    a, b, _ = folders
    build([a, b], out)
    build([a], out, Reading(words=50))
    assert places(out) == [f"{a}/a.txt:1"]
    (a / "a.txt").write_text("New text.")
    build([a], out, Reading(words=50))
    assert places(out) == [f"{b}/b.txt:1"]


def test_a_file_that_comes_back_to_a_content_another_has_now_is_a_repeat(folders, out):
    a, b, _ = folders
    build([a, b], out)
    (a / "a.txt").unlink()
    build([a, b], out)  # not pruned: both stand
    (a / "a.txt").write_text(TEXT)
    build([a, b], out)
    assert len(places(out)) == 1
    (a / "a.txt").write_text("New text.")
    (b / "b.txt").write_text("Other text.")
    build([a, b], out)
    assert places(out) == []


def test_repeats_change_nothing_of_what_an_index_is_and_survive_its_merging(folders, out, tmp_path):
    a, b, c = folders
    build([a], tmp_path / "one.index")
    for paths in ([a], [b], [c], [a], [b]):
        build(paths, out)
    assert Index(out).identity == Index(tmp_path / "one.index").identity
    with Writer(out) as writer:
        writer.merge(everything=True)
    assert (len(Index(out)), len(Index(out).header.pieces)) == (1, 1)
    serial = Index(out).header.serial
    build([a, b, c], out)
    assert Index(out).header.serial == serial  # nothing is written where nothing is new
    (a / "a.txt").write_text("New text.")
    build([a], out)
    assert places(out) == [f"{b}/b.txt:1"]


def test_an_index_that_never_kept_its_repeats_opens_and_learns_them_when_they_are_given(folders, out):
    a, b, _ = folders
    build([a, b], out)
    with Writer(out) as writer:  # as it was left before repeats were kept
        assert writer.remove(str(b / "b.txt"))
    assert places(out) == [f"{a}/a.txt:1"]
    build([b], out)
    (a / "a.txt").write_text("New text.")
    build([a], out)
    assert places(out) == [f"{b}/b.txt:1"]


def test_any_history_of_copies_holds_each_text_that_still_stands_once(tmp_path, out):
    """The law: what a text's last file goes with, and only that, is lost."""
    import random

    draws = random.Random(3)
    folders = [tmp_path / name for name in "AB"]
    for folder in folders:
        folder.mkdir()
    texts = ["quokka one", "wombat two", "emu three"]
    for step in range(12):
        file = draws.choice(folders) / f"{draws.randrange(3)}.txt"
        if draws.random() < 0.25:
            file.unlink(missing_ok=True)
        else:
            file.write_text(draws.choice(texts))
        given = draws.choice([*([folder] for folder in folders), folders])
        if not any(any(folder.iterdir()) for folder in given):
            continue
        build(given, out, prune=True)
        if step % 4 == 3 and any(any(folder.iterdir()) for folder in folders):
            build(folders, out, prune=True)
            stand = sorted({path.read_text() for folder in folders for path in folder.iterdir()})
            found = [hit for text in texts for hit in Index(out).search(text, 9)]
            assert sorted(hit.passage.text for hit in found) == stand
            assert all(Path(hit.about.file).read_text() == hit.passage.text for hit in found)


# ── Indexes among the files ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_index_inside_the_indexed_folder_does_not_index_itself(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    out = tmp_path / "sub" / "my.index"
    for _ in range(3):
        done = build([tmp_path], out)
        assert len(Index(out)) == 1
        assert done.books.skipped.names == {"index of passages, passed over": [str(out)]}
    assert done.books.unchanged == 1


def test_other_indexes_are_passed_over_and_other_files_named_index_json_are_read(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "index.json").write_text('{"quokka": "settings of a site"}')
    build([tmp_path / "a.txt"], tmp_path / "other.index")
    for paths in ([tmp_path], [f"{tmp_path}/*"], [f"{tmp_path}/**/*"]):
        done = build(paths, tmp_path.with_name("out.index"))
        assert done.books.skipped.counts == {"index of passages, passed over": 1}
    assert sorted(places(tmp_path.with_name("out.index"))) == [f"{tmp_path}/a.txt:1", f"{tmp_path}/index.json:1"]


@pytest.mark.parametrize("below", ["", "/segment-000001", "/segment-000001/texts.bin"])
def test_an_index_named_as_the_input_is_an_error(tmp_path, out, below):
    (tmp_path / "a.txt").write_text(TEXT)
    build([tmp_path / "a.txt"], out)
    with pytest.raises(UserError, match="is an index of passages itself") as told:
        build([f"{out}{below}"], tmp_path / "next.index")
    assert f'tandem index --search "…" {out}' in str(told.value)


def test_what_an_index_took_in_of_itself_before_is_told_and_pruned(tmp_path):
    (tmp_path / "a.txt").write_text("An echidna.")
    out = tmp_path / "my.index"
    build([tmp_path], out)
    own = out / "index.json"
    with Writer(out) as writer:
        writer.add(Origin(os.path.realpath(own), "1"), [])
    assert build([tmp_path], out).missing == [str(own)]
    assert build([tmp_path], out, prune=True).pruned == 1


def test_the_command_tells_what_is_read_instead_and_what_is_passed_over(folders, capsys, monkeypatch):
    a, b, c = folders
    monkeypatch.chdir(a.parent)
    assert main(["index", "A", "B", "C", "--out", "A/my.index"]) == 0
    (a / "a.txt").write_text("New text.")
    (b / "b.txt").unlink()
    capsys.readouterr()
    assert main(["index", "A", "--out", "A/my.index"]) == 0
    told = capsys.readouterr().out
    assert f"instead            1 files   {c}/c.txt for {a}/a.txt" in told
    assert "gone               1 files   removed" in told
    assert "1 index of passages, passed over: A/my.index" in told


def test_a_damaged_index_is_told_with_status_two_by_both_commands(folders, out, capsys):
    build(folders, out)
    (out / "segment-000001" / "documents.bin").write_bytes(b"")
    for arguments in (["--search", "quokka", str(out)], [str(folders[0]), "--out", str(out)]):
        assert main(["index", *arguments]) == 2
        told = capsys.readouterr().err
        assert "segment-000001/documents.bin" in told and f"remove {out}" in told
