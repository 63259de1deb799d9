"""How much a provider may send, and how long it waits (docs/scim-push.md says the same)."""

from __future__ import annotations

LARGEST_BODY = 1 << 20
"""Octets of a request's body."""

LARGEST_GROUP = 8 << 20
"""Octets of a body for /Groups: full lists of members are long."""

LONGEST_FILTER = 2048
"""Characters."""

LONGEST_TEXT = 500
"""Characters of what is looked up: names, ids, addresses. More does not fit into an index of every database."""

MOST_RESULTS = 200
"""Resources in one list."""

MOST_EMAILS = 50
"""Addresses of one user."""

PATIENCE_MS = 20_000
"""How long a request waits while somebody else writes, a large sync for example: providers give up after a minute, and repeat after a 503."""
