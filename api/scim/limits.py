"""How much a provider may send, and how long it waits (docs/scim-protocol.md says the same)."""

from __future__ import annotations

LARGEST_BODY = 1 << 20
"""Octets of a request's body."""

LARGEST_GROUP = 8 << 20
"""Octets of a body for /Groups: full lists of members are long."""

LONGEST_FILTER = 2048
"""Characters."""

LONGEST_TEXT = 500
"""Characters of what is looked up: names, ids, addresses. More does not fit into an index of every database."""

LONGEST_PATH = 1000
"""Characters of a path in a PATCH."""

LARGEST_KEPT = 64 << 10
"""Octets of what is kept of a user, or of a group without its members, as JSON: a list holds two hundred of them."""

MOST_OPERATIONS = 1000
"""Operations in one PATCH: others wait for the transaction that does them."""

MOST_RESULTS = 200
"""Resources in one list."""

MOST_EMAILS = 50
"""Addresses of one user."""

PATIENCE_MS = 20_000
"""How long a request waits while somebody else writes, a large sync for example: providers give up after a minute, and repeat after a 503."""
