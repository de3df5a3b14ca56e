"""The agent's state in parts, of which each is stored once a thread. Pure. See docs/adr/0036.

Rules:

1. A part is a message of the conversation, a long text in one of them (an image, the result of a tool), or a list of
   other parts. It is named by a digest of its content, so the checkpoints of a thread share what they have in common,
   and a checkpoint writes only the parts that are new.
2. A conversation is a list of lists: eight messages make one, eight of these another. So a longer conversation
   changes a few short lists, and a checkpoint names a few dozen parts, however long the conversation is.
3. A long text is replaced by a mark that names its part. A text that looks like a mark is taken out, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

DIGEST_BYTES = 16
FORM = 1
"""Of what is stored. A version reads the forms up to its own."""
_LIST_LENGTH = 8
_LONG_CHARACTERS = 1024
_MARK = "\0part:"
_MARK_IN_JSON = "\\u0000part:"


@dataclass(frozen=True, slots=True)
class Part:
    """A part as it is stored."""

    body: str | None
    """JSON text: an object for a message, a string for a long text; none for a list."""
    children: bytes = b""
    """The digests of the parts that it names, in order."""


@dataclass(frozen=True, slots=True)
class StoredState:
    """The agent's state as a checkpoint holds it."""

    head: str
    """JSON text of all but the conversation; of the whole state if there are no ``roots``."""
    roots: bytes | None = None
    """The digests of the conversation's parts, in order, and of the long texts in ``head``. None: a checkpoint of a
    version that stored states whole."""
    parts: Mapping[bytes, Part] = field(default_factory=dict)
    """All parts that the roots lead to."""
    form: int = FORM
    size: int = 0
    """Bytes of the whole state as JSON, each time counted that a part is named."""


class PartMissing(Exception):
    """A part is named, but not there."""


class PartsMaker:
    """Takes a state apart."""

    def __init__(self) -> None:
        self._parts: dict[bytes, Part] = {}

    def state(self, head: str, messages: Iterable[str]) -> StoredState:
        """Return a state in parts.

        Args:
            head: JSON text of an object.
            messages: JSON texts of the conversation's messages, oldest first.
        """
        digests: list[bytes] = []
        size = _size(head)
        for text in messages:
            size += _size(text)
            digests.append(self._add(Part(*self._shortened(text))))
        short, long_texts = self._shortened(head)
        return StoredState(short, self._lists(digests) + long_texts, self._parts, size=size)

    def _add(self, part: Part) -> bytes:
        digest = _digest(part)
        self._parts[digest] = part
        return digest

    def _lists(self, digests: list[bytes]) -> bytes:
        """Return what names all digests: lists of lists first, and what is too little for a list last."""
        rest = b""
        while digests:
            whole = len(digests) - len(digests) % _LIST_LENGTH
            rest = b"".join(digests[whole:]) + rest
            digests = [
                self._add(Part(None, b"".join(digests[at : at + _LIST_LENGTH])))
                for at in range(0, whole, _LIST_LENGTH)
            ]
        return rest

    def _shortened(self, text: str) -> tuple[str, bytes]:
        """Return a JSON text with marks in the place of its long texts, and their digests."""
        if len(text) <= _LONG_CHARACTERS and _MARK_IN_JSON not in text:
            return text, b""
        taken: list[bytes] = []

        def take(value: str) -> str:
            if len(value) <= _LONG_CHARACTERS and not value.startswith(_MARK):
                return value
            taken.append(self._add(Part(_json(value))))
            return f"{_MARK}{taken[-1].hex()}"

        short = _json(_each_text(json.loads(text), take))
        return (short, b"".join(taken)) if taken else (text, b"")


def whole_text(stored: StoredState) -> str:
    """Return a state as one JSON text, whatever its form.

    Raises:
        PartMissing: A part is not there.
        ValueError: The form is unknown, or a part is no JSON.
    """
    if stored.form > FORM:
        raise ValueError(f"a state of form {stored.form}; this version reads forms up to {FORM}")
    if stored.roots is None:
        return stored.head
    head = _with_long_texts(stored.head, stored.parts)
    messages = ",".join(
        _with_long_texts(part.body or "", stored.parts) if part.children else part.body or ""
        for part in _messages(stored.roots, stored.parts)
    )
    return f'{head[:-1]}{"" if head == "{}" else ","}"context":[{messages}]}}'


def _messages(roots: bytes, parts: Mapping[bytes, Part]) -> Iterator[Part]:
    for at in range(0, len(roots), DIGEST_BYTES):
        part = _part(roots[at : at + DIGEST_BYTES], parts)
        if part.body is None:
            yield from _messages(part.children, parts)
        elif not part.body.startswith('"'):
            yield part


def _with_long_texts(text: str, parts: Mapping[bytes, Part]) -> str:
    if _MARK_IN_JSON not in text:
        return text

    def put_back(value: str) -> str:
        if not value.startswith(_MARK):
            return value
        return json.loads(_part(bytes.fromhex(value.removeprefix(_MARK)), parts).body or "")

    return _json(_each_text(json.loads(text), put_back))


def _part(digest: bytes, parts: Mapping[bytes, Part]) -> Part:
    if (part := parts.get(digest)) is None:
        raise PartMissing(digest.hex())
    return part


def _each_text(value: Any, change: Any) -> Any:
    """Return JSON data with each string value changed; names of members are not."""
    match value:
        case str():
            return change(value)
        case list():
            return [_each_text(item, change) for item in value]
        case dict():
            return {name: _each_text(item, change) for name, item in value.items()}
        case _:
            return value


def _digest(part: Part) -> bytes:
    content = b"\0" + part.children if part.body is None else part.body.encode()
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
