import pytest
from reasoning_sample import LAMP, Shelf, answered, chain, ends, holds, model, sampled

from tandem.reason.agreement import Gate
from tandem.reason.chain_of_knowledge import Adapting, chain_of_knowledge
from tandem.reason.declining import declines
from tandem.reason.editing import Editing
from tandem.reason.plain import cot_sc, standard
from tandem.reason.verify_and_edit import verify_and_edit

NOTHING_TO_SAY = [
    "unknown.",
    "Unknown",
    "The passages do not say where Mira Tal was born.",
    "Not stated in the passages.",
    "It is not mentioned in the passages.",
    "The passages don't mention it.",
    "Unknown from the passages.",
    "It is unknown where Mira Tal was born.",
    "There is no information about this.",
    "I don't know.",
    "I am not sure.",
    "N/A",
    "The answer is unknown.",
    '"unknown"',
    "**unknown**",
    "The passage does not contain this information.",
    "I do not know",
    "i don’t know",
    "Cannot be determined from the passages.",
    "The information provided does not specify the date.",
    "None of the passages mention the author.",
    "No passage mentions her.",
    "Insufficient information.",
    "There is not enough information to answer.",
    "unknown: the passages do not say",
    "Mira Tal's birthplace is not stated in the passages.",
    "Where Mira Tal was born is unknown.",
    "It's unclear.",
    "It is not clear from the text who wrote it.",
    "Unfortunately, the passages do not provide the date.",
    "I cannot tell.",
    "I'm not sure where she was born.",
    "The context does not give her birthplace.",
    "Passage 1 does not mention the town.",
    "Based on the passages, it is not known when he died.",
    "No information is given about the author.",
    "The birthplace of Mira Tal is not mentioned in the given passages.",
    "(unknown)",
    "It cannot be determined.",
    "We do not know where he was born.",
    "There is no mention of her birth.",
]
FACTS = [
    "Unknown Pleasures is an album by Joy Division.",
    "The treaty does not mention slavery.",
    "None",
    "No.",
    "Nothing",
    "Mira Tal was born in Karo.",
    "It is not true that Karo lies on the Zell.",
    "He was not born in Karo.",
    "The Tomb of the Unknown Soldier is in Paris.",
    "The source of the Nile is Lake Victoria.",
    "The text was written by Mira Tal.",
    "She is known as the mother of botany.",
    "He did not know his father.",
    "The Evidence is a film.",
    "It is a town on the Zell.",
    "There is no bridge in Karo.",
    "The information desk is open.",
    "He was an unknown painter from Brell.",
    "The artist is unknown outside Brell.",
    "I Know Why the Caged Bird Sings",
    "Don't Know Why is a song by Norah Jones.",
    "The documents were found in Karo.",
    "Not Without My Daughter",
    "The document is not long.",
    "Evidence was found in the house by the police.",
    "Passage 1 names Karo.",
    "No Country for Old Men is a film.",
    "The sources of the Zell are in the hills.",
    "The law is not clear on strikes.",
    "Nobody knows it.",
    "Unclear Physics",
    "It was not until 1990 that the mill closed.",
    "It was not given to Karo.",
    "Sure",
    "The answer is Karo.",
    "Information theory was founded by Shannon.",
    "The findings were published in 1990.",
    "Not known for his patience, he left Karo in 1902.",
]


@pytest.mark.parametrize("text", NOTHING_TO_SAY)
def test_what_says_that_it_does_not_know_is_known(text):
    assert declines(text)


@pytest.mark.parametrize("text", FACTS)
def test_a_fact_with_the_same_words_is_a_fact(text):
    assert not declines(text)


def test_a_direct_answer_that_says_so_abstains():
    found = answered(standard, LAMP, model(ends("\nAnswer:", " I don't know."))).answer
    assert (found.text, found.outcome) == ("", "abstained")


def test_chains_that_abstain_do_not_vote_and_are_not_asked_again():
    lm = model(sampled(*[chain("It is.", answer=each) for each in ("unknown", "I don't know", "Karo")]))
    record = answered(cot_sc, LAMP, lm, samples=3)
    assert (record.answer.text, record.answer.confidence, len(lm.calls)) == ("Karo", 1 / 3, 1)


@pytest.mark.parametrize(
    ("method", "settings", "cue"),
    [(verify_and_edit, Editing, "Finding:"), (chain_of_knowledge, Adapting, "Corrected:")],
)
def test_a_last_prediction_that_abstains_leaves_the_answer_from_before(method, settings, cue):
    lm = model(
        sampled(*[chain("It lies on the Zell.", answer="Karo")] * 3),
        ends("\nCheck:", " Where does it lie?"),
        ends(cue, " It lies on the Lend."),
        ends("\nAnswer:", " unknown"),
    )
    how = settings(samples=3, gate=Gate("always"))
    found = answered(method, LAMP, lm, [Shelf({"": "It lies on the Lend."})], settings=how).answer
    assert (found.text, found.facts["kept"]) == ("Karo", "the new answer is abstained")


@pytest.mark.parametrize("said", ["Yes.", "No", "None.", "The passages do not mention it."])
def test_a_finding_that_is_no_sentence_takes_no_steps_place(said):
    lm = model(sampled(chain("It lies on the Zell.", answer="Karo")), holds("Check:", said=f" {said}"))
    how = Editing(samples=1, gate=Gate("always"))
    found = answered(verify_and_edit, LAMP, lm, [Shelf({"": "A finding."})], settings=how).answer
    assert [edit["outcome"] for edit in found.facts["edits"]] == ["undecided"]
