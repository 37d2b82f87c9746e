"""A form as SQL over the tables of a schema: joins by key where things are keyed by number, none where by name.

One dialect serves SQLite and DuckDB. A query of one table names no alias; of several, t1, t2, … in the order of use.
"""

from __future__ import annotations

from tandem.world.forms import Form, Pattern, Term, Thing, Value, Var, groups
from tandem.world.schema import RELATION
from tandem.world.table_schemas import GROUP, GROUPS, Group, Place, TableSchema, Things
from tandem.world.world import World


def sql(world: World, form: Form, schema: TableSchema) -> str:
    """The query; it gives names, values or a number in its first column."""
    written = _Query(world, schema)
    for pattern in form.patterns:
        written.match(pattern)
    group = groups(form)[form.select]
    wanted = written.named(form.select, group)
    if form.by is not None:
        year = written.known[form.by]
        written.where += [f"{year} > {form.after}"] * (form.after is not None)
        written.where += [f"{year} < {form.before}"] * (form.before is not None)
        if form.shape in ("first", "last"):
            written.where.append(f"{year} IS NOT NULL")
    return written.text(form, wanted)


class _Query:
    """The tables, conditions and known columns of a query while it is written."""

    def __init__(self, world: World, schema: TableSchema) -> None:
        self._world, self._schema = world, schema
        self._tables: list[tuple[str, str, str]] = []
        self._rows: dict[tuple[Term, str], str] = {}
        self.where: list[str] = []
        self.known: dict[Term, str] = {}

    def match(self, pattern: Pattern) -> None:
        """Tables and conditions of one pattern."""
        relation = RELATION[pattern.relation]
        dated = pattern.year is not None and relation.temporal
        place = self._schema.dated[pattern.relation] if dated else self._schema.current[pattern.relation]
        domain = GROUP[relation.domain[0]]
        things = self._schema.things[domain]
        if place.table == things.table:
            alias = self._row(pattern.subject, domain)
        else:
            alias = self._link(pattern, place, domain)
        self._object(pattern.object, f"{alias}.{place.object}", GROUP.get(relation.range[0]))
        if dated:
            since, until = f"{alias}.{place.since}", f"{alias}.{place.until}"
            self.where += [f"{since} <= {pattern.year}", f"({until} IS NULL OR {until} > {pattern.year})"]
        elif place.until:
            self.where.append(f"{alias}.{place.until} IS NULL")

    def named(self, term: Var, group: str) -> str:
        """The column of a variable's name, or its value."""
        if group == "value" or self._schema.by_name:
            return self.known[term]
        things = self._schema.things[_group(group)]
        return f"{self._row(term, _group(group))}.{things.name}"

    def text(self, form: Form, wanted: str) -> str:
        """The whole query."""
        first, *others = self._tables
        source = f"{first[1]} AS {first[0]}" + "".join(f" JOIN {table} AS {a} ON {on}" for a, table, on in others)
        where = " AND ".join(dict.fromkeys(self.where))
        if form.shape == "count":
            select = f"COUNT(DISTINCT {self.known[form.select]})"
        else:
            select = f"DISTINCT {wanted}" if form.shape == "values" else wanted
        query = f"SELECT {select} FROM {source} WHERE {where}"
        if form.shape in ("first", "last"):
            assert form.by is not None, form
            query += f" ORDER BY {self.known[form.by]}{' DESC' if form.shape == 'last' else ''} LIMIT 1"
        return query if others else query.replace(f" AS {first[0]} ", " ").replace(f"{first[0]}.", "")

    def _add(self, table: str, on: str = "") -> str:
        alias = f"t{len(self._tables) + 1}"
        self._tables.append((alias, table, on.format(alias=alias)))
        return alias

    def _row(self, term: Term, group: Group) -> str:
        """Alias of a thing's own row, joined by its key when that is known."""
        if (term, group) in self._rows:
            return self._rows[term, group]
        things = self._schema.things[group]
        if term in self.known and self._tables:
            alias = self._add(things.table, f"{{alias}}.{things.key} = {self.known[term]}")
        else:
            alias = self._add(things.table, self._joined())
            if not isinstance(term, Var):
                self.where.append(f"{alias}.{things.name} = {self._quoted(term)}")
        self._rows[term, group] = alias
        self.known.setdefault(term, f"{alias}.{things.key}")
        return alias

    def _joined(self) -> str:
        """The condition of a table that nothing joins yet: conditions that follow join it."""
        return "TRUE" if self._tables else ""

    def _link(self, pattern: Pattern, place: Place, domain: Group) -> str:
        """Alias of a row of a relation's own table."""
        subject = pattern.subject
        if self._schema.by_name and not isinstance(subject, Var):
            alias = self._add(place.table, self._joined())
            self.where.append(f"{alias}.{place.subject} = {self._quoted(subject)}")
            return alias
        if not isinstance(subject, Var):
            self._row(subject, domain)
        if subject in self.known:
            return self._add(place.table, f"{{alias}}.{place.subject} = {self.known[subject]}")
        on = ""
        if self._tables:
            on = f"{{alias}}.{place.object} = {self.known[pattern.object]}"
        alias = self._add(place.table, on)
        self.known[subject] = f"{alias}.{place.subject}"
        return alias

    def _object(self, term: Term, column: str, group: Group | None) -> None:
        if isinstance(term, Var) and term not in self.known:
            self.known[term] = column
        elif isinstance(term, Thing) and group is not None and not self._schema.by_name:
            things: Things = self._schema.things[group]
            if (term, group) in self._rows:
                self.where.append(f"{column} = {self._rows[term, group]}.{things.key}")
                return
            alias = self._add(things.table, f"{{alias}}.{things.key} = {column}")
            self._rows[term, group] = alias
            self.where.append(f"{alias}.{things.name} = {self._quoted(term)}")
        else:
            self.where.append(f"{column} = {self.known[term] if isinstance(term, Var) else self._quoted(term)}")

    def _quoted(self, term: Term) -> str:
        if isinstance(term, Thing):
            text = self._world.names[term.number]
        else:
            assert isinstance(term, Value), term
            if isinstance(term.value, int):
                return str(term.value)
            text = term.value
        return "'" + text.replace("'", "''") + "'"


def _group(name: str) -> Group:
    return next(group for group in GROUPS if group == name)
