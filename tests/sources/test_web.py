"""The three search interfaces on loopback: what is read, what it costs to be over quota, and where keys never are."""

from __future__ import annotations

import asyncio
import logging
import traceback

import pytest
from aiohttp import web
from source_servers import FAULTS, KEY, QUICK, serving

from tandem.errors import SourceFailed, UserError
from tandem.sources.recorded import Recorded, Recorder
from tandem.sources.web import ENGINES, WebSearch
from tandem.store import Store

HIT = ("The Orle mill", "https://example.org/mill", "The <strong>mill</strong> burnt in 1802 &amp; was mended.")
PLAIN = "The mill burnt in 1802 & was mended."


def brave(asked):
    assert asked.method == "GET" and asked.headers["x-subscription-token"] == KEY
    title, url, text = HIT
    hits = [
        {
            "title": title,
            "url": url,
            "description": text,
            "page_age": "2024-05-01T00:00:00",
            "extra_snippets": ["More."],
        }
    ]
    return {"type": "search", "query": {"original": asked.fields["q"]}, "web": {"type": "search", "results": hits}}


def serper(asked):
    assert asked.method == "POST" and asked.headers["x-api-key"] == KEY
    title, url, text = HIT
    return {
        "searchParameters": {"q": asked.fields["q"]},
        "answerBox": {
            "title": "Fire",
            "answer": "1802",
            "snippet": "It burnt in 1802.",
            "link": "https://example.org/fire",
        },
        "knowledgeGraph": {
            "title": "Orle",
            "type": "Village",
            "description": "A village.",
            "descriptionLink": "https://example.org/orle",
            "attributes": {"Founded": "1680", "River": "Lend"},
        },
        "organic": [{"title": title, "link": url, "snippet": text, "position": 1, "date": "May 1, 2024"}],
    }


def tavily(asked):
    assert asked.method == "POST" and asked.headers["authorization"] == f"Bearer {KEY}"
    title, url, text = HIT
    assert asked.fields["include_answer"] is False
    hits = [{"title": title, "url": url, "content": text, "score": 0.83, "published_date": "2024-05-01"}]
    return {"query": asked.fields["query"], "answer": "as a model sees it", "results": hits}


ANSWERS = {"brave": brave, "serper": serper, "tavily": tavily}
NOTHING = {
    "brave": {"type": "search", "query": {}},
    "serper": {"searchParameters": {"q": "x"}, "organic": []},
    "tavily": {"query": "x", "results": []},
}


def ask(engine, answer, query="when did the mill burn", limit=5, **settings):
    """A result or a failure, and the server."""

    async def main():
        async with serving(answer) as server:
            source = WebSearch(
                engine, address=server.url, limits=QUICK, environment={ENGINES[engine].key: KEY}, **settings
            )
            try:
                return await source.look_up(query, limit), server
            except SourceFailed as e:
                return e, server
            finally:
                await source.close()

    return asyncio.run(main())


@pytest.mark.parametrize("engine", ENGINES)
def test_snippets_come_as_plain_text_with_their_address(engine):
    result, _ = ask(engine, ANSWERS[engine])
    found = result.findings[-1]
    assert found.text.startswith(PLAIN) and found.title == HIT[0] and found.place == HIT[1]
    assert (found.source, found.query) == (f"web:{engine}", "when did the mill burn")
    assert found.as_of.startswith(("2024-05-01", "May 1, 2024"))


def test_the_answer_box_comes_first():
    result, _ = ask("serper", serper)
    assert [f.text for f in result.findings] == [
        "1802. It burnt in 1802.",
        "Orle: A village; Founded: 1680; River: Lend",
        PLAIN,
    ]
    assert result.findings[0].place == "https://example.org/fire"


def test_a_card_of_facts_without_a_description_is_told_by_its_kind_and_facts():
    def card(asked):
        told = serper(asked) | {"answerBox": None, "organic": []}
        return told | {"knowledgeGraph": {"title": "Orle", "type": "Village", "attributes": {"Founded": "1680"}}}

    result, _ = ask("serper", card)
    assert [f.text for f in result.findings] == ["Orle: Village; Founded: 1680"]


