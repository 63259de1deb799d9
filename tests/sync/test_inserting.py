"""Rows are inserted many at a time, and the table ends as if each had been inserted alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from sync.store import engine
from sync.store.engine import Connection, Store, open_store
from tests.stores import STORES

Row = tuple[int, str | None, bytes | None]
ROWS: st.SearchStrategy[list[Row]] = st.lists(
    st.tuples(st.integers(0, 40), st.text("aäé'?%:", max_size=3) | st.none(), st.binary(max_size=3) | st.none()), max_size=60
)
COLUMNS = ("id", "word", "octets")
LATEST = "on conflict (id) do update set word = excluded.word, octets = excluded.octets"
FIRST = "on conflict do nothing"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(STORES.settings(tmp_path / "rosterd.db"))) as opened:
        yield opened


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.sampled_from([LATEST, FIRST, ""]))
@example([(number % 7, str(number), None) for number in range(20)], LATEST)
@example([(number, "\t\\N\n", b"\x00\\.") for number in range(20)], "")
def test_the_table_ends_as_if_each_row_had_been_inserted_alone(store: Store, rows: list[Row], or_else: str) -> None:
    """However many rows go into one statement, and however many are left over: of several with one id the last one, or the first one, stays."""
    if not or_else:
        rows = list({row[0]: row for row in rows}.values())
    wanted = {row[0]: row for row in (rows if or_else == LATEST else reversed(rows))}
    for most, places in ((1, 9), (2, 9), (500, 9), (7, 32_766), (500, 32_766)):
        with pytest.MonkeyPatch.context() as patch, store.dedicated() as connection, store.read(on=connection):
            patch.setattr(engine, "ROWS", most)
            patch.setattr(engine, "MOST_PARAMETERS", places)
            patch.setattr(engine, "ENOUGH", most)
            _make_table(connection)
            engine.insert(connection, "kept", COLUMNS, rows, or_else)
            assert _kept(connection) == [wanted[number] for number in sorted(wanted)]


def test_a_row_that_may_not_be_spoils_the_transaction(store: Store) -> None:
    """One id twice among many rows is an error as it is among few, and nothing of the transaction stays."""
    rows: list[Row] = [(number, "", None) for number in range(engine.ROWS + 10)]
    for twice in (0, engine.ROWS - 1, engine.ROWS + 9):
        with store.dedicated() as connection:
            with store.read(on=connection):
                _make_table(connection)
            with pytest.raises(IntegrityError), store.read(on=connection):
                engine.insert(connection, "kept", COLUMNS, [(1000, "before", None)])
                engine.insert(connection, "kept", COLUMNS, [*rows[: twice + 1], rows[twice], *rows[twice + 1 :]])
            with store.read(on=connection):
                assert _kept(connection) == []


def _make_table(connection: Connection) -> None:
    octets = "bytea" if connection.dialect.name == "postgresql" else "blob"
    connection.exec_driver_sql(f"create temporary table if not exists kept (id integer primary key, word text, octets {octets})")
    connection.exec_driver_sql("delete from kept")


def _kept(connection: Connection) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(text("select id, word, octets from kept order by id")).all()]
