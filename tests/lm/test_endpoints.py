"""Endpoints: built in, by address, and out of models.toml; keys stay in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.errors import UserError
from tandem.lm import endpoints, models_file
from tandem.lm.budget import Prices
from tandem.lm.endpoints import Endpoint, loopback
from tandem.lm.models_file import find, load
from tandem.types import Abilities

FULL = """
[big]
address = "https://host.example/v1/"
model = "org/model-70b"
format = "chat"
key = "HOST_KEY"
key_header = "api-key"
context = 32_768
alternatives = 7
prices = { input = 0.5, output = 1.5, cached = 0.1 }
limits = { concurrency = 64, requests_per_minute = 600, tokens_per_minute = 100_000 }
abilities = { many = false, seed = false, ignore_end = true }
prefill = "continue-final-message"
scoring = "prompt-logprobs"
max_tokens_field = "max_completion_tokens"
max_stops = 2
headers = { X-Title = "Tandem" }
body = { reasoning_effort = "low" }
timeout = 60
"""


def file(folder: Path, text: str) -> Path:
    place = folder / "models.toml"
    place.write_text(text, encoding="utf-8")
    return place


def refused(folder: Path, text: str, address: str = "big") -> str:
    with pytest.raises(UserError) as caught:
        find(address, file(folder, text))
    return str(caught.value)


def test_every_key_of_a_table_reaches_the_endpoint(tmp_path: Path) -> None:
    endpoint = find("big", file(tmp_path, FULL))
    assert endpoint.address == "https://host.example/v1"
    assert (endpoint.model, endpoint.format) == ("org/model-70b", "chat")
    assert (endpoint.key, endpoint.key_header) == ("HOST_KEY", "api-key")
    assert endpoint.prices == Prices(0.5, 1.5, 0.1)
    assert (endpoint.limits.concurrency, endpoint.limits.requests_per_minute) == (64, 600)
    assert (endpoint.limits.tokens_per_minute, endpoint.limits.seconds_a_try) == (100_000, 60)
    assert (endpoint.prefill, endpoint.scoring) == ("continue-final-message", "prompt-logprobs")
    assert (endpoint.max_tokens_field, endpoint.max_stops) == ("max_completion_tokens", 2)
    assert (endpoint.headers, endpoint.body) == ({"X-Title": "Tandem"}, {"reasoning_effort": "low"})
    assert endpoint.abilities == Abilities(
        32_768,
        chat=True,
        text=False,
        prefill=True,
        many=False,
        temperature=True,
        seed=False,
        logprobs=True,
        alternatives=7,
        scoring=True,
        presence_penalty=True,
        ignore_end=True,
    )


def test_a_server_without_log_probabilities_lists_no_alternatives(tmp_path: Path) -> None:
    assert find("big", file(tmp_path, FULL)).abilities.alternatives == 7
    without = FULL.replace("many = false", "logprobs = false").replace("alternatives = 7\n", "")
    assert find("big", file(tmp_path, without)).abilities.alternatives == 0
    assert "alternatives" in refused(tmp_path, FULL.replace("alternatives = 7", "alternatives = -1"))


def test_every_key_is_explained_and_used_by_the_full_example() -> None:
    used = {line.split(" = ")[0] for line in FULL.splitlines() if " = " in line}
    assert set(models_file._KEYS) - used == {"version", "insecure"}


def test_a_table_may_name_a_server_and_the_address_the_model(tmp_path: Path) -> None:
    place = file(tmp_path, '[box]\naddress = "http://localhost:8000/v1"\n')
    assert find("box:org/m", place).name == "org/m@localhost:8000"
    with pytest.raises(UserError, match="is missing"):
        find("box", place)


def test_an_address_needs_no_file(tmp_path: Path) -> None:
    endpoint = find("http://127.0.0.1:8000/v1#org/model", tmp_path / "none.toml")
    assert (endpoint.address, endpoint.model, endpoint.key) == ("http://127.0.0.1:8000/v1", "org/model", None)
    assert endpoint.abilities.chat and endpoint.abilities.many
    assert not endpoint.abilities.text


def test_openai_needs_no_file_and_its_reasoning_models_lack_what_they_refuse(tmp_path: Path) -> None:
    plain, reasoning = (find(f"openai:{model}", tmp_path / "none.toml") for model in ("gpt-4.1-mini", "o4-mini"))
    assert plain.abilities.temperature and plain.abilities.logprobs and plain.abilities.stop
    assert not (reasoning.abilities.temperature or reasoning.abilities.logprobs or reasoning.abilities.stop)
    assert plain.max_tokens_field == reasoning.max_tokens_field == "max_completion_tokens"


@pytest.mark.parametrize(
    ("model", "reasoning"),
    [
        ("o1", True),
        ("o3-mini-2025-01-31", True),
        ("gpt-5.4-nano", True),
        ("gpt-6-sol", True),
        ("ft:o4-mini:org", True),
        ("gpt-5.2-chat-latest", False),
        ("gpt-4o", False),
        ("omni", False),
    ],
)
def test_openais_reasoning_models_are_told_by_their_names(model: str, reasoning: bool) -> None:
    assert endpoints.openai(model).abilities.temperature is not reasoning


def test_openais_base_models_speak_completions() -> None:
    assert endpoints.openai("davinci-002").format == "completions"


def test_anthropic_obeys_no_temperature_since_its_newest_api_version(tmp_path: Path) -> None:
    newest = find("anthropic:claude-sonnet-5", tmp_path / "none.toml")
    older = find("anthropic:claude-sonnet-4-5", file(tmp_path, '[anthropic]\nversion = "2023-06-01"\n'))
    assert newest.headers_with_key({"ANTHROPIC_API_KEY": "k"}) == {
        "anthropic-version": "2026-10-21",
        "Authorization": "Bearer k",
    }
    assert not newest.abilities.temperature
    assert older.abilities.temperature and older.version == "2023-06-01"
    assert older.abilities.context == newest.abilities.context


def test_a_table_of_a_built_in_name_changes_only_what_it_says(tmp_path: Path) -> None:
    place = file(tmp_path, '[openai]\nkey = "MY_KEY"\nabilities = { temperature = true }\n')
    ours, plain = find("openai:o3", place), endpoints.openai("o3")
    assert ours.key == "MY_KEY"
    assert ours.abilities.temperature and not ours.abilities.logprobs
    assert (ours.address, ours.max_stops, ours.max_tokens_field) == (
        plain.address,
        plain.max_stops,
        plain.max_tokens_field,
    )


def test_fields_added_to_requests_are_part_of_the_name(tmp_path: Path) -> None:
    endpoint = find("big", file(tmp_path, FULL))
    other = find("big", file(tmp_path, FULL.replace('"low"', '"high"')))
    assert endpoint.name.startswith("org/model-70b@host.example+")
    assert endpoint.name != other.name


def test_the_folder_of_the_file_can_be_named(tmp_path: Path) -> None:
    assert models_file.path({"TANDEM_CONFIG_DIR": str(tmp_path)}) == tmp_path / "models.toml"
    assert models_file.path({}).parts[-3:] == (".config", "tandem", "models.toml")


def test_a_file_is_loaded_whole(tmp_path: Path) -> None:
    place = file(tmp_path, FULL + '\n[openai]\nkey = "K"\n[small]\naddress = "http://localhost/v1"\nmodel = "s"\n')
    assert list(load(place)) == ["big", "small"]
    assert models_file.names(place) == ["big", "openai", "small"]


# ── Refused ─────────────────────────────────────────────────────────────────────────────────────────────────────────

BIG = '[big]\naddress = "https://h/v1"\nmodel = "m"\n'


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("adress = 'x'", "big.adress", "did you mean address?"),
        ("colour = 'x'", "big.colour", "keys are: address, model"),
        ("format = 'chats'", "big.format", "did you mean chat?"),
        ("context = '32k'", "big.context", "is not a whole number"),
        ("context = 0", "big.context", "is not a whole number"),
        ("timeout = inf", "big.timeout", "is not a positive number"),
        ("insecure = 1", "big.insecure", "is not true or false"),
        ("prices = { input = 1 }", "big.prices.output", "is missing"),
        ("prices = { input = 1, outputs = 2 }", "big.prices.outputs", "did you mean output?"),
        ("prices = { input = 1, output = -2 }", "big.prices.output", "is not a positive number"),
        ("limits = { concurency = 1 }", "big.limits.concurency", "did you mean concurrency?"),
        ("limits = { concurrency = 0 }", "big.limits.concurrency", "is not a whole number"),
        ("abilities = { log_probs = true }", "big.abilities.log_probs", "did you mean logprobs?"),
        ("abilities = { prefill = true }", "big.abilities.prefill", "follows from the key prefill"),
        ("abilities = { chat = true }", "big.abilities.chat", "follows from the key format"),
        ("abilities = { many = 'yes' }", "big.abilities.many", "is not true or false"),
        ("scoring = 'echo'", "big.scoring", "not of this format"),
        ("scoring = 'prompt-logprobs'", "big.scoring", "continue-final-message"),
        ("format = 'completions'\nprefill = 'last-turn'", "big.prefill", "no turns"),
        ("format = 'anthropic'\nprefill = 'continue-final-message'", "big.prefill", "not of this format"),
        ("headers = { X-Api-Key = 'x' }", "big.headers.X-Api-Key", "looks like a secret"),
        ("headers = { X-Title = 3 }", "big.headers.X-Title", "is not a text"),
        ("headers = 'x'", "big.headers", "is not a table"),
    ],
)
def test_a_wrong_line_is_refused_with_its_key_and_a_remedy(tmp_path: Path, line: str, place: str, words: str) -> None:
    message = refused(tmp_path, BIG + line)
    assert f"models.toml: {place}: " in message
    assert words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("address = 'x'\n", "is not in a table"),
        ("[local]\n", "cannot name an endpoint"),
        ("[a]\nmodel = 'm'\n", "no endpoint is called 'big'"),
        ("[bigg]\nmodel = 'm'\n", "did you mean bigg?"),
        ("[big]\nmodel = 'm'\n", "big.address: is missing"),
        ("[big\n", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"models\.toml \(not there\): no endpoint is called 'big'"):
        find("big", tmp_path / "models.toml")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://host/v1", "no model is named"),
        ("https:///v1#m", "is no address"),
        ("https://host/v1/chat/completions#m", "leave /chat/completions away"),
        ("https://host/v1?key=1#m", "has a query"),
    ],
)
def test_a_wrong_address_is_refused(address: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        find(address)
    assert words in str(caught.value)


# ── Keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_in_the_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    message = refused(tmp_path, BIG + 'key = "sk-proj-0123456789"\n')
    assert "is not the name of an environment variable" in message
    assert "0123456789" not in message


def test_a_login_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(UserError, match="user name or password") as caught:
        find("https://me:0123456789@host/v1#m")
    assert "0123456789" not in str(caught.value)


@pytest.mark.parametrize(("value", "words"), [(None, "is not set"), ("", "is empty"), (" \n", "is empty")])
def test_a_missing_key_names_its_variable(value: str | None, words: str) -> None:
    environment = {} if value is None else {"OPENAI_API_KEY": value}
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        endpoints.openai("gpt-4o").headers_with_key(environment)
    assert words in str(caught.value)


@given(
    st.text(min_size=1).filter(lambda key: key.strip() and not (key.strip().isascii() and key.strip().isprintable()))
)
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(UserError) as caught:
        endpoints.openai("gpt-4o").headers_with_key({"OPENAI_API_KEY": key})
    assert str(caught.value) == str(caught.value).replace(key, "")


@pytest.mark.parametrize(
    ("header", "expected"),
    [("bearer", {"Authorization": "Bearer k"}), ("x-api-key", {"x-api-key": "k"}), ("api-key", {"api-key": "k"})],
)
def test_a_key_goes_into_the_declared_header(header: endpoints.KeyHeader, expected: dict[str, str]) -> None:
    endpoint = Endpoint("https://h/v1", "m", key="K", key_header=header)
    assert endpoint.headers_with_key({"K": "k\n"}) == expected


def test_a_key_goes_over_plain_http_to_this_machine_only_unless_said_so(tmp_path: Path) -> None:
    text = '[big]\naddress = "http://host/v1"\nmodel = "m"\nkey = "K"\n'
    assert "over plain http" in refused(tmp_path, text)
    assert find("big", file(tmp_path, text + "insecure = true\n")).insecure
    assert find("big", file(tmp_path, text.replace("http://host", "http://[::1]:80"))).key == "K"


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.1.2.3", True), ("::1", True), ("10.0.0.1", False), ("localhost.example", False)],
)
def test_loopback_is_told_by_name(host: str, here: bool) -> None:
    assert loopback(host) is here
