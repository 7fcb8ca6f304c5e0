"""Statements whose SQL is built once a process, for the few that everybody's every act waits for.

Django builds the SQL of a query set anew each time, which takes several times as long as sending it
and reading the answer. Here it is built at first use, with `Given("name")` where a value will be;
what a statement means is still said by a query set, once.

    _LOCKED = Compiled(lambda: QueueItem.objects.select_for_update().filter(pk=Given("example")))
    item = _LOCKED.first(example=7)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models import (
    BigAutoField,
    BooleanField,
    CharField,
    DateTimeField,
    Expression,
    Field,
    FloatField,
    ForeignKey,
    IntegerField,
    Model,
    OneToOneField,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    QuerySet,
    TextField,
    UUIDField,
)
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesListIterable,
    get_related_populators,
)
from django.db.models.sql import UpdateQuery

from core.sql import prepared

Row = TypeVar("Row")


class Given(Expression):
    """The place of a value that is given when the statement is run: a number, text, UUID or time.

    Not None, for which SQL has another operator, and no list, whose length is part of the SQL.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]  # stands for the value until there is one


class Compiled(Generic[Row]):
    """A query set of models, or of `values_list`, compiled when it is first run.

    `build` is called then, not before: at import time apps and connection are not ready.
    """

    def __init__(self, build: Callable[[], QuerySet[Any, Row]]) -> None:
        self._build = build
        self._plans: dict[str, _Reading] = {}

    def all(self, **given: Any) -> list[Row]:
        """The rows for these values, in the query set's order; one statement."""
        database = prepared.database()
        plan = self._plan(database.vendor)
        if plan.locks and database.get_autocommit():
            raise transaction.TransactionManagementError("A lock needs a transaction to live in.")
        values = _values(plan.params, given, database.vendor)
        return [plan.read(row) for row in prepared.rows(plan.sql, values)]

    def first(self, **given: Any) -> Row | None:
        """The first of the rows, None when there is none; order and limit are the query set's."""
        return next(iter(self.all(**given)), None)

    def _plan(self, vendor: str) -> _Reading:
        plan = self._plans.get(vendor)
        if plan is None:
            plan = self._plans[vendor] = _compile(self._build())
        return plan


class CompiledUpdate:
    """An UPDATE of the rows of a query set, compiled when it is first run."""

    def __init__(self, build: Callable[[], QuerySet[Any]], **changes: Any) -> None:
        self._build, self._changes = build, changes
        self._plans: dict[str, tuple[str, Sequence[Any], _Reading]] = {}

    def run(self, **given: Any) -> int:
        """Write, and return how many rows there were."""
        return prepared.changed(*self._filled(given))

    def returning(self, **given: Any) -> list[Any]:
        """Write, and return the rows of the one table as they are then."""
        sql, values = self._filled(given)
        *_, reading = self._plan()
        found = prepared.rows(f"{sql} RETURNING {reading.columns}", values)
        return [reading.read(row) for row in found]

    def _filled(self, given: dict[str, Any]) -> tuple[str, list[Any]]:
        sql, params, _ = self._plan()
        return sql, _values(params, given, connection.vendor)

    def _plan(self) -> tuple[str, Sequence[Any], _Reading]:
        vendor = prepared.database().vendor
        plan = self._plans.get(vendor)
        if plan is None:
            rows = self._build()
            query: Any = rows.query.chain(UpdateQuery)
            query.add_update_values(self._changes)
            sql, params = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
            plan = self._plans[vendor] = sql, params, _compile(rows)
        return plan


def insert(row: Model) -> None:
    """Insert a new row and give it the key that the database made, as `save` would.

    Without its signals, which nothing here listens to, and without a model's own `save`.
    """
    insert_all([row])


