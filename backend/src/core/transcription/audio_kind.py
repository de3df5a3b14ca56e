"""The supported audio formats, recognised by their first bytes; name and header are ignored."""

from __future__ import annotations

import re
from enum import StrEnum

HEAD_BYTES = 64
"""How much of a file :func:`recognise` needs; less only when the file is shorter."""

_MEDIA_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "webm": "audio/webm",
    "m4a": "audio/mp4",
}


class AudioKind(StrEnum):
    """A container format; the value is its file extension."""

    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"
    OGG = "ogg"
    WEBM = "webm"
    M4A = "m4a"

    @property
    def media_type(self) -> str:
        """The media type under which the file is forwarded."""
        return _MEDIA_TYPES[self]


# Four bits of bit rate, of which the first and the last value mean none; two of sample rate, three of them used.
_MPEG_RATES = b"[" + re.escape(bytes(byte for byte in range(0x10, 0xF0) if byte & 0x0C != 0x0C)) + b"]"

# One pattern a kind, matched at the first byte.
_MAGIC = {
    # RIFF with 32-bit sizes, RF64 with 64-bit ones (EBU Tech 3306).
    AudioKind.WAV: rb"(?:RIFF|RF64)....WAVE",
    # An ID3v2 tag: version, flags, a size in bytes below 0x80. Or at once an MPEG header (ISO 11172-3):
    # sync, MPEG 1, 2 or 2.5, layer III, a bit rate and a sample rate that exist.
    AudioKind.MP3: rb"(?:ID3[\x02-\x04][\x00-\xfe].[\x00-\x7f]{4}|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]"
    + _MPEG_RATES
    + b")",
    AudioKind.FLAC: rb"fLaC[\x00\x80]\x00\x00\x22",
    # The first page holds one packet of one segment, which names the codec (RFC 7845, section 3).
    AudioKind.OGG: rb"OggS\x00\x02.{20}\x01.(?:OpusHead|\x01vorbis)",
    # EBML's own header, whose DocType says webm; Matroska's other flavours are not taken.
    AudioKind.WEBM: rb"\x1a\x45\xdf\xa3.{0,40}?\x42\x82(?:\x84|\x40\x04)webm",
    # ISO base media. HEIC and AVIF pictures, which look alike, have other brands.
    AudioKind.M4A: rb"\x00\x00.[\x00-\xfc]ftyp(?:M4[AB] |mp4[12]|iso[m2-9]|dash|F4A )",
}
_PATTERNS = {kind: re.compile(pattern, re.DOTALL) for kind, pattern in _MAGIC.items()}


def recognise(head: bytes) -> AudioKind | None:
    """Return the kind of a file by its first ``HEAD_BYTES``; ``None`` for anything else."""
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.match(head)), None)
