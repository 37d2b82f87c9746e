"""`tandem train query-generator` on a small model, as a user starts it: runs, adapters, what cannot be used."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tandem import decoder, tokenizer
from tandem.cli.main import main
from tandem.decoder import Decoder, Shape
from tandem.errors import UserError
from tandem.lm.wording import Wording
from tandem.reason.query_pairs import read, read_schemas
from tandem.recipes.query_generator import QueryGenerator, texts
from tandem.recipes.query_material import Given, gather
from tandem.recipes.query_results import FACTS, items
from tandem.runs import read_results
from tandem.train.branched import Branched, loss
from tandem.train.loop import Settings, adamw, fit
from tandem.train.schedule import Cosine

TOWNS = ("Orn", "Zell")
BEFORE = 80
"""Epochs of what the small model is taught before."""
ADAPTER = Path("03-train") / "adapter"


def pair(n: int, **changed: object) -> dict:
    """Half of the pairs count, half look up."""
    town = TOWNS[n // 2 % len(TOWNS)]
    made = (f"Lake of {town}?", "lake") if n % 2 else (f"Hill of {town}?", "hill")
    query = f"SELECT {made[1]} FROM towns WHERE name = '{town}'"
    wrong = [query.replace(made[1], "hill" if made[1] == "lake" else "lake"), query.replace("SELECT", "SELEKT")]
    return {
        "id": str(n),
        "language": "sql",
        "need": made[0],
        "schema": "base",
        "query": query,
        "wrong": wrong,
    } | changed


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh little model, tables, pairs to train on and to measure with."""
    folder = tmp_path_factory.mktemp("generator")
    train, test = [pair(n) for n in range(8)], [pair(n, id=f"t{n}", split="towns") for n in range(4)]
    write(folder / "train.jsonl", *train)
    write(folder / "test.jsonl", *test)
    (folder / "schemas.json").write_text('{"base": {"summary": "Towns.", "parts": {"towns": "name, lake, hill"}}}')
    made = tokenizer.train([f"Need: {p['need']}\nSQL: {p['query']}\nWrong: Schema: - name" for p in train] * 4, 400)
    shape = Shape(
        vocabulary=made.vocabulary, layers=2, width=64, heads=2, kv_heads=2, head_width=32, mlp_width=128, context=512,
        eos=made.end, pad=made.pad,
    )  # fmt: skip
    (folder / "model").mkdir()
    model = Decoder(shape, seed=1)
    mistaken(model, made, folder)
    decoder.save(model, folder / "model")
    made.save(folder / "model")
    connection = sqlite3.connect(folder / "towns.sqlite")
    connection.execute("CREATE TABLE towns (name TEXT, lake TEXT, hill TEXT)")
    connection.executemany("INSERT INTO towns VALUES (?, ?, ?)", [(t, f"{t}see", f"{t}berg") for t in TOWNS])
    connection.commit()
    connection.close()
    return folder


def mistaken(model: Decoder, made: tokenizer.Tokenizer, folder: Path) -> None:
    """Teach a model to read needs, but to ask for hills where lakes are wanted, and the other way round."""
    wrong = read(folder / "train.jsonl").pairs
    wrong = tuple(replace(one, query=one.wrong[0]) for one in wrong)
    job = QueryGenerator("", Given("sql"))
    groups = texts(wrong, read_schemas(folder / "schemas.json"), Wording(made, context=512), made.end, job)
    packed = Branched(groups, context=256, rows=1, pad=made.pad, seed=0, epochs=BEFORE)
    settings = Settings(decay=0.0)
    fit(model, packed, adamw(model, settings), Cosine(5e-3, 10, packed.steps), settings, loss=loss())


def train(place: Path, out: Path, *more: str, pairs: str = "", data: str = "towns.sqlite") -> int:
    arguments = ["train", "query-generator", "--language", "sql", "--model", str(place / "model"), "--out", str(out)]
    arguments += ["--pairs", pairs or str(place / "train.jsonl"), "--schemas", str(place / "schemas.json")]
    arguments += ["--data", f"base={place / data}"] if data else []
    return main([*arguments, "--device", "cpu", "--context", "256", "--max-tokens", "40", *more])


LEARN = ("--epochs", "60", "--peak", "1e-2", "--lora", "16", "--shots", "0", "--rows", "1")


@pytest.fixture(scope="module")
def done(place: Path) -> Path:
    """A finished run."""
    out = place / "run"
    assert train(place, out, "--test", str(place / "test.jsonl"), *LEARN) == 0
    return out


def test_a_small_model_learns_to_write_queries_that_find_the_right_rows(done: Path) -> None:
    found = items(done)
    assert not any(one.outcome == "right" for one in found["untuned"])
    assert [one.outcome for one in found["tuned"]] == ["right"] * 4
    before, after, gained = read_results(done).headline
    assert (before.value, after.value, gained.value) == (0.0, 1.0, 1.0)