def insert_all(rows: Sequence[Model], *, keys: bool = True) -> None:
    """The same of a handful of rows of one model, all with keys or all without; one statement.

    Without `keys` a row stays without the one that the database makes: nobody asks for it.
    """
    if not rows:
        return
    has_keys = rows[0].pk is not None
    returned = keys and not has_keys
    sql, names = _insertion(type(rows[0]), has_keys, returned, len(rows))
    values = [value for row in rows for value in _stored(row, names, add=True)]
    # Whoever survives the error of a row that was refused must not commit what came before it.
    with transaction.mark_for_rollback_on_error(DEFAULT_DB_ALIAS):
        if returned:
            for row, (key,) in zip(rows, prepared.rows(sql, values), strict=True):
                row.pk = key
        else:
            prepared.changed(sql, values)
    for row in rows:
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS


def update(row: Model, *names: str) -> None:
    """Write these fields of a row that this transaction has locked, so that it is there."""
    sql, pk = _update(type(row), names)
    prepared.changed(sql, _stored(row, (*names, pk), add=False))


def update_all(rows: Sequence[Model], *names: str) -> None:
    """The same of several rows; one statement.

    An insert that always finds its row: for a handful, of which there are a few numbers.
    """
    if rows:
        sql, all_names = _update_all(type(rows[0]), names, len(rows))
        values = [value for row in rows for value in _stored(row, all_names, add=False)]
        prepared.changed(sql, values)


def delete(row: Model) -> None:
    """Delete a row that nothing points to; the database refuses one that something does."""
    table, key = _quoted(row._meta.db_table), row._meta.pk
    sql = f"DELETE FROM {table} WHERE {_quoted(key.column)} = %s"  # noqa: S608
    prepared.changed(sql, _stored(row, [key.name], add=False))


# --- how ------------------------------------------------------------------------------------------
class _Reading(NamedTuple):
    sql: str
    params: Sequence[Any]
    read: Callable[[Any], Any]
    locks: bool
    columns: str


def _compile(rows: QuerySet[Any, Any]) -> _Reading:
    compiler = rows.query.get_compiler(DEFAULT_DB_ALIAS)
    sql, params = compiler.as_sql()
    columns = compiler.select[: compiler.col_count]
    convert = _converter(compiler.get_converters([column[0] for column in columns]))
    kind: Any = rows._iterable_class
    if kind is FlatValuesListIterable:
        read: Callable[[Any], Any] = lambda row: convert(row)[0]  # noqa: E731
    elif kind is ValuesListIterable:
        read = lambda row: tuple(convert(row))  # noqa: E731
    elif kind is ModelIterable:
        make = _maker(compiler)
        read = lambda row: make(convert(row))  # noqa: E731
    else:
        raise TypeError(f"{kind.__name__}: only models and values_list are compiled.")
    names = ", ".join(column for _, (column, _), _ in compiler.select)
    return _Reading(sql, params, read, rows.query.select_for_update, names)


def _converter(converters: dict[int, Any]) -> Callable[[Any], Any]:
    """From what the driver returns to what the fields hold, as the query set's own reader does."""
    places = [(place, *how) for place, how in converters.items()]
    if not places:
        return lambda row: row

    def convert(row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for place, functions, expression in places:
            value = values[place]
            for function in functions:
                value = function(value, expression, connection)
            values[place] = value
        return values

    return convert


def _maker(compiler: Any) -> Callable[[Sequence[Any]], Model]:
    """From a row's values to a model with the models it was selected with."""
    select, info = compiler.select, compiler.klass_info
    begin, end = info["select_fields"][0], info["select_fields"][-1] + 1
    names = [column[0].target.attname for column in select[begin:end]]
    model: type[Model] = info["model"]
    populators = get_related_populators(info, select, DEFAULT_DB_ALIAS)  # type: ignore[call-arg]
    annotations = compiler.annotation_col_map or {}

    def make(values: Sequence[Any]) -> Model:
        made = model.from_db(DEFAULT_DB_ALIAS, names, values[begin:end])
        for populator in populators:
            populator.populate(values, made)
        for name, place in annotations.items():
            setattr(made, name, values[place])
        return made

    return make


def _values(params: Iterable[Any], given: dict[str, Any], vendor: str) -> list[Any]:
    return [adapted(given[one.name], vendor) if isinstance(one, Given) else one for one in params]


def adapted(value: Any, vendor: str = "") -> Any:
    """A value as the driver takes it: SQLite keeps times and UUIDs as text."""
    if (vendor or connection.vendor) == "sqlite":
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value)
        if isinstance(value, UUID):
            return value.hex
    return value


