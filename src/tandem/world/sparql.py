"""A form as SPARQL over the graph of `triples`."""

from __future__ import annotations

from tandem.world.forms import Form, Pattern, Term, Thing, Var, groups
from tandem.world.schema import RELATION
from tandem.world.triples import BASE, PREFIXES, items, predicates
from tandem.world.world import World


def sparql(world: World, form: Form) -> str:
    """The query, with the prefixes it uses; it gives names, values or a number in its first column."""
    named = groups(form)[form.select] != "value"
    wanted = "?name" if named else f"?{form.select.name}"
    lines = [part for place, pattern in enumerate(form.patterns) for part in _pattern(world, pattern, place)]
    if form.by is not None:
        lines += [f"FILTER(?{form.by.name} > {form.after})"] * (form.after is not None)
        lines += [f"FILTER(?{form.by.name} < {form.before})"] * (form.before is not None)
    prefixes = PREFIXES
    if form.shape == "count" or not named:
        prefixes = f"PREFIX : <{BASE}>"
    else:
        lines.append(f"?{form.select.name} rdfs:label ?name .")
    where = f"WHERE {{ {' '.join(lines)} }}"
    if form.shape == "count":
        return f"{prefixes} SELECT (COUNT(DISTINCT ?{form.select.name}) AS ?n) {where}"
    if form.shape == "values":
        return f"{prefixes} SELECT DISTINCT {wanted} {where}"
    assert form.by is not None, form
    order = f"?{form.by.name}" if form.shape == "first" else f"DESC(?{form.by.name})"
    return f"{prefixes} SELECT {wanted} {where} ORDER BY {order} LIMIT 1"


def _pattern(world: World, pattern: Pattern, place: int) -> list[str]:
    subject, object_ = _term(world, pattern.subject), _term(world, pattern.object)
    number = predicates(world)[pattern.relation]
    if pattern.year is None or not RELATION[pattern.relation].temporal:
        return [f"{subject} :P{number} {object_} ."]
    held, since, until = f"?held{place or ''}", f"?since{place or ''}", f"?until{place or ''}"
    return [
        f"{subject} :H{number} {held} .",
        f"{held} :value {object_} ; :since {since} .",
        f"OPTIONAL {{ {held} :until {until} }}",
        f"FILTER({since} <= {pattern.year} && (!BOUND({until}) || {until} > {pattern.year}))",
    ]


def _term(world: World, term: Term) -> str:
    if isinstance(term, Var):
        return f"?{term.name}"
    if isinstance(term, Thing):
        return f":{items(world)[term.number]}"
    return f'"{term.value}"' if isinstance(term.value, str) else str(term.value)
