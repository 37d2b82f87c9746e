import asyncio

import pytest
from reasoning_sample import Shelf, ends, holds, model, prompts

from tandem.errors import BudgetSpent
from tandem.reason.looking_up import LONGEST, look_up, passages, ranked
from tandem.reason.queries import Prompted
from tandem.reason.query_writer import QueryModel
from tandem.reason.running import Record
from tandem.reason.watched import Watched
from tandem.trace import tracing
from tandem.types import Answer, Finding, Question, Result


def looked_up(need, *sources, lm=None, writer=None, **how):
    with tracing("test") as root:
        found = asyncio.run(look_up(need, sources, lm or model(holds("", said="x")), writer or Prompted(), **how))
    return found, root


def test_findings_of_all_sources_are_ranked_together_without_repeats():
    one = Shelf({"karo": "Karo lies on the river Zell.", "zell": "The Zell is long."}, name="one")
    other = Shelf({"karo": "Karo lies on  the river Zell.", "lies": "Nobody lies here."}, name="other")
    found, _ = looked_up(
        "On which river lies Karo, the Zell?", one, other, target="Which river does Karo lie on?", top=2
    )
    assert [finding.text for finding in found.findings] == ["Karo lies on the river Zell.", "The Zell is long."]
    assert {finding.source for finding in found.findings} == {"one"}
    assert found.outcomes == (("one", "found"), ("other", "found"))


def test_without_a_target_findings_stay_in_the_sources_order():
    shelf = Shelf({"a": "Second best.", "b": "Best by far: ab."})
    assert looked_up("ab", shelf)[0].findings[0].text == "Second best."
    assert looked_up("ab", shelf, target="Best by far")[0].findings[0].text == "Best by far: ab."


def test_a_word_that_few_findings_have_counts_more_than_one_they_all_have():
    texts = ["the town the town the town", "the town of Karo", "the town hall", "the old town"]
    assert ranked([Finding(text) for text in texts], "the town Karo")[0].text == "the town of Karo"


def test_findings_that_fit_equally_stay_in_order():
    texts = ["one red", "two red", "six red"]
    assert [found.text for found in ranked([Finding(text) for text in texts], "red")] == texts


def test_a_row_that_shares_no_word_with_the_need_has_its_turn_beside_passages_that_share_many():
    table = Shelf({"select": "o: Karo"}, language="sql", name="table")
    texts = {"born": "Who was born where?", "mira": "Mira was born.", "tal": "Tal was born.", "where": "Where born?"}
    lm = model(holds("", said="SELECT o"))
    found, _ = looked_up(
        "Where was Mira Tal born?", Shelf(texts), table, lm=lm, target="Where was Mira Tal born?", top=3
    )
    assert found.findings[0].text == "o: Karo"
    assert len({each.source for each in found.findings[1:]} | {"shelf"}) == 1


def test_a_source_that_gave_up_is_not_one_that_has_nothing():
    class Cut(Shelf):
        async def look_up(self, query, limit):
            return Result((), complete=False)

    found, root = looked_up("x", Cut())
    assert (found.outcomes, found.lacking) == ((("shelf", "incomplete"),), "source-failed")
    assert root.outcomes()["ask source", "incomplete"] == 1


@pytest.mark.parametrize("kind", ["timeout", "rate-limit", "server", "key"])
def test_a_failure_is_an_outcome_with_its_kind(kind):
    found, root = looked_up("x", Shelf(fails=kind))
    assert found.outcomes == (("shelf", kind),)
    assert found.lacking == "source-failed"
    assert root.outcomes()["ask source", kind] == 1


def test_a_spent_budget_is_no_outcome_of_a_source():
    class Spent(Shelf):
        async def look_up(self, query, limit):
            raise BudgetSpent("no more")

    with pytest.raises(BudgetSpent):
        looked_up("x", Spent())


SQL = Shelf({"select": "Karo"}, language="sql", refuses=["SELECT town FROM people"])


def test_a_query_is_written_from_the_schema_and_a_refused_one_mended_with_the_engines_message():
    shelf = Shelf({"where": "Karo"}, language="sql", refuses=["SELECT town FROM people"])
    lm = model(
        holds("no such column: town", said="```sql\nSELECT name FROM people WHERE 1;\n```"),
        holds("- born: person, town", "Where was Mira Tal born?", said=" SELECT town FROM people;"),
    )
    found, root = looked_up("Where was Mira Tal born?", shelf, lm=lm)
    assert shelf.asked == ["SELECT town FROM people", "SELECT name FROM people WHERE 1"]
    assert [f.query for f in found.findings] == ["SELECT name FROM people WHERE 1"]
    assert root.outcomes()["ask source", "query-invalid"] == 1


def test_tokens_of_a_model_that_writes_the_queries_count_for_the_question():
    tuned = model(holds("", said="SELECT name FROM people"))
    _, root = looked_up("Where?", Shelf({"select": "Karo"}, language="sql"), writer=QueryModel({"sql": tuned}))
    (call,) = [each for each in root.walk() if each.name == "generate"]
    read, written = Record(Question("q", "Where?"), Answer("Karo"), root).tokens
    assert (read, written) == (call.facts["tokens_read"], call.facts["tokens_written"])
    assert read > 0 < written


@pytest.mark.parametrize("tuned", [False, True])
def test_a_schema_that_leaves_no_room_for_a_query_is_an_outcome_of_its_source(tuned):
    small = model(holds("", said="SELECT 1"), context=8)
    writer = QueryModel({"sql": small}) if tuned else None
    table, shelf = Shelf(language="sql", name="table"), Shelf({"where": "Karo"})
    found, _ = looked_up("Where?", table, shelf, lm=Watched(small), writer=writer)
    assert found.outcomes == (("table", "too-long"), ("shelf", "found"))
    assert (len(found.findings), table.asked) == (1, [])


def test_a_query_that_is_refused_twice_is_invalid_and_not_nothing_found():
    shelf = Shelf(language="sql", refuses=["SELECT 1"])
    found, _ = looked_up("x", shelf, lm=model(holds("", said="SELECT 1")))
    assert (found.outcomes, found.lacking) == ((("shelf", "query-invalid"),), "query-invalid")
    assert len(shelf.asked) == 2


def test_where_no_query_is_written_none_is_sent():
    shelf = Shelf(language="sparql")
    found, _ = looked_up("x", shelf, lm=model(ends("", "")))
    assert (found.outcomes, found.lacking, shelf.asked) == ((("shelf", "no-query"),), "query-invalid", [])


def test_a_source_that_cannot_tell_what_it_holds_has_failed():
    from tandem.errors import SourceFailed

    class Mute(Shelf):
        def describe(self):
            raise SourceFailed("is down", kind="connection", where=self.name)

    assert looked_up("x", Mute(language="sql"))[0].outcomes == (("shelf", "connection"),)


def test_a_source_of_text_is_asked_the_need_itself_on_one_line():
    shelf, lm = Shelf(), model(holds("", said="x"))
    looked_up("Where?\nThere?", shelf, lm=lm)
    assert (shelf.asked, prompts(lm)) == (["Where? There?"], [])


def test_a_long_finding_is_cut_between_words_in_a_prompt():
    line = passages([Finding("word " * 1000)])
    assert LONGEST < len(line) + 10 < LONGEST + 30
    assert line.endswith("word …")
