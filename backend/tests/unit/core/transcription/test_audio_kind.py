"""What a file is, by its first bytes."""

from __future__ import annotations

import io
import zipfile

import pytest
from tests.support import audio

from core.transcription.audio_kind import HEAD_BYTES, AudioKind, recognise


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("song.mp3", b"x" * 100)
    return target.getvalue()


NOT_AUDIO = {
    "nothing": b"",
    "zip": zipped(),
    "playlist": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
    "playlist of ffmpeg": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!DOCTYPE html><html><body>RIFF....WAVE</body></html>",
    "avi": b"RIFF\x24\x00\x00\x00AVI LIST",
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "matroska": b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska",
    "heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
    "avif": b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1",
    "quicktime": b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  ",
    "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "utf-16": "\ufefftext".encode("utf-16-le"),
    "aac": b"\xff\xf1\x50\x80\x02\x1f\xfc",
    "mpeg layer II": b"\xff\xfd\x94\x04" + bytes(60),
    "mpeg, no bit rate": b"\xff\xfb\x00\xc4" + bytes(60),
    "mpeg, reserved rate": b"\xff\xfb\x9c\xc4" + bytes(60),
    "id3, size out of range": b"ID3\x04\x00\x00\xff\x00\x00\x23" + bytes(54),
    "theora": b"OggS\x00\x02" + bytes(20) + b"\x01\x2a\x80theora" + bytes(20),
    "pdf": b"%PDF-1.7\n",
    "later": b" " + audio.wav()[: HEAD_BYTES - 1],
}


@pytest.mark.parametrize("name", audio.FILES)
def test_every_kind_is_recognised_by_its_first_bytes(name: str) -> None:
    kind = recognise(audio.FILES[name]()[:HEAD_BYTES])

    assert kind == name.split(",")[0]
    assert kind is not None
    assert kind.media_type.startswith("audio/")


@pytest.mark.parametrize("name", NOT_AUDIO)
def test_anything_else_is_nothing(name: str) -> None:
    assert recognise(NOT_AUDIO[name][:HEAD_BYTES]) is None


def test_an_mp3_may_begin_with_its_first_frame() -> None:
    tagged = audio.mp3()
    bare = tagged[tagged.index(b"\xff\xfb") :]

    assert tagged.startswith(b"ID3")
    assert recognise(bare[:HEAD_BYTES]) is AudioKind.MP3
