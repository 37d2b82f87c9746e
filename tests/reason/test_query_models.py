"""`tandem answer --query-model`: who writes the queries, what names it is told, and what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tandem.cli.main import main

TRIPLES = """
@prefix : <http://x.example/> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:Q1 rdfs:label "Mira Tal"@en ; :P1 :Q2 . :Q2 rdfs:label "Karo"@en .
"""
QUERY = "SELECT ?x { <http://x.example/Q1> <http://x.example/P1> ?x }"


def rules(path: Path, *said: tuple[str, str]) -> Path:
    """A scripted model: (what a prompt holds, what is then said)."""
    path.write_text(
        "".join(f"[[rule]]\ncontains = {json.dumps(has)}\nanswers = {json.dumps(say)}\n" for has, say in said)
    )
    return path


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A question whose one step is looked up in a graph."""
    (tmp_path / "facts.ttl").write_text(TRIPLES)
    answering = rules(
        tmp_path / "answering.toml",
        ("SPARQL:", " SELECT the answering model wrote this"),
        ("Finding:", " Mira Tal was born in Karo."),
        ("Check:", " Where was Mira Tal born?"),
        ("born in Karo.\nAnswer:", " Karo"),
        ("Steps:", " Mira Tal was born in Brell.\nAnswer: Brell"),
    )
    asked = ["answer", "Where was she born?", "--model", f"scripted:{answering}", "--gate", "always", "--samples", "1"]
    return [*asked, "--shots", "0", "--explain", "--source", f"sparql:{tmp_path / 'facts.ttl'}"]


def test_names_of_a_graph_in_a_file_are_linked_for_the_model_that_writes(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = rules(tmp_path / "writer.toml", ("Names: Mira Tal = <http://x.example/Q1>\nSPARQL:", f" {QUERY}"))
    assert main([*command, "--query-model", f"sparql=scripted:{writer}"]) == 0
    assert "x: Karo" in capsys.readouterr().out


@pytest.mark.parametrize("files", ["facts.ttl", "facts.ttl,more.ttl"])
def test_names_of_a_graph_that_a_file_of_sources_names_are_linked_also_on_record(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], files: str
) -> None:
    (tmp_path / "more.ttl").write_text("<http://x.example/Q3> <http://x.example/P1> <http://x.example/Q2> .")
    (tmp_path / "sources.toml").write_text(f'[source.graph]\naddress = "sparql:{files}"\n')
    writer = rules(tmp_path / "writer.toml", ("Names: Mira Tal = <http://x.example/Q1>\nSPARQL:", f" {QUERY}"))
    asked = [*command[: command.index("--source")], "--sources", str(tmp_path / "sources.toml")]
    assert main([*asked, "--query-model", f"sparql=scripted:{writer}", "--store", str(tmp_path / "answers.db")]) == 0
    assert "x: Karo" in capsys.readouterr().out


def test_names_out_of_a_table_take_the_place_of_the_graphs_own(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.tsv").write_text("id\tlabel\nx:Q1\tMira Tal\n")
    writer = rules(tmp_path / "writer.toml", ("Names: Mira Tal = x:Q1\nSPARQL:", f" {QUERY}"))
    names = ["--query-names", str(tmp_path / "names.tsv")]
    assert main([*command, "--query-model", f"scripted:{writer}", *names]) == 0
    assert "x: Karo" in capsys.readouterr().out
    assert main([*command, *names]) == 2
    assert "add --query-model" in capsys.readouterr().err


def test_a_query_that_the_graph_refuses_is_mended_by_the_model_that_writes(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = rules(tmp_path / "writer.toml", ("Failed query: SELEKT", f" {QUERY}"), ("SPARQL:", " SELEKT"))
    assert main([*command, "--query-model", f"sparql=scripted:{writer}"]) == 0
    assert "x: Karo" in capsys.readouterr().out


def test_what_stands_beside_an_adapter_has_to_be_readable(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for told in ("{", "[]", '{"language": "sql", "parts": "many"}'):
        (tmp_path / "query_generator.json").write_text(told)
        assert main([*command, "--query-model", f"embedded+adapter:{tmp_path}"]) == 2
        assert "query_generator.json: cannot be read" in capsys.readouterr().err


def test_a_model_that_is_none_is_an_error(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--query-model", "sparql=nothing:here"]) == 2
    assert "nothing:here" in capsys.readouterr().err
