import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulated.keys import HostKey, Trust, parse_key

# The two largest primes below 2^1024.
P, Q = 2**1024 - 105, 2**1024 - 179
EXPONENT = 65537
KEY = HostKey(P * Q, EXPONENT)
PRIVATE = pow(EXPONENT, -1, (P - 1) * (Q - 1))
TOKEN = bytes(range(20))
# DER of "a SHA-1 digest follows" (RFC 8017, section 9.2).
DIGEST_INFO = bytes.fromhex("3021300906052b0e03021a05000414")


def signed(token: bytes, modulus: int = KEY.modulus) -> bytes:
    tail = DIGEST_INFO + token
    block = b"\x00\x01" + b"\xff" * (256 - len(tail) - 3) + b"\x00" + tail
    return pow(int.from_bytes(block, "big"), PRIVATE, modulus).to_bytes(256, "big")


def public_line(key: HostKey = KEY, words: int = 64) -> bytes:
    """A line of adbkey.pub (AOSP android_pubkey.cpp: words, n0inv, modulus, R squared, exponent)."""
    blob = struct.pack("<II", words, 0) + key.modulus.to_bytes(256, "little") + bytes(256)
    return base64.b64encode(blob + struct.pack("<I", key.exponent)) + b" someone@host\0"


def test_a_signature_of_the_key_over_this_token_only() -> None:
    signature = signed(TOKEN)
    assert KEY.verifies(signature, TOKEN)
    assert not KEY.verifies(signature, bytes(20))
    assert not KEY.verifies(bytes(256), TOKEN)
    assert not KEY.verifies(signature[:-1], TOKEN)
    assert not HostKey(KEY.modulus - 2, EXPONENT).verifies(signature, TOKEN)


def test_a_public_key_line() -> None:
    assert parse_key(public_line()) == KEY
    assert parse_key(base64.b64encode(base64.b64decode(public_line().split()[0]))) == KEY


@pytest.mark.parametrize(
    "text", [b"", b"\0", b"ssh-rsa AAAA", base64.b64encode(b"short"), public_line(words=32), public_line(HostKey(0, 3))]
)
def test_what_is_no_key(text: bytes) -> None:
    with pytest.raises(ValueError, match="key"):
        parse_key(text)


@given(st.binary(max_size=100))
def test_noise_is_no_key(text: bytes) -> None:
    with pytest.raises(ValueError, match="key"):
        parse_key(text)


def test_an_unknown_host_waits_for_the_user() -> None:
    trust = Trust("known")
    assert not trust.accepts(signed(TOKEN), TOKEN)
    assert not trust.ask(public_line())
    assert trust.asked == [KEY]
    assert not trust.accepts(signed(TOKEN), TOKEN)
    trust.authorise()
    assert trust.accepts(signed(TOKEN), TOKEN)
    assert trust.ask(public_line())
    assert trust.asked == []


def test_the_user_takes_trust_back() -> None:
    trust = Trust("accept")
    assert trust.accepts(b"anything", TOKEN)
    assert trust.ask(public_line())
    trust.revoke()
    assert not trust.accepts(signed(TOKEN), TOKEN)
    assert not trust.ask(public_line())
