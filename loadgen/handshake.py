"""How both ends of a relayed connection prove that they know the secret of a run.

The listening side begins with a challenge; each side's proof is an HMAC-SHA256 (RFC 2104) over both
sides' nonces and its own role, so that nothing of one connection or direction serves in another:

    listener  -> connector   MAGIC, nonce of the listener
    connector -> listener    nonce of the connector, proof of the connector
    listener  -> connector   proof of the listener

All messages have a fixed length. Encryption is not its business: that is TLS's.
"""

import hmac
from typing import Final

from loadgen.errors import Error

__all__ = [
    "ANSWER_BYTES",
    "CHALLENGE_BYTES",
    "NONCE_BYTES",
    "PROOF_BYTES",
    "HandshakeError",
    "answer",
    "challenge",
    "check_answer",
    "check_proof",
]

MAGIC: Final = b"flashgauge relay 1\n"
NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32
CHALLENGE_BYTES: Final = len(MAGIC) + NONCE_BYTES
ANSWER_BYTES: Final = NONCE_BYTES + PROOF_BYTES
LEAST_SECRET_BYTES: Final = 16


class HandshakeError(Error):
    """The other side is no relay, or does not know the secret."""


def challenge(nonce: bytes) -> bytes:
    """What the listener sends first; ``nonce`` is random."""
    return MAGIC + nonce


def answer(secret: bytes, challenged: bytes, nonce: bytes) -> bytes:
    """What the connector sends to a challenge; ``nonce`` is random, and its own.

    Raises:
        HandshakeError: it is no challenge of ours.
    """
    listener = _nonce_of(challenged)
    return nonce + _proof(secret, b"connector", listener, nonce)


def check_answer(secret: bytes, challenged: bytes, answered: bytes) -> bytes:
    """The listener's own proof, for a connector whose answer to the challenge is right.

    Raises:
        HandshakeError: it is not.
    """
    listener = _nonce_of(challenged)
    nonce, proof = answered[:NONCE_BYTES], answered[NONCE_BYTES:]
    if not hmac.compare_digest(proof, _proof(secret, b"connector", listener, nonce)):
        raise HandshakeError("the connecting side does not know the secret of this run")
    return _proof(secret, b"listener", listener, nonce)


def check_proof(secret: bytes, challenged: bytes, answered: bytes, proof: bytes) -> None:
    """For the connector: whether the listener knows the secret as well.

    Raises:
        HandshakeError: it does not.
    """
    expected = _proof(secret, b"listener", _nonce_of(challenged), answered[:NONCE_BYTES])
    if not hmac.compare_digest(proof, expected):
        raise HandshakeError("the listening side does not know the secret of this run")


def _nonce_of(challenged: bytes) -> bytes:
    if len(challenged) != CHALLENGE_BYTES or not challenged.startswith(MAGIC):
        raise HandshakeError("the other side is no relay of flashgauge")
    return challenged[len(MAGIC) :]


def _proof(secret: bytes, role: bytes, listener: bytes, connector: bytes) -> bytes:
    if len(secret) < LEAST_SECRET_BYTES:
        raise HandshakeError(f"a secret needs {LEAST_SECRET_BYTES} bytes, got {len(secret)}")
    return hmac.digest(secret, MAGIC + role + listener + connector, "sha256")
