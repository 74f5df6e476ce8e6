import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.handshake import (
    ANSWER_BYTES,
    CHALLENGE_BYTES,
    MAGIC,
    HandshakeError,
    answer,
    challenge,
    check_answer,
    check_proof,
)

SECRET = b"s" * 32
LISTENER, CONNECTOR = b"l" * 32, b"c" * 32


def test_both_sides_prove_the_secret_they_share():
    challenged = challenge(LISTENER)
    answered = answer(SECRET, challenged, CONNECTOR)
    assert (len(challenged), len(answered)) == (CHALLENGE_BYTES, ANSWER_BYTES)
    proof = check_answer(SECRET, challenged, answered)
    check_proof(SECRET, challenged, answered, proof)


def test_proofs_are_hmacs_of_role_and_nonces():
    """Against the definition of RFC 2104, written out."""

    def mac(message: bytes) -> bytes:
        key = SECRET.ljust(64, b"\0")
        inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message).digest()
        return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()

    challenged = challenge(LISTENER)
    answered = answer(SECRET, challenged, CONNECTOR)
    assert answered == CONNECTOR + mac(MAGIC + b"connector" + LISTENER + CONNECTOR)
    assert check_answer(SECRET, challenged, answered) == mac(
        MAGIC + b"listener" + LISTENER + CONNECTOR
    )
    assert hmac.compare_digest(mac(b"x"), hmac.digest(SECRET, b"x", "sha256"))


@given(st.binary(max_size=200))
def test_no_other_bytes_are_an_answer(data):
    with pytest.raises(HandshakeError, match="connecting side does not know the secret"):
        check_answer(SECRET, challenge(LISTENER), data)


@given(st.binary(max_size=200))
def test_no_other_bytes_are_a_challenge(data):
    with pytest.raises(HandshakeError, match="no relay of flashgauge"):
        answer(SECRET, data, CONNECTOR)


@given(st.binary(max_size=64))
def test_no_other_bytes_are_the_listeners_proof(data):
    challenged = challenge(LISTENER)
    with pytest.raises(HandshakeError, match="listening side does not know the secret"):
        check_proof(SECRET, challenged, answer(SECRET, challenged, CONNECTOR), data)


def test_an_answer_serves_its_own_challenge_and_secret_alone():
    answered = answer(SECRET, challenge(LISTENER), CONNECTOR)
    for secret, nonce in ((SECRET, b"m" * 32), (b"t" * 32, LISTENER)):
        with pytest.raises(HandshakeError):
            check_answer(secret, challenge(nonce), answered)


def test_what_a_connector_proves_cannot_be_sent_back_to_it():
    challenged = challenge(LISTENER)
    answered = answer(SECRET, challenged, CONNECTOR)
    with pytest.raises(HandshakeError):
        check_proof(SECRET, challenged, answered, answered[32:])


def test_a_short_secret_is_refused():
    with pytest.raises(HandshakeError, match="needs 16 bytes, got 3"):
        answer(b"abc", challenge(LISTENER), CONNECTOR)
