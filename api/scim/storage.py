"""The storage that scim2-server asks for, on our store: one object for each request, one transaction for each operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from scim2_models import (
    Context,
    InvalidValueException,
    Meta,
    NotFoundException,
    PreconditionFailedException,
    Resource,
    ResourceType,
    ResponseParameters,
    SearchRequest,
    UniquenessException,
)
from scim2_server.storage import ScimStorage, SearchPage

from api.scim.filters import compile_filter
from api.scim.limits import LARGEST_KEPT, PATIENCE_MS
from api.scim.provider import describe
from api.scim.texts import NO_TEXT
from sync.errors import Conflict
from sync.store import pushedsearch
from sync.store.engine import Store
from sync.store.pushedkeeping import Applied, Kept, Shelf, no_change

_KINDS: dict[str, pushedsearch.Kind] = {"User": "user", "Group": "group"}
_FARTHEST = 1 << 40
"""Further into a list than any has resources, and not too far for a database's integer."""
_OURS = ("schemas", "id", "meta", "externalId", "members")
"""What has a column, or is made anew for each answer."""


class PushStorage(ScimStorage):
    """What one provider has pushed. `reads` = the request changes nothing and needs no write transaction; others wait for it `patience_ms`."""

    def __init__(self, store: Store, source: str, applied: Applied = no_change, *, reads: bool = False, patience_ms: int = PATIENCE_MS) -> None:
        self._store = store
        self._source = source
        self._applied = applied
        self._reads = reads
        self._patience_ms = patience_ms
        self._shelf: Shelf | None = None
        self._connection: Any = None
        self.leaves_members = False
        """Whether groups are read and changed without their members: for requests that do not mention them."""

    @contextmanager
    def operation(self) -> Iterator[None]:
        """Hold one transaction; what follows from it for users is done before it commits."""
        with self.shelf():
            yield

    @contextmanager
    def shelf(self) -> Iterator[Shelf]:
        """Yield what is pushed, inside the operation that there is or one of its own."""
        if self._shelf is not None:
            yield self._shelf
            return
        opened = self._store.read() if self._reads else self._store.write(within_ms=self._patience_ms)
        with opened as connection:
            self._connection, self._shelf = connection, (shelf := Shelf(connection, self._source, self._store.now()))
            try:
                yield shelf
                if shelf.touched:
                    self._applied(connection, self._source, sorted(shelf.touched))
            finally:
                self._connection = self._shelf = None

    def get(self, resource_type: ResourceType, resource_id: str, *, response_parameters: ResponseParameters[Any] | None = None) -> Resource[Any]:
        with self.shelf() as shelf:
            found = self._stored(shelf, resource_type, resource_id)
            return self._resource(shelf, resource_type, found, with_members=not self.leaves_members and shows_members(response_parameters))

    def search(self, resource_types: list[ResourceType], search_request: SearchRequest[Any], *, position: Any = None) -> SearchPage:
        wanted = [(one, compile_filter(search_request.filter, _model(one))) for one in resource_types]
        page = SearchPage(0, [])
        after, most = min((search_request.start_index or 1) - 1, _FARTHEST), search_request.count
        with_members = shows_members(search_request)
        with self.shelf() as shelf:
            for one, condition in wanted:
                kind = _KINDS[one.name or ""]
                total = pushedsearch.count(self._connection, self._source, kind, condition)
                left = None if most is None else most - len(page.resources)
                if left != 0 and after < total:
                    found = pushedsearch.search(self._connection, self._source, kind, condition, after=after, most=left)
                    page.resources += [self._resource(shelf, one, each, with_members=with_members) for each in found]
                after = max(0, after - total)
                page.total = (page.total or 0) + total
        return page

    def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        external_id, said, members = _taken_apart(resource)
        with self.shelf() as shelf, _unique():
            is_user = resource_type.name == "User"
            new_id = shelf.add_user(external_id, {"active": True, **said}) if is_user else shelf.add_group(external_id, said, members)
            return self._resource(shelf, resource_type, self._stored(shelf, resource_type, new_id))

    def update(self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None) -> Resource[Any]:
        external_id, said, members = _taken_apart(resource)
        with self.shelf() as shelf, _unique():
            stored = self._stored(shelf, resource_type, resource.id or "")
            _check_version(stored, expected_version)
            if resource_type.name == "User":
                shelf.change_user(stored.id, external_id, {"active": stored.resource["active"], **said})
            else:
                shelf.change_group(stored.id, external_id, said, None if self.leaves_members else members)
            now = self._stored(shelf, resource_type, stored.id)
            return self._resource(shelf, resource_type, now, with_members=not self.leaves_members)

    def delete(self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None) -> None:
        with self.shelf() as shelf:
            _check_version(self._stored(shelf, resource_type, resource_id), expected_version)
            shelf.delete_user(resource_id) if resource_type.name == "User" else shelf.delete_group(resource_id)

    def _stored(self, shelf: Shelf, resource_type: ResourceType, resource_id: str) -> Kept:
        found = shelf.user(resource_id) if resource_type.name == "User" else shelf.group(resource_id)
        if found is None:
            raise NotFoundException(detail="There is no such resource")
        return found

    def _resource(self, shelf: Shelf, resource_type: ResourceType, kept: Kept, *, with_members: bool = True) -> Resource[Any]:
        said: dict[str, Any] = dict(kept.resource)
        if kept.external_id is not None:
            said["externalId"] = kept.external_id
        if resource_type.name == "Group" and with_members and (members := shelf.memberships.of(kept.id)):
            said["members"] = members
        resource = _model(resource_type).model_validate(said, scim_ctx=Context.DEFAULT)
        resource.id = kept.id
        resource.meta = Meta(
            resource_type=resource_type.name, created=_moment(kept.created_at), last_modified=_moment(kept.modified_at), version=version_of(kept)
        )
        return resource


