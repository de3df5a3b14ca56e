"""What an approval is bound to: the hash of the arguments that the user was asked about."""

from __future__ import annotations

import hashlib


class ArgumentsAltered(Exception):
    """The stored arguments of a tool call are not those that the user was asked about: the approval is void."""


def hash_arguments(arguments: str) -> bytes:
    """Return the SHA-256 of a tool call's arguments, JSON text as the model wrote it."""
    return hashlib.sha256(arguments.encode()).digest()


def check_arguments(arguments: str, recorded: bytes) -> None:
    """Compare the arguments of an approved call with the hash that was stored with the question.

    Raises:
        ArgumentsAltered: They differ.
    """
    if hash_arguments(arguments) != recorded:
        raise ArgumentsAltered("the arguments of an approved tool call do not match their stored hash")
