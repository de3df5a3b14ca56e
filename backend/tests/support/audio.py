"""Sound files for tests, encoded from one synthetic utterance: syllables of a voice-like tone with pauses."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import Any

import av
import numpy as np

SECONDS = 2.0
_NONE: Mapping[str, str] = MappingProxyType({})


def speech(seconds: float, rate: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Return mono samples: four syllables a second over a falling pitch, and silence after each."""
    time = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * (180 - 4 * (time % 3)) * n * time) / n for n in range(1, 6))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time), 0, 1)
    return (6000 * voice * syllables).astype(np.int16)


def encode(
    container: str,
    codec: str,
    rate: int,
    samples: np.ndarray[Any, np.dtype[np.int16]],
    *,
    options: Mapping[str, str] = _NONE,
    quality: int | None = None,
) -> bytes:
    """Encode samples.

    Args:
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the encoder.
        rate: Samples a second.
        samples: Mono.
        options: Of the format.
        quality: Of a variable bit rate.
    """
    target = io.BytesIO()
    with av.open(target, "w", format=container, options=dict(options)) as output:
        stream = output.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.layout = "mono"
        if quality is not None:
            stream.codec_context.qscale = True
            stream.codec_context.options = {"global_quality": str(quality * 118)}
        stream.codec_context.open()
        resampler = av.AudioResampler(
            stream.codec_context.format, "mono", rate, frame_size=stream.codec_context.frame_size or None
        )
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return target.getvalue()


@cache
def wav(seconds: float = SECONDS, rate: int = 16_000) -> bytes:
    return wav_of(speech(seconds, rate).tobytes(), rate)


def wav_of(data: bytes, rate: int = 16_000, *, claimed_bytes: int | None = None) -> bytes:
    """Return a WAV with 44 bytes of header, whose sizes may be made up."""
    size = len(data) if claimed_bytes is None else claimed_bytes
    riff = min(size + 36, 0xFFFFFFFF)
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", size),
    )
    return head + data


def silence(seconds: float, rate: int = 16_000) -> bytes:
    """A WAV that is quickly made, however long."""
    return wav_of(bytes(int(seconds * rate) * 2), rate)


@cache
def mp3(seconds: float = SECONDS) -> bytes:
    return encode("mp3", "libmp3lame", 44_100, speech(seconds, 44_100))


@cache
def variable_mp3(seconds: float = SECONDS) -> bytes:
    """An MP3 whose frames differ in bit rate, first silence, then noise, without the header that tells its length."""
    rate = 44_100
    noise = np.random.default_rng(7).integers(-12_000, 12_000, int(seconds * rate / 2), dtype=np.int16)
    samples = np.concatenate([np.zeros_like(noise), noise])
    return encode(
        "mp3", "libmp3lame", rate, samples, options={"write_xing": "0", "id3v2_version": "0"}, quality=1
    )


@cache
def flac(seconds: float = SECONDS) -> bytes:
    return encode("flac", "flac", 44_100, speech(seconds, 44_100))


@cache
def ogg(seconds: float = SECONDS) -> bytes:
    return encode("ogg", "libopus", 48_000, speech(seconds, 48_000))


@cache
def webm(seconds: float = SECONDS) -> bytes:
    return encode("webm", "libopus", 48_000, speech(seconds, 48_000))


@cache
def live_webm(seconds: float = SECONDS) -> bytes:
    """As a browser records it: written front to back, so that no length is in it."""
    return encode("webm", "libopus", 48_000, speech(seconds, 48_000), options={"live": "1"})


@cache
def m4a(seconds: float = SECONDS) -> bytes:
    return encode("ipod", "aac", 44_100, speech(seconds, 44_100))


@cache
def fragmented_m4a(seconds: float = SECONDS) -> bytes:
    """As a browser records it: the index comes in pieces."""
    return encode(
        "mp4",
        "aac",
        44_100,
        speech(seconds, 44_100),
        options={"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    )


FILES = {
    "wav": wav,
    "mp3": mp3,
    "mp3, variable": variable_mp3,
    "flac": flac,
    "ogg": ogg,
    "webm": webm,
    "webm, live": live_webm,
    "m4a": m4a,
    "m4a, fragmented": fragmented_m4a,
}


def claimed_seconds(data: bytes) -> float | None:
    """Return the length that the container states, or that its first frames make it guess."""
    with av.open(io.BytesIO(data), "r") as container:
        return None if container.duration is None else container.duration / av.time_base


@cache
def video_webm() -> bytes:
    """A film without sound."""
    target = io.BytesIO()
    with av.open(target, "w", format="webm") as output:
        stream = output.add_stream("libvpx", rate=10, options={"deadline": "realtime"})
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            output.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        output.mux(stream.encode(None))
    return target.getvalue()
