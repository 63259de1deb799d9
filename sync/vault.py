"""Key values: sealed at rest with AES-GCM, found by a keyed digest. The only door to cryptography."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sync.errors import ConfigError, RosterError
from sync.settings import Secret

KEY_BYTES = 32
_VERSION = b"\x01"
_NAME_BYTES = 4
_NONCE_BYTES = 12


class VaultError(RosterError):
    """A sealed value cannot be opened: its encryption key is not in the key file, or the row was tampered with."""

    exit_status = 78


def generate_key_line() -> str:
    """Return a new encryption key as one line of a key file."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


Mint = Callable[[str, str, int | None], str]
"""mint(user id, key id, expires at in ms or None) returns a new key value."""


def mint_value(user_id: str = "", key_id: str = "", expires_at: int | None = None) -> str:
    """Return a new key value, `sk-bf-` and a random UUID, whoever it is for."""
    noise = os.urandom(16).hex()
    return f"sk-bf-{noise[:8]}-{noise[8:12]}-4{noise[13:16]}-{'89ab'[int(noise[16], 16) & 3]}{noise[17:20]}-{noise[20:]}"


class Vault:
    """The encryption keys, newest first: the first seals, all open. Never shows them."""

    def __init__(self, roots: list[bytes]) -> None:
        self._ciphers = {_name(root): AESGCM(_derive(root, b"enc")) for root in roots}
        self._digest_macs = [_Mac(_derive(root, b"idx")) for root in roots]
        self._tag_mac = _Mac(_derive(roots[0], b"tag"))
        self._newest = _name(roots[0])

    @classmethod
    def parse(cls, secret: Secret) -> Vault:
        """Return the vault of a key file's text: a base64 key of 32 bytes a line, newest first, `#` comments. Raises ConfigError."""
        roots, problems = [], []
        for number, line in enumerate(secret.reveal().splitlines(), 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                root = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                root = b""
            if len(root) != KEY_BYTES:
                problems.append(f"[keys] encryption_key_file: line {number} is no base64 text of {KEY_BYTES} bytes")
            roots.append(root)
        if not roots:
            problems.append("[keys] encryption_key_file: holds no key")
        if problems:
            raise ConfigError(problems)
        return cls(roots)

    @property
    def key_names(self) -> tuple[str, ...]:
        """Return the public names of the encryption keys, newest first, in hex."""
        return tuple(name.hex() for name in self._ciphers)

    def seal(self, value: str, key_id: str, user_id: str) -> bytes:
        """Return version | name of the encryption key | nonce | ciphertext, bound to this key and this user."""
        return self.seal_all([(value, key_id, user_id)])[0]

    def seal_all(self, values: Iterable[tuple[str, str, str]]) -> list[bytes]:
        """Do as `seal` for each (value, key id, user id): the system is asked once for all nonces."""
        to_seal = list(values)
        begin, encrypt, noise = _VERSION + self._newest, self._ciphers[self._newest].encrypt, os.urandom(_NONCE_BYTES * len(to_seal))
        nonces = (noise[at : at + _NONCE_BYTES] for at in range(0, len(noise), _NONCE_BYTES))
        return [
            begin + nonce + encrypt(nonce, value.encode(), _bound(key_id, user_id))
            for nonce, (value, key_id, user_id) in zip(nonces, to_seal, strict=True)
        ]

    def open(self, sealed: bytes, key_id: str, user_id: str) -> str:
        """Return the value that `seal` sealed for this key and this user. Raises VaultError."""
        name, rest = sealed[1 : 1 + _NAME_BYTES], sealed[1 + _NAME_BYTES :]
        cipher = self._ciphers.get(name)
        if sealed[:1] != _VERSION or cipher is None:
            raise VaultError(
                "vault_key_missing",
                f"Key {key_id} was sealed with the encryption key {name.hex()}, which the key file does not hold.",
                "Put that line back into [keys] encryption_key_file.",
            )
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound(key_id, user_id)).decode()
        except InvalidTag as error:
            raise VaultError("vault_row_forged", f"The stored value of key {key_id} does not belong to its row.", "Restore the store.") from error

    def digest(self, value: str) -> bytes:
        """Return the keyed digest under which a new value is stored."""
        return self.digests(value)[0]

    def digests(self, value: str) -> tuple[bytes, ...]:
        """Return the keyed digests under which a value may be stored, newest first."""
        octets = value.encode("utf-8", "surrogatepass")
        return tuple(mac.of(octets).digest() for mac in self._digest_macs)

    def tag(self, label: str, *parts: bytes) -> str:
        """Return a keyed hex digest (for ETags, audit records): without the key file nothing can be tried against it."""
        joined = b"".join([len(part).to_bytes(8, "big") + part for part in (label.encode(), *parts)])
        return self._tag_mac.of(joined).hexdigest()

    def __repr__(self) -> str:
        return f"Vault({', '.join(self.key_names)})"


class _Mac:
    """HMAC-SHA-256 (RFC 2104 section 4, which recommends this): the key is taken in once, for that is most of the time of `hmac.digest`."""

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(hashlib.sha256().block_size, b"\0")
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in padded))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in padded))

    def of(self, message: bytes) -> hashlib._Hash:
        """Return the code of a message, as what hashlib returns."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer


def _derive(root: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"rosterd " + purpose).derive(root)


def _name(root: bytes) -> bytes:
    return hashlib.sha256(b"rosterd name" + root).digest()[:_NAME_BYTES]


def _bound(key_id: str, user_id: str) -> bytes:
    return f"{key_id}\0{user_id}".encode()