def test_what_the_engines_own_model_says_is_no_finding():
    result, _ = ask("tavily", tavily)
    assert [f.text for f in result.findings] == [PLAIN] and result.findings[0].score == 0.83


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_found_is_a_result(engine):
    result, _ = ask(engine, lambda _: NOTHING[engine])
    assert (result.findings, result.complete) == ((), True)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_failure_with_its_kind_and_without_the_key(engine, name, caplog):
    caplog.set_level(logging.DEBUG)
    answer, kind = FAULTS[name]
    failed, _ = ask(engine, answer)
    assert isinstance(failed, SourceFailed) and failed.kind == kind, failed
    assert f"web:{engine}" in failed.where
    assert KEY not in "".join(traceback.format_exception(failed)) + caplog.text


USED_UP = {"code": "RATE_LIMITED", "detail": "over the plan", "meta": {"quota_limit": 2000, "quota_current": 2000}}
QUOTAS = [
    ("brave", 429, {"type": "ErrorResponse", "error": USED_UP}),
    ("serper", 400, {"message": "Not enough credits", "statusCode": 400}),
    ("tavily", 432, {"detail": {"error": "This request exceeds your plan's set usage limit."}}),
    ("tavily", 433, {"detail": {"error": "Pay-as-you-go limit"}}),
]


@pytest.mark.parametrize(("engine", "status", "told"), QUOTAS)
def test_a_used_up_quota_is_a_failure_that_no_repeat_mends(engine, status, told):
    failed, server = ask(engine, lambda _: web.json_response(told, status=status))
    assert isinstance(failed, SourceFailed) and failed.kind == "rate-limit"
    assert "used up" in failed.remedy and len(server.requests) == 1


WRONG_KEYS = [
    ("brave", 422, {"type": "ErrorResponse", "error": {"code": "SUBSCRIPTION_TOKEN_INVALID", "detail": KEY}}),
    ("serper", 403, {"message": f"Unauthorized. {KEY}"}),
    ("tavily", 401, {"detail": {"error": f"Unauthorized: invalid API key {KEY}"}}),
]


@pytest.mark.parametrize(("engine", "status", "told"), WRONG_KEYS)
def test_a_wrong_key_is_named_as_that_and_not_shown(engine, status, told):
    failed, _ = ask(engine, lambda _: web.json_response(told, status=status))
    assert failed.kind == "key" and KEY not in str(failed)


def test_a_rate_limit_is_waited_for():
    seen = []

    def limited(asked):
        seen.append(asked)
        return web.json_response({}, status=429, headers={"Retry-After": "0.005"}) if len(seen) < 3 else brave(asked)

    result, _ = ask("brave", limited)
    assert result.findings and len(seen) == 3


def test_a_site_is_asked_for_in_the_query():
    result, server = ask("tavily", tavily, site="example.org")
    assert server.requests[0].fields["query"] == result.findings[0].query == "when did the mill burn site:example.org"


def test_the_key_is_in_no_record(tmp_path):
    async def main():
        async with serving(lambda asked: tavily(asked) | {"echo": KEY}) as server:
            source = WebSearch("tavily", address=server.url, limits=QUICK, environment={"TAVILY_API_KEY": KEY})
            with Store(tmp_path / "a.db") as store:
                recorded = Recorded(source, Recorder(store))
                recorded.describe()
                await recorded.look_up("x", 3)
            await recorded.close()
            return repr(source) + repr(source._reader)

    shown = asyncio.run(main())
    assert KEY not in shown
    assert all(KEY.encode() not in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_key_names_its_variable(engine):
    with pytest.raises(UserError) as caught:
        WebSearch(engine, environment={})
    assert ENGINES[engine].key in caught.value.remedy


def test_an_unknown_engine_says_what_may_be_meant():
    with pytest.raises(UserError, match="search engine") as caught:
        WebSearch("brawe", environment={})
    assert "brave" in caught.value.remedy
