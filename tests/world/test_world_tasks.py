"""Every response of an instruction task is derived here a second time, from the prompt's parts and the facts alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest

from tandem.errors import UserError
from tandem.world import TASKS, InstructionItem, World, passages, tasks
from tandem.world.instructions import INSTRUCTIONS
from tandem.world.schema import GENRES, OCCUPATIONS
from tandem.world.templates import WORDINGS, literal

YEAR = re.compile(r"\b\d{4}\b")


@pytest.fixture(scope="module")
def world() -> World:
    return World.make(7, 6000)


@pytest.fixture(scope="module")
def items(world: World) -> list[InstructionItem]:
    return tasks(world, 80)


class Knowledge:
    """What the facts say, by name."""

    def __init__(self, world: World) -> None:
        named = {e.id: e for e in world.entities}
        self.kind = {e.name: e.kind for e in world.entities}
        self.category = {e.name: e.category for e in world.entities}
        self.true: dict[tuple[str, str], str] = {}
        self.facts = {f.id: f for f in world.facts}
        for fact in world.facts:
            if fact.status == "current":
                shown = named[fact.object].name if fact.object in named else fact.object
                self.true[named[fact.subject].name, fact.relation] = shown

    def named_in(self, text: str, kinds: tuple[str, ...]) -> list[str]:
        """Names of entities of some kinds that stand in a text, in order."""
        found = [(text.find(name), name) for name, kind in self.kind.items() if kind in kinds and name in text]
        longest = [name for _, name in sorted(found)]
        return [n for n in longest if not any(n != other and n in other for other in longest)]


def relation_of(sentence: str) -> str:
    """The relation a sentence or question states, read from its words."""
    for name, w in WORDINGS.items():
        for template in (*w.statements, *w.past, *w.held_out, *w.held_out_past, *w.questions, *w.held_out_questions):
            pattern = re.escape(template)
            for part in ("s", "o", "since", "until"):
                year = part in ("since", "until") or (part == "o" and name.endswith("year"))
                pattern = pattern.replace(rf"\{{{part}\}}", r"\d+" if year else ".+")
            pattern = pattern[0].lower() + pattern[1:] if sentence[0].islower() else pattern
            if re.fullmatch(pattern, sentence) or re.fullmatch(pattern[0].upper() + pattern[1:], sentence):
                return name
    raise AssertionError(sentence)


def by_subject(k: Knowledge, x: str, relation: str, kinds: tuple[str, ...]) -> dict[str, str]:
    return {name: k.true[name, relation] for name in k.named_in(x, kinds)}


def topic(k: Knowledge, x: str) -> str:
    topics = {"born": "birth", "died": "death", "marr": "marriage", "work": "work", "live": "home", "foun": "founding"}
    return topics.get(relation_of(x)[:4], "writing")


def answer_type(k: Knowledge, x: str) -> str:
    relation = relation_of(x)
    if relation.endswith("_year"):
        return "year"
    reached = {k.category[o] for (_, r), o in k.true.items() if r == relation}
    return reached.pop()


def read(relation: str, kind: str) -> Callable[[Knowledge, dict[str, str]], str]:
    def answer(k: Knowledge, f: dict[str, str]) -> str:
        said = by_subject(k, f["x"], relation, (kind,))
        assert len(said) == 2
        (asked,) = (name for name in said if name in f["a"])
        assert said[asked] in f["x"]
        return said[asked]

    return answer


def known(relation: str) -> Callable[[Knowledge, dict[str, str]], str]:
    def answer(k: Knowledge, f: dict[str, str]) -> str:
        (subject,) = k.named_in(f["a"], ("person", "town", "work"))
        return k.true[subject, relation]

    return answer


def first_of(words: tuple[str, ...], x: str) -> str:
    """The only one of some words that stands in a text, and what the sentence says."""
    (found,) = (word for word in words if re.search(rf"\b{word}\b", x))
    return found


def present_or_past(k: Knowledge, f: dict[str, str]) -> str:
    return "past" if len(YEAR.findall(f["x"])) > 0 else "present"


def passive(k: Knowledge, f: dict[str, str]) -> str:
    person, verb, thing = re.fullmatch(r"(.+?) (wrote|founded) (.+)\.", f["x"]).groups()  # type: ignore[union-attr]
    assert k.true[thing, {"wrote": "written_by", "founded": "founded_by"}[verb]] == person
    return f"{thing} was {'written' if verb == 'wrote' else 'founded'} by {person}."


def hide(stand_in: str, kind: str) -> Callable[[Knowledge, dict[str, str]], str]:
    def answer(k: Knowledge, f: dict[str, str]) -> str:
        (name,) = k.named_in(f["x"], (kind,))
        hidden = f["x"].replace(name, stand_in)
        return hidden[0].upper() + hidden[1:]

    return answer


def born_first(k: Knowledge, f: dict[str, str]) -> str:
    one, other = by_subject(k, f["x"], "born_year", ("person",)).values()
    assert f["x"].find(one) < f["x"].rfind(other)
    return place(int(one) < int(other))


def place(first: bool) -> str:
    return "first" if first else "second"


def yes(right: bool) -> str:
    return "yes" if right else "no"


DERIVE: dict[str, Callable[[Knowledge, dict[str, str]], str]] = {
    "kind_of_name": lambda k, f: k.category[f["x"]],
    "topic_of_sentence": lambda k, f: topic(k, f["x"]),
    "answer_type": lambda k, f: answer_type(k, f["x"]),
    "present_or_past": present_or_past,
    "extract_occupation": lambda k, f: first_of(OCCUPATIONS, f["x"]),
    "extract_country": lambda k, f: k.named_in(f["x"], ("country",))[0],
    "extract_genre": lambda k, f: first_of(GENRES, f["x"]),
    "extract_person": lambda k, f: k.named_in(f["x"], ("person",))[0],
    "earlier_year": lambda k, f: place(int(f["a"]) < int(f["b"])),
    "born_first": born_first,
    "which_is_town": lambda k, f: place(k.kind[f["a"]] == "town"),
    "is_person": lambda k, f: yes(k.kind[f["x"]] == "person"),
    "tells_birth": lambda k, f: yes(topic(k, f["x"]) == "birth"),
    "names_year": lambda k, f: yes(bool(YEAR.search(f["x"]))),
    "hide_person": hide("someone", "person"),
    "hide_work": hide("a work", "work"),
    "passive_voice": passive,
    "half_century": lambda k, f: place(int(YEAR.findall(f["x"])[0]) < 1950),
    "name_ending": lambda k, f: re.fullmatch(r".+?(ford|wick|dale|ham|mouth|ard|ett|ing|ow)", f["x"])[1],  # type: ignore[index]
    "count_names": lambda k, f: ("one", "two", "three", "four", "five")[f["x"].count(",")],
    "read_occupation": read("occupation", "person"),
    "read_genre": read("genre", "work"),
    "read_country": read("lies_in", "town"),
    "know_occupation": known("occupation"),
    "know_country": known("lies_in"),
    "know_birthplace": known("born_in"),
}


@pytest.mark.parametrize("held_out", [False, True])
def test_every_response_follows_from_the_prompt_and_the_facts(world: World, held_out: bool) -> None:
    knowledge = Knowledge(world)
    made = tasks(world, 25, held_out=held_out)
    assert {item.task for item in made} == set(DERIVE) == {task.name for task in TASKS}
    for item in made:
        assert DERIVE[item.task](knowledge, item.meta["fields"]) == item.response, item


def test_sentences_in_prompts_state_facts_that_hold_or_held(world: World, items: list[InstructionItem]) -> None:
    knowledge = Knowledge(world)
    for item in items:
        for fact in (knowledge.facts[f] for f in item.meta["facts"]):
            assert fact.status == ("outdated" if item.response == "past" else "current")
            assert fact.subject in item.meta["entities"]


def test_extraction_is_never_ambiguous(world: World) -> None:
    knowledge = Knowledge(world)
    for held_out in (False, True):
        for item in tasks(world, 80, held_out=held_out):
            x = item.meta["fields"].get("x", "")
            if item.task in ("extract_person", "hide_person"):
                assert len(knowledge.named_in(x, ("person",))) == 1
            if item.task == "extract_country":
                assert len(knowledge.named_in(x, ("country",))) == 1
            if item.task in ("half_century",):
                assert len(YEAR.findall(x)) == 1
            if item.task == "extract_occupation":
                assert sum(bool(re.search(rf"\b{word}\b", x)) for word in OCCUPATIONS) == 1


def test_the_words_of_a_prompt_are_the_instruction_it_records(items: list[InstructionItem]) -> None:
    for item in items:
        assert item.prompt == INSTRUCTIONS[item.task].usual[item.meta["wording"]].format(**item.meta["fields"])


def test_every_task_uses_several_instructions_evenly(items: list[InstructionItem]) -> None:
    for task in TASKS:
        used = Counter(item.meta["wording"] for item in items if item.task == task.name)
        assert len(used) == len(INSTRUCTIONS[task.name].usual) >= 4
        assert min(used.values()) >= 5


def test_prompts_and_responses_are_short(items: list[InstructionItem]) -> None:
    for item in items:
        assert len(item.prompt.split()) <= 40
        assert 1 <= len(item.response.split()) <= (10 if item.type == "rewriting" else 2)


def test_only_rewritten_sentences_end_with_a_full_stop(items: list[InstructionItem]) -> None:
    for item in items:
        assert item.response == item.response.strip()
        assert item.response.endswith(".") == (item.type == "rewriting")


def test_closed_lists_of_answers_are_given_evenly(world: World) -> None:
    for task in TASKS:
        if task.options:
            given = Counter(item.response for item in tasks(world, 60, names=[task.name]))
            assert set(given) == set(task.options)
            assert max(given.values()) <= -(-60 // len(task.options))


def test_without_a_closed_list_no_answer_is_most_of_them(items: list[InstructionItem]) -> None:
    for task in TASKS:
        given = Counter(item.response for item in items if item.task == task.name)
        assert max(given.values()) / given.total() <= 0.5, task.name


def test_the_place_of_the_right_answer_does_not_give_it_away(world: World) -> None:
    for name in ("read_occupation", "read_genre", "read_country"):
        made = tasks(world, 300, names=[name])
        first = sum(i.meta["fields"]["x"].find(i.response) < len(i.meta["fields"]["x"]) / 2 for i in made)
        assert 0.38 < first / len(made) < 0.62, name


def test_knowledge_is_asked_only_where_a_passage_states_it(world: World, items: list[InstructionItem]) -> None:
    told = {m.fact for p in passages(world) for m in p.mentions}
    asked = [item for item in items if item.type == "knowledge"]
    assert asked
    for item in asked:
        assert set(item.meta["facts"]) <= told
        assert item.response not in item.prompt


def test_held_out_wordings_never_stand_in_items_to_train_on(world: World, items: list[InstructionItem]) -> None:
    pieces = [literal(t) for w in WORDINGS.values() for t in (*w.held_out, *w.held_out_past, *w.held_out_questions)]
    pieces += [literal(t) for i in INSTRUCTIONS.values() for t in i.held_out]
    text = "\n".join(item.prompt for item in items)
    assert [piece for piece in pieces if piece in text] == []
    held = tasks(world, 5, held_out=True)
    assert all(any(p in item.prompt for p in pieces) and item.meta["template_held_out"] for item in held)


def test_there_are_at_least_three_tasks_of_each_of_eight_types() -> None:
    types = Counter(task.type for task in TASKS)
    assert len(types) == 8
    assert min(types.values()) >= 3
    assert set(INSTRUCTIONS) == {task.name for task in TASKS}


def test_no_two_items_of_a_task_are_the_same_instance(world: World) -> None:
    made = tasks(world, 300)
    assert len({item.id for item in made}) == len(made)
    assert len({(i.task, *i.meta["fields"].values()) for i in made}) == len(made)


def test_items_of_one_task_do_not_depend_on_which_others_are_made(world: World, items: list[InstructionItem]) -> None:
    assert tasks(world, 80, names=["tells_birth"]) == [item for item in items if item.task == "tells_birth"]
    assert tasks(world, 20, names=["tells_birth"]) != tasks(world, 20, seed=1, names=["tells_birth"])


def test_a_tiny_world_gives_the_items_it_has() -> None:
    made = tasks(World.make(1, 100), 200)
    assert {item.type for item in made} == {task.type for task in TASKS}
    assert len(made) < 200 * len(TASKS)


def test_an_unknown_task_is_refused_by_name(world: World) -> None:
    with pytest.raises(UserError, match="there is no task 'juggling'"):
        tasks(world, 1, names=["juggling"])
