"""The steps of the SCIM protocol where we differ from scim2-server: what we insist on, and what we answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from scim2_models import Context, InvalidFilterException, InvalidValueException, PatchOp, Resource, ResourceType, ResponseParameters, SearchRequest
from scim2_server.conditions import Conditions
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService
from scim2_server.storage import SearchPage

from api.scim.dialects import spread
from api.scim.limits import LONGEST_FILTER, LONGEST_TEXT, MOST_EMAILS

_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


class PushRules(ScimService):
    """The protocol, as providers need it answered (docs/scim-push.md)."""

    def read_creation(self, resource_type: ResourceType, body: bytes, content_type: str | None) -> Resource[Any]:
        return _check(super().read_creation(resource_type, body, content_type))

    def apply_replacement(self, current: Resource[Any], replacement: Resource[Any], conditions: Conditions) -> Resource[Any] | None:
        """A replacement that does not say whether somebody is active does not decide it."""
        if hasattr(replacement, "active") and "active" not in replacement.model_fields_set:
            replacement.active = current.active  # type: ignore[attr-defined]
        return super().apply_replacement(current, _check(replacement), conditions)

    def read_patch(self, resource_type: ResourceType, body: bytes, content_type: str | None) -> PatchOp[Any]:
        return super().read_patch(resource_type, spread(body), content_type)

    def apply_patch(self, current: Resource[Any], patch_op: PatchOp[Any], conditions: Conditions) -> Resource[Any] | None:
        patched = super().apply_patch(current, patch_op, conditions)
        return None if patched is None else _check(patched)

    def publish(self, base_url: str, resource: Resource[Any]) -> Resource[Any]:
        """Say where a resource is, in place: each was made for this request alone, and none refers to others by URLs."""
        resource.meta.location = self.resource_location(base_url, self.get_resource_type_of(resource), resource.id)  # type: ignore[union-attr, arg-type]
        return resource

    def patch_response(self, base_url: str, resource: Resource[Any], response_parameters: ResponseParameters[Any]) -> ScimResponse:
        """Users are answered whole, for providers look whether their change arrived; groups with 204, for they are long."""
        if resource.meta is None or resource.meta.resource_type != "User":
            return super().patch_response(base_url, resource, response_parameters)
        return self.resource_response(self.publish(base_url, resource), Context.RESOURCE_REPLACEMENT_RESPONSE, response_parameters)

    def read_search(self, resource_types: list[ResourceType], payload: Any) -> tuple[SearchRequest[Any], Any]:
        said = payload.items() if isinstance(payload, dict) else ()
        filters = [value for name, value in said if name.lower() == "filter" and isinstance(value, str)]
        if any(len(one) > LONGEST_FILTER or "\0" in one for one in filters):
            raise InvalidFilterException(detail=f"A filter has at most {LONGEST_FILTER} characters, none of them NUL")
        return super().read_search(resource_types, payload)

    def search_response(
        self, base_url: str, resource_types: list[ResourceType], page: SearchPage, search_request: SearchRequest[Any]
    ) -> ScimResponse:
        """Return the list without reading once more what was just written: that takes half of the time of a long one."""
        shown = [
            self.publish(base_url, one).model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=search_request)
            for one in page.resources
        ]
        body = {"schemas": [_LIST], "totalResults": page.total, "itemsPerPage": len(shown), "startIndex": search_request.start_index}
        return ScimResponse(HTTPStatus.OK, {**body, "Resources": shown})


def _check(resource: Resource[Any]) -> Resource[Any]:
    """Return a user or group that can be kept. Raises InvalidValueException."""
    name = "userName" if hasattr(resource, "user_name") else "displayName"
    value = resource.user_name if hasattr(resource, "user_name") else getattr(resource, "display_name", None)
    if not (value or "").strip():
        raise InvalidValueException(detail=f"{name} is missing or empty")
    emails = getattr(resource, "emails", None) or ()
    if len(emails) > MOST_EMAILS:
        raise InvalidValueException(detail=f"A user has at most {MOST_EMAILS} emails")
    looked_up = [(name, value), ("externalId", resource.external_id), ("displayName", getattr(resource, "display_name", None))]
    looked_up += [("emails", text) for one in emails for text in (one.value, one.type)]
    looked_up += [("members", one.value) for one in getattr(resource, "members", None) or ()]
    if full := getattr(resource, "name", None):
        looked_up += [("name", full.given_name), ("name", full.family_name)]
    for attribute, text in looked_up:
        if text is not None and len(text) > LONGEST_TEXT:
            raise InvalidValueException(detail=f"A value of {attribute} has more than {LONGEST_TEXT} characters")
    return resource
