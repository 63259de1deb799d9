"""The vault: values sealed to their row, found by a keyed digest, keys that rotate."""

import base64
import hmac
import random

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sync.errors import ConfigError
from sync.settings import Secret
from sync.vault import Vault, VaultError, generate_key_line, mint_value


def vault(*lines: str) -> Vault:
    return Vault.parse(Secret("\n".join(lines)))


def test_what_is_sealed_opens_for_its_own_row_only() -> None:
    """A sealed value moved to another key or another user does not open."""
    safe, value = vault(generate_key_line()), mint_value()
    sealed = safe.seal(value, "key", "user")
    assert safe.open(sealed, "key", "user") == value
    assert value.encode() not in sealed
    for key_id, user_id in (("other", "user"), ("key", "other"), ("keyuser", "")):
        with pytest.raises(VaultError, match="does not belong"):
            safe.open(sealed, key_id, user_id)


def test_many_values_are_sealed_as_one_is() -> None:
    """Each opens for its own row, and no two have the same nonce."""
    safe, rows = vault(generate_key_line()), [(mint_value(), f"key{number}", f"user{number}") for number in range(100)]
    sealed = safe.seal_all(iter(rows))
    assert [safe.open(one, key_id, user_id) for one, (_, key_id, user_id) in zip(sealed, rows, strict=True)] == [value for value, _, _ in rows]
    assert len({one[5:17] for one in sealed}) == 100
    assert safe.seal_all([]) == []


def test_a_new_first_line_seals_and_the_old_ones_still_open() -> None:
    """Rotation: put a line on top, everything keeps working, and the digest is found under both."""
    old, new = generate_key_line(), generate_key_line()
    sealed = vault(old).seal("v", "k", "u")
    both = vault(new, old)
    assert both.open(sealed, "k", "u") == "v"
    assert vault(old).digest("v") in both.digests("v")
    assert both.digest("v") == vault(new).digest("v")


def test_a_lost_key_is_named_not_shown() -> None:
    """Without its line a value stays shut, and the error says which line is missing by its public name."""
    old, other = vault(generate_key_line()), vault(generate_key_line())
    with pytest.raises(VaultError, match=old.key_names[0]):
        other.open(old.seal("v", "k", "u"), "k", "u")


@pytest.mark.parametrize(("text", "said"), [("", "holds no key"), ("# nothing", "holds no key"), ("c2hvcnQ=", "line 1"), ("not base64!", "line 1")])
def test_a_wrong_key_file_is_named_by_line_and_never_quoted(text: str, said: str) -> None:
    """The mistake is told by its line number, the text stays out of the message."""
    with pytest.raises(ConfigError, match=said) as refusal:
        vault(text)
    assert not text or text not in str(refusal.value)


def test_tags_depend_on_label_and_on_where_parts_end() -> None:
    """Two different things never get the same tag by moving a boundary."""
    safe = vault(generate_key_line())
    assert len({safe.tag("a", b"bc"), safe.tag("ab", b"c"), safe.tag("a", b"b", b"c"), safe.tag("a", b"", b"bc")}) == 4


def test_the_vault_shows_no_secret() -> None:
    """Neither repr nor an attribute's repr leaks a root."""
    line = generate_key_line()
    assert line not in repr(vault(line)) + repr(vars(vault(line)))


def test_digests_and_tags_are_hmac_sha256() -> None:
    """What is stored and sent is RFC 2104's code, as Python's own hmac computes it, for keys and messages of any kind."""
    chance = random.Random(3)
    for size in (0, 1, 55, 56, 63, 64, 65, 300, *(chance.randrange(2000) for _ in range(50))):
        root, text = chance.randbytes(32), "".join(chr(chance.randrange(1, 0x2FF)) for _ in range(size))
        idx, tag = (HKDF(SHA256(), 32, None, b"rosterd " + purpose).derive(root) for purpose in (b"idx", b"tag"))
        safe = vault(base64.b64encode(root).decode())
        assert safe.digest(text) == hmac.digest(idx, text.encode(), "sha256")
        parts = b"".join(len(part).to_bytes(8, "big") + part for part in (b"asked", text.encode(), b""))
        assert safe.tag("asked", text.encode(), b"") == safe.tag("asked", text.encode(), b"") == hmac.digest(tag, parts, "sha256").hex()
