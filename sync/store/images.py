"""What users were before a run changed them, whole: remembered in the run's own transaction, so that a revert has something to go back to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, String, bindparam, text

from sync.store.engine import many
from sync.store.kept import batches
from sync.store.rows import decoded
from sync.user import Kept

_TIMES = text(
    'select id, dropped, inactive_since, missing_since, missing_reads, removed_at, unproven_since, last_seen_at from "user" where id in :ids'
).bindparams(bindparam("ids", expanding=True, type_=String()))
_INSERT = "insert into user_before (run_id, user_id, image) values (:run_id, :user_id, :image) on conflict (run_id, user_id) do nothing"
_IMAGES = text("select user_id, image from user_before where run_id = :run_id and user_id in :ids").bindparams(
    bindparam("ids", expanding=True, type_=String())
)


class Image(msgspec.Struct, frozen=True):
    """One user whole: what a plan compares, and since when they have been what they are (ms)."""

    user: Kept
    dropped: list[Any]
    inactive_since: int | None
    missing_since: int | None
    missing_reads: int
    removed_at: int | None
    unproven_since: int | None
    last_seen_at: int | None


def remember(connection: Connection, run_id: str, users: Iterable[Kept]) -> None:
    """Keep what these users are now, before the run changes them; what it kept of them first stays."""
    for batch in batches(users):
        times = {row.id: row for row in connection.execute(_TIMES, {"ids": [user.user_id for user in batch]})}
        images = [_image(user, times[user.user_id]) for user in batch]
        rows = [{"run_id": run_id, "user_id": one.user.user_id, "image": msgspec.json.encode(one).decode()} for one in images]
        many(connection, _INSERT, rows)


def recall(connection: Connection, run_id: str, user_ids: Sequence[str]) -> dict[str, Image]:
    """Return {user id: what they were before the run}, of those who were anybody and have not been forgotten since."""
    rows = connection.execute(_IMAGES, {"run_id": run_id, "ids": list(user_ids)})
    return {row.user_id: msgspec.convert(decoded(row.image), Image) for row in rows}


def put_back(connection: Connection, images: Iterable[Image]) -> None:
    """Write the times of users whose people, claims and groups have been written already; the next read compares them again."""
    times = [name for name in Image.__struct_fields__ if name not in ("user", "dropped")]
    sets = ", ".join(f"{name} = :{name}" for name in times)
    rows = [{"id": one.user.user_id, **{name: getattr(one, name) for name in times}} for one in images]
    many(connection, f'update "user" set {sets} where id = :id', rows)


def _image(user: Kept, times: Any) -> Image:
    return Image(
        user, decoded(times.dropped), times.inactive_since, times.missing_since, times.missing_reads, times.removed_at, times.unproven_since,
        times.last_seen_at,
    )  # fmt: skip