def _stored(row: Model, names: Iterable[str], *, add: bool) -> list[Any]:
    default = prepared.database()
    values: list[Any] = []
    for field, name, kept_as in _fields(type(row), tuple(names), default.vendor):
        value = getattr(row, name)
        if kept_as is None or not (value is None or type(value) is kept_as):
            value = field.get_db_prep_save(field.pre_save(row, add), default)
        values.append(value)
    return values


# What Django would only look at: of an example's values all but eight.
_KEPT_AS: dict[type[Field[Any, Any]], type] = {
    BigAutoField: int,
    BooleanField: bool,
    CharField: str,
    FloatField: float,
    IntegerField: int,
    PositiveIntegerField: int,
    PositiveSmallIntegerField: int,
    TextField: str,
}
_KEPT_BY_POSTGRESQL = {**_KEPT_AS, DateTimeField: datetime, UUIDField: UUID}


@cache
def _fields(
    model: type[Model], names: tuple[str, ...], vendor: str
) -> list[tuple[Any, str, type | None]]:
    """These fields, each with its attribute and the type whose values go to the driver as they are,
    None: no such."""
    kept = _KEPT_BY_POSTGRESQL if vendor == "postgresql" else _KEPT_AS
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    return [(field, field.attname, kept.get(type(_pointed_to(field)))) for field in fields]


def _pointed_to(field: Any) -> Any:
    return field.target_field if type(field) in (ForeignKey, OneToOneField) else field


@lru_cache(maxsize=200)
def _insertion(
    model: type[Model], has_key: bool, returned: bool, rows: int
) -> tuple[str, tuple[str, ...]]:
    """The SQL of an INSERT of so many rows, and the names of the fields of each."""
    meta = model._meta
    fields = [field for field in meta.local_concrete_fields if has_key or not field.primary_key]
    columns = ", ".join(_quoted(field.column) for field in fields)
    places = ", ".join([f"({', '.join('%s' for _ in fields)})"] * rows)
    key = f" RETURNING {_quoted(meta.pk.column)}" if returned else ""
    sql = f"INSERT INTO {_quoted(meta.db_table)} ({columns}) VALUES {places}{key}"  # noqa: S608
    return sql, tuple(field.name for field in fields)


@lru_cache(maxsize=200)
def _update_all(
    model: type[Model], names: tuple[str, ...], rows: int
) -> tuple[str, tuple[str, ...]]:
    """The same of many rows, and the names of the fields of each."""
    meta = model._meta
    changed: list[Any] = [meta.get_field(name) for name in names]
    places = f"({', '.join('%s' for _ in meta.local_concrete_fields)})"
    columns = ", ".join(_quoted(field.column) for field in meta.local_concrete_fields)
    changes = ", ".join(
        f"{_quoted(one.column)} = excluded.{_quoted(one.column)}" for one in changed
    )
    sql = (
        f"INSERT INTO {_quoted(meta.db_table)} ({columns}) VALUES {', '.join([places] * rows)} "  # noqa: S608
        f"ON CONFLICT ({_quoted(meta.pk.column)}) DO UPDATE SET {changes}"
    )
    return sql, tuple(field.name for field in meta.local_concrete_fields)


@cache
def _update(model: type[Model], names: tuple[str, ...]) -> tuple[str, str]:
    """The SQL of an UPDATE of these fields by its key, and the key's name."""
    meta = model._meta
    fields: list[Any] = [meta.get_field(name) for name in names]
    changes = ", ".join(f"{_quoted(field.column)} = %s" for field in fields)
    sql = f"UPDATE {_quoted(meta.db_table)} SET {changes} WHERE {_quoted(meta.pk.column)} = %s"  # noqa: S608
    return sql, meta.pk.name


def _quoted(name: str | None) -> str:
    return f'"{name}"'  # as both databases do
