"""Access rights of Active Directory, one entry (ACE) at a time: security descriptors as octets (MS-DTYP sections 2.4.4 and 2.4.6)."""

from __future__ import annotations

import struct

from ldap3.protocol.microsoft import security_descriptor_control

SD_CONTROL = security_descriptor_control(sdflags=0x04)[0]
"""Only the discretionary access list is read and written."""
OWNER_CONTROL = security_descriptor_control(sdflags=0x01)[0]
"""Only the owner."""

_RIGHTS = {"list": 0x04, "read": 0x10, "write": 0x20, "list-object": 0x80, "all": 0xF01FF}
_CONTAINER_INHERIT = 0x02
_SELF_RELATIVE = 0x8000
_OBJECT_TYPE_PRESENT = 1


def with_ace(descriptor: bytes, sid: bytes, rights: str, attribute: bytes | None, *, allow: bool, inherited: bool) -> bytes:
    """Return a self-relative descriptor with one more entry in front of its DACL.

    `rights`: words of _RIGHTS; `attribute`: the schemaIDGUID of the only attribute meant, None = all of them.
    """
    mask = 0
    for word in rights.split():
        mask |= _RIGHTS[word]
    body = struct.pack("<I", mask) + (struct.pack("<I", _OBJECT_TYPE_PRESENT) + attribute if attribute else b"") + sid
    kind = (0x00 if allow else 0x01) + (0x05 if attribute else 0)
    ace = struct.pack("<BBH", kind, _CONTAINER_INHERIT if inherited else 0, 4 + len(body)) + body
    revision, padding, control, owner, group, sacl, dacl = struct.unpack_from("<BBHIIII", descriptor)
    _, pad, size, count, pad2 = struct.unpack_from("<BBHHH", descriptor, dacl)
    # Object entries need the newer revision of the list.
    longer = struct.pack("<BBHHH", 4, pad, size + len(ace), count + 1, pad2) + ace + descriptor[dacl + 8 : dacl + size]
    return struct.pack("<BBHIIII", revision, padding, control, owner, group, sacl, len(descriptor)) + descriptor[20:] + longer


def owned_by(sid: bytes) -> bytes:
    """Return a descriptor that says nothing but who owns the entry."""
    return struct.pack("<BBHIIII", 1, 0, _SELF_RELATIVE, 20, 0, 0, 0) + sid
