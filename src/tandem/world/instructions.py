"""How instruction tasks are worded: several instructions for each task, one of them held out for evaluation.

`{x}` is what the task is done on, `{a}` and `{b}` two things to choose between or to combine. This file holds words
only; `tasks` says what an instance is and what its answer is.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Instructions:
    """The wordings of one task."""

    usual: tuple[str, ...]
    """Instructions that tuning data may use."""
    held_out: tuple[str, ...]
    """Instructions that only evaluation uses."""


INSTRUCTIONS: dict[str, Instructions] = {
    # classification
    "kind_of_name": Instructions(
        (
            "Is {x} a person, a place, an organisation or a work?",
            "{x}: person, place, organisation or work?",
            "What kind of thing is {x}? Answer person, place, organisation or work.",
            "Person, place, organisation or work: which one is {x}?",
        ),
        ("Sort the name {x} into one of these: person, place, organisation, work.",),
    ),
    "topic_of_sentence": Instructions(
        (
            "{x} Is this about birth, death, marriage, work, home, founding or writing?",
            "What is this sentence about: birth, death, marriage, work, home, founding or writing? {x}",
            "Birth, death, marriage, work, home, founding or writing: name the topic. {x}",
            "Name the topic of the sentence (birth, death, marriage, work, home, founding, writing). {x}",
        ),
        ("Choose the subject matter: birth, death, marriage, work, home, founding, writing. {x}",),
    ),
    "answer_type": Instructions(
        (
            "{x} Is the answer a person, a place, an organisation or a year?",
            "Does this question ask for a person, a place, an organisation or a year? {x}",
            "Do not answer, say what is asked for: person, place, organisation or year. {x}",
            "{x} Say only what is asked for: person, place, organisation or year.",
        ),
        ("Which type of reply would fit: person, place, organisation, year? {x}",),
    ),
    "present_or_past": Instructions(
        (
            "{x} Is this about the present or the past?",
            "Present or past? {x}",
            "Does this hold in the present, or is it past? {x}",
            "{x} Say whether this is present or past.",
        ),
        ("{x} When is this valid: at present, or only in the past?",),
    ),
    # extraction
    "extract_occupation": Instructions(
        (
            "Copy the occupation. {x}",
            "Which occupation does this sentence name? {x}",
            "{x} Give the occupation.",
            "Find the occupation in this sentence: {x}",
        ),
        ("Write out the profession that is mentioned. {x}",),
    ),
    "extract_country": Instructions(
        (
            "Copy the name of the country. {x}",
            "Which country does this sentence name? {x}",
            "{x} Give the name of the country.",
            "Find the country in this sentence: {x}",
        ),
        ("Write out the state that is mentioned. {x}",),
    ),
    "extract_year": Instructions(
        (
            "Copy the year. {x}",
            "Which year does this sentence name? {x}",
            "{x} Give the year.",
            "Find the year in this sentence: {x}",
        ),
        ("Write out the date that is mentioned. {x}",),
    ),
    "extract_person": Instructions(
        (
            "Copy the name of the person. {x}",
            "Which person does this sentence name? {x}",
            "{x} Give the name of the person.",
            "Find the person in this sentence: {x}",
        ),
        ("Write out whom the sentence mentions. {x}",),
    ),
    # comparison
    "earlier_year": Instructions(
        (
            "{a} and {b}: which year is earlier, the first or the second?",
            "Which comes first in time, the first or the second year? {a}, {b}",
            "Is the first or the second year earlier? {a} and {b}",
            "{a}, {b}. Say whether the first or the second is the earlier year.",
        ),
        ("{a} against {b}: pick the older date, first or second.",),
    ),
    "born_first": Instructions(
        (
            "{x} Who was born earlier, the first or the second?",
            "Who is older, the first or the second? {x}",
            "{x} Is the first or the second person older?",
            "Read and say which one is older, first or second. {x}",
        ),
        ("{x} Which of the two came into life before the other, first or second?",),
    ),
    "which_is_town": Instructions(
        (
            "{a} and {b}: which is a town, the first or the second?",
            "Which one is a town, the first or the second? {a}, {b}",
            "Is the first or the second a town? {a} and {b}",
            "{a}, {b}. Say whether the first or the second is a town.",
        ),
        ("{a} against {b}: pick the locality, first or second.",),
    ),
    # verification
    "is_kind": Instructions(
        (
            "Is {x} {a}?",
            "Yes or no: {x} is {a}.",
            "{x} is {a}. Is that so?",
            "Would you call {x} {a}?",
        ),
        ("Check this claim: {x} is {a}.",),
    ),
    "is_about": Instructions(
        (
            "{x} Is this about {a}?",
            "Is this sentence about {a}? {x}",
            "Yes or no: this is about {a}. {x}",
            "{x} Would you file this under {a}?",
        ),
        ("Check whether the subject matter is {a}. {x}",),
    ),
    "names_year": Instructions(
        (
            "{x} Does this sentence name a year?",
            "Is there a year in this sentence? {x}",
            "Yes or no: the sentence names a year. {x}",
            "{x} Does it say in which year?",
        ),
        ("Check whether any date is mentioned. {x}",),
    ),
    # rewriting
    "hide_person": Instructions(
        (
            "Put someone in place of the name: {x}",
            "Rewrite with someone instead of the name: {x}",
            "{x} Write this without the name.",
            "Hide the name: {x}",
        ),
        ("Make this sentence anonymous: {x}",),
    ),
    "hide_work": Instructions(
        (
            "Put a work in place of the title: {x}",
            "Rewrite with a work instead of the title: {x}",
            "{x} Write this without the title.",
            "Hide the title: {x}",
        ),
        ("Do not reveal what it is called: {x}",),
    ),
    "passive_voice": Instructions(
        (
            "Put into the passive voice: {x}",
            "Rewrite in the passive: {x}",
            "{x} Write this in the passive voice.",
            "Turn this active sentence into a passive one: {x}",
        ),
        ("Change the voice from active to passive: {x}",),
    ),
    # transformation
    "decade": Instructions(
        (
            "In which decade was this? {x}",
            "{x} Which decade was that?",
            "Turn the year into a decade: {x}",
            "{x} Give the decade only.",
        ),
        ("Round the date down to ten years: {x}",),
    ),
    "last_word": Instructions(
        (
            "What is the last word of {x}?",
            "Give only the last word: {x}",
            "{x}: write the last word.",
            "Take away all but the last word: {x}",
        ),
        ("State how {x} ends.",),
    ),
    "first_letter": Instructions(
        (
            "With which letter does {x} begin?",
            "Give the first letter: {x}",
            "{x}: write the first letter.",
            "What is the first letter of {x}?",
        ),
        ("State the initial of {x}.",),
    ),
    "count_names": Instructions(
        (
            "How many names are there? {x}",
            "Count the names: {x}",
            "{x}: how many names?",
            "Say the number of names in the list: {x}",
        ),
        ("Give the length of this list. {x}",),
    ),
    # reading
    "read_occupation": Instructions(
        ("{x} {a}", "Read, then answer. {x} {a}", "{a} {x}", "Answer from the text. {x} {a}"),
        ("Use these two sentences. {x} {a}",),
    ),
    "read_genre": Instructions(
        ("{x} {a}", "Read, then answer. {x} {a}", "{a} {x}", "Answer from the text. {x} {a}"),
        ("Use these two sentences. {x} {a}",),
    ),
    "read_country": Instructions(
        ("{x} {a}", "Read, then answer. {x} {a}", "{a} {x}", "Answer from the text. {x} {a}"),
        ("Use these two sentences. {x} {a}",),
    ),
    # knowledge
    "know_occupation": Instructions(
        ("{a}", "Answer from memory. {a}", "Tell me: {a}", "{a} Name the occupation."),
        ("I forgot this: {a}",),
    ),
    "know_country": Instructions(
        ("{a}", "Answer from memory. {a}", "Tell me: {a}", "{a} Name the country."),
        ("I forgot this: {a}",),
    ),
    "know_birthplace": Instructions(
        ("{a}", "Answer from memory. {a}", "Tell me: {a}", "{a} Name the town."),
        ("I forgot this: {a}",),
    ),
}
"""Wordings by task."""
