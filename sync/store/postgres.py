"""The store on a server: PostgreSQL by psycopg, for several daemons at once, found again by itself after the server was gone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.types.string import StrDumperUnknown, TextLoader
from sqlalchemy import Connection, String, Text, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles

from sync.errors import StoreUnavailable
from sync.ids import now_ms
from sync.settings import Secret

BUSY = "300s"
"""How long a writer waits for another, a statement may take, and a transaction may lie idle before the server ends it."""

ANSWER_WITHIN = 3.0
"""Seconds that a lookup waits for the server, which then counts as gone."""

QUIET = 1.0
"""Seconds for which a server that did not answer is not asked again, or as long as it was waited for if that is more: lookups are answered
503 at once meanwhile, and who else waits for the event loop has half of it."""

DRIFT_MS = 250
"""By how much the server's clock must differ from ours before it counts: less is the time that a question takes."""

_LOCK = int.from_bytes(b"rosterd", "big")
"""The advisory lock of whoever writes: one at a time, as in a file, so that what is decided about addresses and leases stays true."""

_CONNECT: dict[str, Any] = {
    "connect_timeout": 3, "keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 10_000,
    "application_name": "rosterd",
}  # fmt: skip
"""What libpq is told unless the URL says otherwise: a server that vanished without a word is noticed in seconds."""

_SESSION = {
    "lock_timeout": BUSY, "statement_timeout": BUSY, "idle_in_transaction_session_timeout": BUSY,
    "tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "25s", "temp_buffers": "32MB",
}  # fmt: skip
"""What each session is told: a host that vanished gives up its locks within half a minute, whoever spoke last, a process that is stuck in the
end. The buffers are for what a run stages."""

_LASTING = (
    "set_config('synchronous_commit', case current_setting('synchronous_commit') when 'off' then 'on'"
    " else current_setting('synchronous_commit') end, false)"
)
"""A server may be set to lose the last moments in a crash: then a token that was revoked would stand again, and a run be half remembered."""

_T = TypeVar("_T")


class PostgresServer:
    """A database on a server, reached by `url` (postgresql+psycopg://user@host/database, options of libpq behind "?")."""

    path: Path | None = None

    def __init__(self, url: str, password: Secret | None) -> None:
        parts = make_url(url)
        self.password = password
        """What new connections show; a reload may change it."""
        self.name = parts.set(query={}).render_as_string(hide_password=True)
        told = {name: value for name, value in _CONNECT.items() if name not in parts.query}
        self.engine = create_engine(
            parts, isolation_level="AUTOCOMMIT", connect_args=told, pool_pre_ping=True, max_overflow=40, pool_timeout=10, use_native_hstore=False
        )
        event.listen(self.engine, "do_connect", self._give_password)
        event.listen(self.engine, "connect", _prepare)
        self._lines: deque[_Line] = deque()
        self._ask_from = 0.0
        self._ahead = 0

    def now(self) -> int:
        """Return milliseconds since the epoch by the server's clock, as the last write transaction saw it."""
        return now_ms() + self._ahead

    def begin(self, connection: Connection, *, write: bool, within_ms: int | None = None) -> None:
        """Begin a snapshot, or a transaction that holds the writers' lock, waited for `within_ms`, else BUSY; the latter tells how late it is."""
        if not write:
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ")
            return
        connection.exec_driver_sql("BEGIN")
        if within_ms is not None:
            connection.exec_driver_sql(f"set local lock_timeout = {within_ms:d}")
        row = connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK}), (extract(epoch from clock_timestamp()) * 1000)::bigint").one()
        ahead = int(row[1]) - now_ms()
        if abs(ahead - self._ahead) > DRIFT_MS:
            self._ahead = ahead if abs(ahead) > DRIFT_MS else 0

    def give_room(self, connection: Connection) -> None:
        """Prepare a connection for large sorts and joins."""
        connection.exec_driver_sql("set work_mem = '32MB'")

    def query(self, statement: str, facts: Mapping[str, Any]) -> list[Any]:
        """Answer one SELECT, on a line that lies ready or a new one, within ANSWER_WITHIN."""
        with self.translated(), self._quiet_after_silence():
            while self._lines:
                with suppress(IndexError):  # another thread took the last one
                    try:
                        return self._ask(self._lines.pop(), statement, facts)
                    except _Silence:
                        raise
                    except psycopg.OperationalError:
                        self._hang_up()  # the server was restarted, or another one took over: a new line will tell
            return self._ask(self._new_line(), statement, facts)

    def close(self) -> None:
        """Close every connection that lies ready."""
        self._hang_up()
        self.engine.dispose()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise StoreUnavailable for whatever is the server's fault."""
        try:
            yield
        except DBAPIError as error:
            if not _is_fault(error.orig):
                raise
            raise self._unavailable(str(error.orig)) from error
        except (psycopg.Error, PoolTimeout) as error:
            if not _is_fault(error):
                raise
            raise self._unavailable(str(error)) from error

    @contextmanager
    def _quiet_after_silence(self) -> Iterator[None]:
        began = time.monotonic()
        if began < self._ask_from:
            raise psycopg.OperationalError("it did not answer a moment ago")
        try:
            yield
        except psycopg.OperationalError:
            self._hang_up()
            now = time.monotonic()
            self._ask_from = now + max(QUIET, now - began)
            raise

    def _ask(self, line: _Line, statement: str, facts: Mapping[str, Any]) -> list[Any]:
        try:
            rows = line.execute(statement, facts).fetchall()
        except BaseException:
            line.close()
            raise
        self._lines.append(line)
        return rows

    def _new_line(self) -> _Line:
        _, given = self.engine.dialect.create_connect_args(self.engine.url)
        options: dict[str, Any] = {**_CONNECT, **given}
        self._give_password(None, None, (), options)
        line = _Line.connect(**options)
        _prepare(line, None)
        return line

    def _hang_up(self) -> None:
        while self._lines:
            with suppress(IndexError):
                self._lines.pop().close()

    def _give_password(self, dialect: object, record: object, arguments: object, options: dict[str, Any]) -> None:
        if self.password is not None:
            options["password"] = self.password.reveal()

    def _unavailable(self, said: str) -> StoreUnavailable:
        said = " ".join(said.split()).rstrip(".")
        remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in said), "Check that the server runs and can be reached from here.")
        return StoreUnavailable("store_unavailable", f"The store {self.name} failed: {said}{'' if said.endswith('?') else '.'}", remedy)


