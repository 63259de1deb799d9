"""What of a user and a group is taken: the attributes of RFC 7643 that survive being sent, kept and answered unchanged. No password is among them.

Addresses are texts, not checked ones: `bob@corp.local` and `Bob@EXAMPLE.com` are answered as they were sent.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from scim2_models import CaseExact, ComplexAttribute, Extension, Required, Resource, Uniqueness
from scim2_models.resources.resource import AnyExtension
from scim2_models.urn import URN


class Name(ComplexAttribute):
    formatted: str | None = None
    family_name: str | None = None
    given_name: str | None = None
    middle_name: str | None = None
    honorific_prefix: str | None = None
    honorific_suffix: str | None = None


class Email(ComplexAttribute):
    value: str | None = None
    display: str | None = None
    type: str | None = None
    primary: bool | None = None


class PhoneNumber(ComplexAttribute):
    value: str | None = None
    display: str | None = None
    type: str | None = None
    primary: bool | None = None


class Address(ComplexAttribute):
    formatted: str | None = None
    street_address: str | None = None
    locality: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None
    type: str | None = None
    primary: bool | None = None


class Role(ComplexAttribute):
    value: str | None = None
    display: str | None = None
    type: str | None = None
    primary: bool | None = None


class User(Resource[AnyExtension]):
    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    name: Name | None = None
    display_name: str | None = None
    nick_name: str | None = None
    profile_url: str | None = None
    """A text: a validator sends one that is no URL, and every creation would fail."""
    title: str | None = None
    user_type: str | None = None
    preferred_language: str | None = None
    locale: str | None = None
    timezone: str | None = None
    active: Annotated[bool, Required.true] = True
    """Always said: it can be left out of what is sent, and then stays as it was, but not be unassigned."""
    emails: list[Email] | None = None
    phone_numbers: list[PhoneNumber] | None = None
    addresses: list[Address] | None = None
    roles: list[Role] | None = None


class Superior(ComplexAttribute):
    value: Annotated[str | None, CaseExact.true] = None
    ref: str | None = Field(None, serialization_alias="$ref", validation_alias="$ref")


def _one_manager(said: Any) -> Any:
    """Return a manager as RFC 7643 writes one: Entra ID sends the bare id, a list of one, and an empty text to clear it."""
    if isinstance(said, list):
        said = said[0] if said else None
    if isinstance(said, str):
        said = {"value": said}
    return None if isinstance(said, dict) and said.get("value") == "" else said


class EnterpriseUser(Extension):
    __schema__ = URN("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")

    employee_number: str | None = None
    cost_center: str | None = None
    organization: str | None = None
    division: str | None = None
    department: str | None = None
    manager: Annotated[Superior | None, BeforeValidator(_one_manager)] = None


class InGroup(ComplexAttribute):
    value: Annotated[str | None, CaseExact.true] = None
    ref: str | None = Field(None, serialization_alias="$ref", validation_alias="$ref")
    """Declared, because providers send it, and what is removed is found by all that was sent."""
    type: str | None = None
    display: str | None = None


class Group(Resource[Any]):
    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    members: list[InGroup] | None = None
