"""The secret in a link that answers a question: nobody can make one, and none fits another question or another answer. Pure.

A token is bound to the question, its run and the answer by a MAC. It is not stored anywhere: that a question is answered
once is a matter of its row. It is the same at every try of a message. The keys are derived from ``AGENT_SECRETS__KEY``:
the first key signs, all of them verify.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass

PREFIX = "arl_"
_BODY = struct.Struct(">QB")
_MAC_BYTES = 24
_PURPOSE = b"agentroute approval link"


@dataclass(frozen=True, slots=True)
class LinkedQuestion:
    """What a link is for."""

    interrupt_pk: int
    interrupt_id: str
    run_pk: int
    run_id: str


@dataclass(frozen=True, slots=True)
class UncheckedToken:
    """What a token says of itself. Nothing of it counts before :meth:`ApprovalTokens.fits`."""

    interrupt_pk: int
    approves: bool
    mac: bytes


class ApprovalTokens:
    """Makes tokens and checks them.

    Args:
        keys: Of ``AGENT_SECRETS__KEY``; at least one.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [hmac.digest(key, _PURPOSE, "sha256") for key in keys]

    def make(self, question: LinkedQuestion, *, approves: bool) -> str:
        """Return the token of an answer."""
        body = _BODY.pack(question.interrupt_pk, approves)
        mac = _mac(self._keys[0], question, approves=approves)
        return PREFIX + base64.urlsafe_b64encode(body + mac).decode().rstrip("=")

    def fits(self, token: UncheckedToken, question: LinkedQuestion) -> bool:
        """Return whether a token was made here for this question."""
        fitting = [
            hmac.compare_digest(token.mac, _mac(key, question, approves=token.approves)) for key in self._keys
        ]
        return token.interrupt_pk == question.interrupt_pk and any(fitting)


def read_token(text: str) -> UncheckedToken | None:
    """Read a token; ``None`` if it has not even the form of one."""
    if not text.startswith(PREFIX):
        return None
    coded = text.removeprefix(PREFIX)
    try:
        data = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
    except (binascii.Error, ValueError):
        return None
    if len(data) != _BODY.size + _MAC_BYTES:
        return None
    interrupt_pk, approves = _BODY.unpack_from(data)
    # The largest id that a column holds.
    if approves > 1 or interrupt_pk >= 1 << 63:
        return None
    return UncheckedToken(interrupt_pk, bool(approves), data[_BODY.size :])


def _mac(key: bytes, question: LinkedQuestion, *, approves: bool) -> bytes:
    # Names of clients have lengths of their own: each is hashed, so that no two questions are the same bytes.
    names = b"".join(
        hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        for name in (question.interrupt_id, question.run_id)
    )
    signed = struct.pack(">QQB", question.interrupt_pk, question.run_pk, approves) + names
    return hmac.digest(key, signed, "sha256")[:_MAC_BYTES]