def conninfo(url: str, **more: str) -> str:
    """Return what a store's URL says as libpq's own programs take it (libpq, "Keyword/Value Connection Strings")."""
    parts = make_url(url)
    _, given = parts.get_dialect()().create_connect_args(parts)
    return make_conninfo(**{**_CONNECT, **given, **more})


class _Silence(psycopg.OperationalError):
    """The server is there, or nobody says that it is not, and does not answer."""


class _Line(psycopg.Connection[Any]):
    """A connection for lookups: it waits for the server so long and no longer, be it frozen or cut off."""

    def wait(self, gen: PQGen[_T], interval: float = 0.1, timeout: float | None = None) -> _T:
        """Wait as any connection does, and hang up when it takes too long."""
        try:
            return super().wait(gen, interval, timeout=timeout or ANSWER_WITHIN)
        except psycopg.errors._WaitTimeout as error:
            self.pgconn.finish()
            raise _Silence(f"it did not answer within {ANSWER_WITHIN:g} seconds") from error


class _Written(StrDumperUnknown):
    """Texts on their way in. PostgreSQL keeps no NUL; sources drop values with one, so what still brings one finds or keeps nothing it should not."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


def _prepare(driver: Any, record: object) -> None:
    """Make a new connection answer as a file would: JSON as the text it is; and make the server give up on us when we are gone."""
    driver.autocommit = True
    driver.adapters.register_dumper(str, _Written)
    driver.adapters.register_loader("json", TextLoader)
    settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
    driver.execute(f"select {settings}, {_LASTING}")


@compiles(String, "postgresql")
@compiles(Text, "postgresql")
def _bytewise(type_: Any, compiler: Any, **how: Any) -> str:
    """Let every text column compare by octets, whatever the database's locale: two sorted streams are merged by that order."""
    return 'TEXT COLLATE "C"' if "type_expression" in how else "TEXT"


def _is_fault(error: object) -> bool:
    """Tell whether an error is the server's fault, not a bug of ours."""
    if isinstance(error, psycopg.errors.InsufficientPrivilege | PoolTimeout):
        return True
    return isinstance(error, psycopg.OperationalError | psycopg.InternalError | psycopg.InterfaceError)


_REMEDIES = {
    "read-only transaction": "It takes no writes now: a standby, or default_transaction_read_only. Lookups go on.",
    "password authentication failed": "Correct [store] password_file, or the user in [store] url.",
    "no password supplied": "Name the file that holds it: [store] password_file, or --password-file of `rosterd store copy`.",
    "no pg_hba.conf entry": "Let the server's pg_hba.conf admit this host, user and database.",
    "does not exist": "Create the user and the database first (docs/postgresql.md).",
    "permission denied": "Make the user of [store] url the owner of the database.",
    "certificate": "Correct sslrootcert, sslcert and sslkey in [store] url.",
    "lock timeout": "Another process has been writing for too long; pg_stat_activity shows it.",
    "No space left": "Free some space on the server's disk; nothing that was committed is lost.",
    "too many": "Raise max_connections of the server; each daemon uses up to 45, rarely more than ten.",
}
