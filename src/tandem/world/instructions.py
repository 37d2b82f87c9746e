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
            "What kind of thing is {x}?",
            "{x}: what is it?",
            "Person, place, organisation or work? {x}",
            "Name the kind: {x}",
        ),
        ("Sort this name into its class: {x}",),
    ),
    "topic_of_sentence": Instructions(
        (
            "{x} What is this about?",
            "Name the topic. {x}",
            "{x} Topic?",
            "What is the topic of this sentence? {x}",
        ),
        ("Choose the subject matter. {x}",),
    ),
    "answer_type": Instructions(
        (
            "{x} What kind of answer is asked for?",
            "Do not answer, say what is asked for. {x}",
            "Person, place, organisation or year? {x}",
            "{x} Name only the type of answer.",
        ),
        ("Which category of reply would fit? {x}",),
    ),
    "present_or_past": Instructions(
        (
            "{x} Present or past?",
            "Is this present or past? {x}",
            "{x} Say whether this is present or past.",
            "Present or past: {x}",
        ),
        ("{x} When is this valid?",),
    ),
    # extraction
    "extract_occupation": Instructions(
        (
            "Copy the occupation. {x}",
            "Which occupation is named? {x}",
            "{x} Give the occupation.",
            "Find the occupation: {x}",
        ),
        ("Write out the profession that is mentioned. {x}",),
    ),
    "extract_genre": Instructions(
        (
            "Copy the genre. {x}",
            "Which genre is named? {x}",
            "{x} Give the genre.",
            "Find the genre: {x}",
        ),
        ("Write out the literary form that is mentioned. {x}",),
    ),
    "extract_country": Instructions(
        (
            "Copy the country. {x}",
            "Which country is named? {x}",
            "{x} Give the country.",
            "Find the country: {x}",
        ),
        ("Write out the state that is mentioned. {x}",),
    ),
    "extract_person": Instructions(
        (
            "Copy the person. {x}",
            "Which person is named? {x}",
            "{x} Give the person.",
            "Find the person: {x}",
        ),
        ("Write out whom the sentence mentions. {x}",),
    ),
    # comparison: first or second
    "earlier_year": Instructions(
        (
            "Which year is earlier? {a}, {b}",
            "{a} or {b}: which is earlier, first or second?",
            "Name the place of the earlier year: {a}, {b}",
            "Earlier year, first or second? {a} and {b}",
        ),
        ("{a} against {b}: which date is older?",),
    ),
    "born_first": Instructions(
        (
            "{x} Who is older, first or second?",
            "Which one is older? {x}",
            "{x} Is the first or the second older?",
            "Name the place of the older one. {x}",
        ),
        ("{x} Which of the two came into life before the other?",),
    ),
    "which_is_town": Instructions(
        (
            "Which one is a town? {a}, {b}",
            "{a} or {b}: which is a town, first or second?",
            "Name the place of the town: {a}, {b}",
            "Town, first or second? {a} and {b}",
        ),
        ("{a} against {b}: which is a locality?",),
    ),
    # verification: yes or no
    "is_person": Instructions(
        (
            "Is {x} a person?",
            "{x}: is that a person?",
            "Yes or no, is this a person? {x}",
            "A person, yes or no: {x}",
        ),
        ("Check whether {x} is human.",),
    ),
    "tells_birth": Instructions(
        (
            "Is this about a birth? {x}",
            "{x} Is that about a birth?",
            "Yes or no, is this about a birth? {x}",
            "{x} A birth, yes or no?",
        ),
        ("Check whether somebody comes into the world here. {x}",),
    ),
    "names_year": Instructions(
        (
            "Is there a year? {x}",
            "{x} Does it name a year?",
            "Yes or no, is there a year? {x}",
            "{x} A year, yes or no?",
        ),
        ("Check whether any date is mentioned. {x}",),
    ),
    # rewriting
    "hide_person": Instructions(
        (
            "Write someone for the name: {x}",
            "{x} Write this without the name.",
            "Hide the name: {x}",
            "Leave out who it is: {x}",
        ),
        ("Make this anonymous: {x}",),
    ),
    "hide_work": Instructions(
        (
            "Write a work for the title: {x}",
            "{x} Write this without the title.",
            "Hide the title: {x}",
            "Leave out which work it is: {x}",
        ),
        ("Do not reveal what it is called: {x}",),
    ),
    "passive_voice": Instructions(
        (
            "Put into the passive: {x}",
            "Rewrite in the passive voice: {x}",
            "{x} Write this in the passive.",
            "Make this active sentence passive: {x}",
        ),
        ("Change the voice: {x}",),
    ),
    # transformation
    "half_century": Instructions(
        (
            "{x} First or second half of the century?",
            "Which half of the century is this? {x}",
            "{x} Which half of the century was that?",
            "First or second half of the century: {x}",
        ),
        ("Before or after mid-century, first half or second? {x}",),
    ),
    "name_ending": Instructions(
        (
            "What is the ending of {x}?",
            "Give the ending of this name: {x}",
            "{x}: write the ending.",
            "Ending of {x}?",
        ),
        ("State the second part of the compound {x}.",),
    ),
    "count_names": Instructions(
        (
            "How many names are there? {x}",
            "Count the names: {x}",
            "{x}: how many names?",
            "Number of names: {x}",
        ),
        ("Give the length of this list. {x}",),
    ),
    # reading
    "read_occupation": Instructions(
        (
            "{x} {a}",
            "Read and answer. {x} {a}",
            "{a} {x}",
            "{x} Now answer: {a}",
        ),
        ("Use these two sentences. {x} {a}",),
    ),
    "read_genre": Instructions(
        (
            "{x} {a}",
            "Read and answer. {x} {a}",
            "{a} {x}",
            "{x} Now answer: {a}",
        ),
        ("Use these two sentences. {x} {a}",),
    ),
    "read_country": Instructions(
        (
            "{x} {a}",
            "Read and answer. {x} {a}",
            "{a} {x}",
            "{x} Now answer: {a}",
        ),
        ("Use these two sentences. {x} {a}",),
    ),
    # knowledge
    "know_occupation": Instructions(
        (
            "{a}",
            "From memory: {a}",
            "Tell me: {a}",
            "{a} Name the occupation.",
        ),
        ("I forgot this: {a}",),
    ),
    "know_country": Instructions(
        (
            "{a}",
            "From memory: {a}",
            "Tell me: {a}",
            "{a} Name the country.",
        ),
        ("I forgot this: {a}",),
    ),
    "know_birthplace": Instructions(
        (
            "{a}",
            "From memory: {a}",
            "Tell me: {a}",
            "{a} Name the town.",
        ),
        ("I forgot this: {a}",),
    ),
}
"""Wordings by task."""
