"""The quick way through entries that lie whole in the buffer, in the usual form: those that are recognised are not taken apart at all."""

from __future__ import annotations

from collections.abc import Callable

from sync.sources.ldap.ber import ENTRY, INTEGER


def openings(message_id: int) -> dict[int, bytes]:
    """Return how an entry that answers the request with this id goes on after the length of its message, by the form of that length: message
    id, tag, and a length of the same form."""
    octets = message_id.to_bytes(message_id.bit_length() // 8 + 1, "big")
    begin = bytes([INTEGER, len(octets)]) + octets + bytes([ENTRY])
    return {form: begin + bytes([form]) for form in (0x81, 0x82, 0x83, 0x84)}


def skim(
    data: bytes, at: int, opening: dict[int, bytes], most: int, recognise: Callable[[bytes], bool], take: Callable[[bytes, int, int], None]
) -> int:
    """Hand the octets of one entry after the other to `recognise` (see Wire), from the message that begins at `at`, and tell `take` (data, where
    its content begins and ends) of each that is not recognised. Return where the first message begins that is left to the plain reading.

    Only what has the usual form is looked at: whole messages of up to `most` octets, entries without controls, lengths of more than 127
    octets written in the same way twice. The plain reading knows what is wrong with all else, if anything is.
    """
    have = len(data)
    while at + 2 < have and data[at] == 0x30 and (begin := opening.get(form := data[at + 1])):
        wide = form & 0x7F
        start = at + 2 + wide
        end = start + int.from_bytes(data[at + 2 : start], "big")
        inner = start + len(begin)
        content = inner + wide
        if end > have or end - at > most or data[start:inner] != begin or content + int.from_bytes(data[inner:content], "big") != end:
            break
        if not recognise(data[content:end]):
            take(data, content, end)
        at = end
    return at
