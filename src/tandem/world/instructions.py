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
    # extraction
    "extract_person": Instructions(
        (
            "Copy the name of the person. {x}",
            "Which person does this sentence name? {x}",
            "{x} Give the name of the person.",
            "Find the person in this sentence: {x}",
        ),
        ("Write out whom the sentence mentions. {x}",),
    ),
    "extract_place": Instructions(
        (
            "Copy the name of the town. {x}",
            "Which town does this sentence name? {x}",
            "{x} Give the name of the town.",
            "Find the town in this sentence: {x}",
        ),
        ("Write out the locality that is mentioned. {x}",),
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
    # comparison
    "earlier_year": Instructions(
        (
            "Which year is earlier, {a} or {b}?",
            "{a} or {b}: which year came first?",
            "Give the earlier year: {a} or {b}.",
            "Of the years {a} and {b}, name the earlier one.",
        ),
        ("Pick the older date out of {a} and {b}.",),
    ),
    "born_first": Instructions(
        (
            "{x} Who was born first?",
            "Who is older? {x}",
            "{x} Name the one born earlier.",
            "Read and say who was born first. {x}",
        ),
        ("{x} Which of these two came into life before the other?",),
    ),
    "newer_work": Instructions(
        (
            "{x} Which work is newer?",
            "Which work came out later? {x}",
            "{x} Name the work that came out last.",
            "Read and say which work is newer. {x}",
        ),
        ("{x} Which title is the more recent?",),
    ),
    # verification
    "says_town": Instructions(
        (
            "{x} Does this sentence name {a}?",
            "Yes or no: is {a} in this sentence? {x}",
            "{x} Is the town {a}?",
            "Is {a} the town in this sentence? {x}",
        ),
        ("{x} Check whether it speaks of {a}: yes or no.",),
    ),
    "says_person": Instructions(
        (
            "{x} Is this about {a}?",
            "Yes or no: does the sentence name {a}? {x}",
            "{x} Is {a} the person here?",
            "Is {a} the person in this sentence? {x}",
        ),
        ("{x} Check whether {a} comes up: yes or no.",),
    ),
    "same_year": Instructions(
        (
            "{x} Were both born in the same year?",
            "Same birth year, yes or no? {x}",
            "{x} Are they of the same age?",
            "Were these two born in the same year? {x}",
        ),
        ("{x} Check whether their birth years agree: yes or no.",),
    ),
    # rewriting
    "swap_names": Instructions(
        (
            "Swap the names: {a} and {b}",
            "{a} and {b}: write the names the other way round.",
            "Put the second name first: {a} and {b}",
            "Turn the order around: {a} and {b}",
        ),
        ("Reverse the sequence of these two: {a} and {b}",),
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
    "drop_year": Instructions(
        (
            "Leave out the year: {x}",
            "Rewrite without the year: {x}",
            "{x} Write this without the year.",
            "Remove the year from this sentence: {x}",
        ),
        ("Shorten by deleting the date: {x}",),
    ),
    # transformation
    "family_name": Instructions(
        (
            "What is the family name of {x}?",
            "Give only the family name: {x}",
            "{x}: write the family name.",
            "Take away the given name: {x}",
        ),
        ("State the surname in {x}.",),
    ),
    "family_name_first": Instructions(
        (
            "Write the family name first: {x}",
            "Put {x} in the form family name, comma, given name.",
            "{x}: family name first, then a comma and the given name.",
            "How does {x} stand in an index of names?",
        ),
        ("Format {x} for a phone book.",),
    ),
    "last_in_list": Instructions(
        (
            "Which name comes last? {x}",
            "Give the last name of this list: {x}",
            "{x}: copy the last one.",
            "Name the end of the list: {x}",
        ),
        ("Repeat only the final entry. {x}",),
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
    "read_author": Instructions(
        ("{x} {a}", "Read, then answer. {x} {a}", "{a} {x}", "Answer from the text. {x} {a}"),
        ("Use these two sentences. {x} {a}",),
    ),
    "read_birthplace": Instructions(
        ("{x} {a}", "Read, then answer. {x} {a}", "{a} {x}", "Answer from the text. {x} {a}"),
        ("Use these two sentences. {x} {a}",),
    ),
    "read_founding_year": Instructions(
        ("{x} {a}", "Read, then answer. {x} {a}", "{a} {x}", "Answer from the text. {x} {a}"),
        ("Use these two sentences. {x} {a}",),
    ),
    # knowledge
    "know_birthplace": Instructions(
        ("{a}", "Answer from memory. {a}", "Tell me: {a}", "{a} Name the town."),
        ("I forgot this: {a}",),
    ),
    "know_author": Instructions(
        ("{a}", "Answer from memory. {a}", "Tell me: {a}", "{a} Name the author."),
        ("I forgot this: {a}",),
    ),
    "know_country": Instructions(
        ("{a}", "Answer from memory. {a}", "Tell me: {a}", "{a} Name the country."),
        ("I forgot this: {a}",),
    ),
}
"""Wordings by task."""
