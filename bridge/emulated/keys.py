"""RSA keys of adb hosts and the phone's decision to trust them (AOSP libcrypto_utils android_pubkey.cpp, adbd auth)."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass, field
from typing import Literal

_WORDS = 64
_BYTES = _WORDS * 4
_PUBKEY = struct.Struct(f"<II{_BYTES}s{_BYTES}sI")
_DIGEST_INFO = bytes.fromhex("3021300906052b0e03021a05000414")  # SHA-1, PKCS #1 v1.5
TOKEN_BYTES = 20

Policy = Literal["none", "accept", "known"]


@dataclass(frozen=True, slots=True)
class HostKey:
    """A 2048-bit public key."""

    modulus: int
    exponent: int

    def verifies(self, signature: bytes, token: bytes) -> bool:
        """Whether `signature` is this key's over `token`, which adb signs as if it were a SHA-1 digest."""
        if len(signature) != _BYTES:
            return False
        plain = pow(int.from_bytes(signature, "big"), self.exponent, self.modulus).to_bytes(_BYTES, "big")
        tail = _DIGEST_INFO + token
        return plain == b"\x00\x01" + b"\xff" * (_BYTES - len(tail) - 3) + b"\x00" + tail


def parse_key(text: bytes) -> HostKey:
    """The key in an adbkey.pub line or an AUTH type 3 payload. ValueError when it is none."""
    try:
        blob = base64.b64decode(text.rstrip(b"\0").split()[0], validate=True)
        words, _, modulus, _, exponent = _PUBKEY.unpack(blob)
    except (IndexError, binascii.Error, struct.error) as error:
        raise ValueError(f"not an adb public key: {text[:40]!r}") from error
    if words != _WORDS:
        raise ValueError(f"a key of {words} words, {_WORDS} wanted")
    number = int.from_bytes(modulus, "little")
    if number < 2:
        raise ValueError("a key without a modulus")
    return HostKey(number, exponent)


@dataclass(slots=True)
class Trust:
    """Which hosts may use the phone.

    `policy`: "none" = no authentication at all, "accept" = ask and take any signature, "known" = only `keys`. A
    public key offered under "known" waits in `asked` for the user's answer.
    """

    policy: Policy = "accept"
    keys: list[HostKey] = field(default_factory=list)
    asked: list[HostKey] = field(default_factory=list)

    def accepts(self, signature: bytes, token: bytes) -> bool:
        if self.policy != "known":
            return True
        return any(key.verifies(signature, token) for key in self.keys)

    def ask(self, text: bytes) -> bool:
        """The host offers its public key; whether it is trusted at once."""
        key = parse_key(text)
        if self.policy != "known" or key in self.keys:
            return True
        self.asked.append(key)
        return False

    def authorise(self) -> None:
        """The user taps "Allow" on the dialogs that wait."""
        self.keys += self.asked
        self.asked.clear()

    def revoke(self) -> None:
        """The user revokes all USB debugging authorisations."""
        self.policy = "known"
        self.keys.clear()
        self.asked.clear()