def version_of(kept: Kept) -> str:
    """Return the entity tag of a resource as it stands (RFC 7644 section 3.14)."""
    return f'W/"{kept.version}"'


def shows_members(parameters: Any) -> bool:
    """Tell whether an answer shows the members of groups, by the `attributes` and `excludedAttributes` that were asked for."""
    if parameters is None:
        return True
    if parameters.attributes:
        return any(_head(path) == "members" for path in parameters.attributes)
    return not any(str(path).rpartition(":")[2].lower() == "members" for path in parameters.excluded_attributes or ())


def _head(path: Any) -> str:
    """Return the attribute that a path begins with: "members" of urn:…:Group:members.value."""
    return str(path).rpartition(":")[2].partition(".")[0].lower()


def _model(resource_type: ResourceType) -> type[Resource[Any]]:
    return describe().model_for(resource_type)  # type: ignore[return-value]


def _taken_apart(resource: Resource[Any]) -> tuple[str | None, dict[str, Any], list[dict[str, Any]]]:
    """Return what has places of its own: the external id, the rest as JSON, the members of a group. Raises InvalidValueException."""
    said = resource.model_dump()
    members = [one for one in said.get("members") or () if one.get("value")]
    external_id, kept = said.get("externalId"), {name: value for name, value in said.items() if name not in _OURS}
    try:
        _, written = msgspec.json.encode((external_id, members)), msgspec.json.encode(kept)
    except UnicodeEncodeError:
        raise InvalidValueException(detail=NO_TEXT) from None
    if len(written) > LARGEST_KEPT:
        raise InvalidValueException(detail=f"A resource has at most {LARGEST_KEPT} octets")
    return external_id, kept, members


def _check_version(stored: Kept, expected: str | None) -> None:
    if expected is not None and expected != version_of(stored):
        raise PreconditionFailedException


@contextmanager
def _unique() -> Iterator[None]:
    try:
        yield
    except Conflict as taken:
        raise UniquenessException(detail="Another resource has this name already") from taken


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
