"""What we are, as SCIM providers describe themselves (RFC 7643 sections 5 to 7): resources, capabilities, and how much we tolerate."""

from __future__ import annotations

from functools import cache

from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    ETag,
    Filter,
    Pagination,
    Patch,
    PatchOp,
    Reference,
    ResourceType,
    ResponseParameters,
    ScimPolicy,
    ScimProvider,
    SearchRequest,
    ServiceProviderConfig,
    Sort,
)

from api.scim.limits import MOST_RESULTS
from api.scim.models import EnterpriseUser, Group, User

USUAL_RESULTS = 100
"""How many resources a list has that nobody asked a number for."""

POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
"""What Entra ID and Okta send beside the RFC is understood; attributes that we do not know are left out."""


_KEPT = [message[model] for message in (PatchOp, ResponseParameters, SearchRequest) for model in (User[EnterpriseUser], Group)]
"""The forms of the messages about our resources. Nobody else holds on to them, and building one takes longer than all else that a request needs."""


@cache
def describe() -> ScimProvider:
    """Return the description of the service: the same for every source."""
    return ScimProvider(
        models=[User, EnterpriseUser, Group],
        resource_types=[ResourceType.from_resource(User[EnterpriseUser]), ResourceType.from_resource(Group)],
        config=_capabilities(),
        policy=POLICY,
    )


def _capabilities() -> ServiceProviderConfig:
    """Every part is said, also of what there is not: a provider that misses one stops using all."""
    bearer = AuthenticationScheme(
        type=AuthenticationScheme.Type.oauthbearertoken,
        name="Bearer token",
        description="A token of rosterd for this source, from `rosterd token issue --role scim`",
        spec_uri=Reference("https://www.rfc-editor.org/info/rfc6750"),
        primary=True,
    )
    return ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MOST_RESULTS),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=True),
        authentication_schemes=[bearer],
        pagination=Pagination(
            cursor=False,
            index=True,
            default_pagination_method=Pagination.DefaultPaginationMethod.index,
            default_page_size=USUAL_RESULTS,
            max_page_size=MOST_RESULTS,
        ),
    )