def test_the_adapter_is_a_peft_folder_that_tells_what_it_was_trained_for(done: Path) -> None:
    assert json.loads((done / ADAPTER / "adapter_config.json").read_text())["peft_type"] == "LORA"
    facts = json.loads((done / ADAPTER / FACTS).read_text())
    assert (facts["language"], facts["parts"]) == ("sql", 40)


def test_a_finished_run_is_not_repeated_and_another_setting_in_its_folder_is_an_error(
    place: Path, done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")}
    assert train(place, done, "--test", str(place / "test.jsonl"), *LEARN) == 0
    assert before == {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")}
    assert train(place, done, "--test", str(place / "test.jsonl"), *LEARN, "--seed", "1") == 2
    assert "seed" in capsys.readouterr().err


def test_a_tuned_model_writes_the_queries_of_tandem_answer(
    place: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = [("Steps:\\n1.$", " Lake of Orn?\\nAnswer: none"), ("Check:$", " Lake of Orn?")]
    rules += [("Finding:$", " The lake of Orn is Ornsee."), ("Answer:$", " Ornsee")]
    text = "".join(f'[[rule]]\nmatches = "{ends}"\nanswers = "{said}"\n' for ends, said in rules)
    (tmp_path / "rules.toml").write_text(text)
    given = ["answer", "Lake of Orn?", "--model", f"scripted:{tmp_path / 'rules.toml'}", "--gate", "always"]
    given += ["--samples", "1", "--source", f"sql:{place / 'towns.sqlite'}", "--explain", "--shots", "0"]
    address = f"local:{place / 'model'}+adapter:{done / ADAPTER}"
    assert main([*given, "--query-model", address]) == 0
    told = capsys.readouterr().out
    assert "lake: Ornsee" in told
    assert main([*given, "--query-model", f"sparql={address}"]) == 2
    assert "was tuned to write sql" in capsys.readouterr().err
    assert main([*given, "--query-model", address, "--query-model", f"sql={address}"]) == 2
    assert "is the second one for sql" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more", [("--contrast", "margin"), ("--contrast", "listing"), ("--learn", "text"), ("--parts", "0")]
)
def test_every_way_of_training_runs_and_lowers_its_loss(place: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    how = ("--epochs", "12", "--peak", "1e-2", "--shots", "0", "--test-limit", "1")
    assert train(place, tmp_path / "run", *how, *more) == 0
    loss = json.loads((tmp_path / "run" / "03-train" / "history.json").read_text())["loss"]
    assert loss[-1] < 0.7 * loss[0]


def test_without_files_to_measure_with_a_share_of_the_pairs_is_held_out_by_need(place: Path, tmp_path: Path) -> None:
    assert train(place, tmp_path / "run", "--held-out", "0.25", "--epochs", "1", "--shots", "0") == 0
    kept = json.loads((tmp_path / "run" / "01-pairs" / "kept.json").read_text())
    lines = {f"{place / 'train.jsonl'}:{n + 1}": pair(n)["need"] for n in range(8)}
    needs = [{lines[where] for where in kept[part]} for part in ("train", "test")]
    assert needs[1] and not needs[0] & needs[1]


def test_pairs_that_cannot_be_run_can_still_be_trained_on_and_that_is_said(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(place, tmp_path / "run", "--epochs", "1", data="") == 0
    assert "Not measured" in capsys.readouterr().out
    assert not (tmp_path / "run" / "02-before").exists()


def test_a_query_that_fails_on_its_own_data_is_named_and_can_be_left_out(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [pair(n) for n in range(6)] + [pair(6, query="SELECT sea FROM towns"), pair(7, language="cypher")]
    pairs = write(tmp_path / "bad.jsonl", *bad)
    assert train(place, tmp_path / "run", "--epochs", "1", pairs=pairs) == 2
    assert f"{pairs}:8 is in the language 'cypher'" in capsys.readouterr().err
    write(tmp_path / "bad.jsonl", *bad[:7])
    assert train(place, tmp_path / "run2", "--epochs", "1", "--held-out", "0", pairs=pairs) == 2
    assert f"{pairs}:7 fails on its own data: QueryInvalid: no such column: sea" in capsys.readouterr().err
    write(tmp_path / "bad.jsonl", *bad)
    more = ("--epochs", "1", "--on-bad", "skip", "--held-out", "0", "--shots", "0")
    assert train(place, tmp_path / "run3", *more, pairs=pairs) == 0
    counts = json.loads((tmp_path / "run3" / "01-pairs" / "pairs.json").read_text())
    assert (counts["train"], counts["skipped"], counts["failed"]) == (6, 1, 1)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (("--data", "base"), "--data"),
        (("--world", "nowhere"), "either a world or files of pairs"),
        (("--lora", "0"), "--lora"),
        (("--peak", "nan"), "--peak"),
        (("--form", "wikisql"), "WikiSQL has tables and SQL"),
        (("--form", "lcquad"), "LC-QuAD is in SPARQL"),
        (("--test", "nowhere.jsonl"), "nowhere.jsonl: no such file"),
        (("--max-tokens", "0"), "--max-tokens"),
        (("--held-out", "1"), "a size cannot be used"),
    ],
)
def test_what_cannot_be_used_is_named_before_anything_is_trained(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], problem: str
) -> None:
    assert train(place, tmp_path / "run", *more) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "run" / "03-train").exists()


def test_plain_questions_need_no_data_and_are_compared_as_words(place: Path, tmp_path: Path) -> None:
    rows = [pair(n, language="text", need=f"{t} has a lake.", query=f"Lake of {t}?") for n, t in enumerate(TOWNS)]
    pairs = write(tmp_path / "pairs.jsonl", *rows)
    given = ["train", "query-generator", "--language", "text", "--model", str(place / "model"), "--device", "cpu"]
    given += ["--pairs", pairs, "--test", pairs, "--out", str(tmp_path / "run"), "--shots", "0", "--max-tokens", "20"]
    assert main([*given, "--epochs", "60", "--peak", "3e-3", "--context", "128"]) == 0
    found = items(tmp_path / "run")
    assert {one.outcome for one in (*found["untuned"], *found["tuned"])} <= {"right", "other-words"}
    loss = json.loads((tmp_path / "run" / "03-train" / "history.json").read_text())["loss"]
    assert loss[-1] < 0.8 * loss[0]


def test_a_schema_that_is_described_nowhere_is_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = write(tmp_path / "pairs.jsonl", *(pair(n, schema="other") for n in range(4)))
    assert train(place, tmp_path / "run", pairs=pairs, data="") == 2
    assert "schema 'other': is described nowhere" in capsys.readouterr().err


def test_a_source_can_describe_itself_as_it_does_in_tandem_answer(place: Path, tmp_path: Path) -> None:
    data = {"base": place / "towns.sqlite"}
    given = Given("sql", pairs=(place / "train.jsonl",), data=data, describe="source")
    (described,) = gather(given, tmp_path).schemas.values()
    assert "Ornsee" in described.parts["towns"] and "SQLite" in described.summary


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from tandem.world import Sizes, World, write_knowledge

    made = [tmp_path_factory.mktemp("worlds") / f"w{seed}" for seed in (7, 8, 9)]
    for seed, folder in zip((7, 8, 9), made, strict=True):
        folder.mkdir()
        without = ("claims", "strata", "table-questions", "mixed")
        write_knowledge(World.make(seed, 300), folder, Sizes(queries=180), without=without)
    return made


@pytest.mark.parametrize("language", ["sql", "sparql", "text"])
def test_several_worlds_are_trained_on_and_one_that_was_never_seen_is_measured(
    worlds: list[Path], tmp_path: Path, language: str
) -> None:
    one = gather(Given(language, worlds=(worlds[0],)), tmp_path)  # type: ignore[arg-type]
    both = gather(Given(language, worlds=tuple(worlds[:2]), unseen_world=worlds[2]), tmp_path)  # type: ignore[arg-type]
    assert len({pair.id for pair in (*both.train, *both.test)}) == len(both.train) + len(both.test)
    assert len(both.train) > len(one.train) and all(p.schema in one.schemas for p in one.train if p.schema)
    assert {p.split for p in both.test} == {p.split for p in one.test} | {"worlds"}
    assert [p.need for p in both.test if p.split != "worlds"] == [p.need for p in one.test]
    if language != "text":
        asked = {p.schema for p in (*both.train, *both.test)}
        assert asked <= both.schemas.keys() and asked <= both.data.keys()
        seen, unseen = ({p.schema for p in both.test if (p.split == "worlds") == new} for new in (False, True))
        assert not seen & unseen and all(name.startswith("world 9: ") for name in unseen)
        assert all(both.data[p.schema].is_relative_to(worlds[2]) for p in both.test if p.split == "worlds")
    if language == "sparql":
        descriptions = [both.schemas[f"world {seed}: graph"].parts for seed in (7, 8, 9)]
        assert len({next(key for key, told in d.items() if told.startswith("spouse:")) for d in descriptions}) > 1


def test_no_relation_that_one_world_holds_out_is_trained_on_in_another(worlds: list[Path]) -> None:
    rows = {
        part: [json.loads(line) for w in worlds for line in (w / "queries" / f"{part}.jsonl").read_text().splitlines()]
        for part in ("train", "relations")
    }
    trained = {relation for row in rows["train"] for relation in row["relations"]}
    held_out = {
        tuple(json.loads((w / "knowledge.json").read_text())["held_out_of_training_queries"]["relations"])
        for w in worlds
    }
    assert len(held_out) == 1 and not trained & set(*held_out)
    assert all(set(row["relations"]) & set(*held_out) for row in rows["relations"])


def test_worlds_that_are_the_same_or_none_are_named(worlds: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"w7: seed 7 is there twice"):
        gather(Given("sql", worlds=(worlds[0], worlds[1]), unseen_world=worlds[0]), tmp_path)
    with pytest.raises(UserError, match="is no world with queries"):
        gather(Given("sql", worlds=(worlds[0], tmp_path)), tmp_path)
    with pytest.raises(UserError, match="--unseen-world"):
        gather(Given("sql", pairs=(Path(__file__),), unseen_world=worlds[0]), tmp_path)
