"""The child process that decodes an upload: ``python -I -m core.transcription.audio_probe KIND MAX_SECONDS``.

Reads the file from standard input, which must be seekable. Writes its length in
milliseconds to standard output; with ``--samples`` the sound itself, as 16-bit
mono at 16 kHz. The exit code is the verdict. The length is that of the decoded
sound: headers and time stamps may say anything.
"""

from __future__ import annotations

import io
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from core.transcription.audio_kind import AudioKind
from core.transcription.audio_sandbox import close_doors, limit_resources
from core.transcription.audio_verdict import SAMPLE_RATE, Verdict

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

# Forced: otherwise FFmpeg would also recognise playlists, which name other files and addresses.
_DEMUXERS = {
    AudioKind.WAV: "wav",
    AudioKind.MP3: "mp3",
    AudioKind.FLAC: "flac",
    AudioKind.OGG: "ogg",
    AudioKind.WEBM: "webm",
    AudioKind.M4A: "mov",
}
_PCM = (
    "pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s32le,pcm_f32le,pcm_f64le,pcm_alaw,pcm_mulaw,"
    "adpcm_ms,adpcm_ima_wav,gsm_ms,mp3,mp3float"
)
_CODECS = {
    AudioKind.WAV: _PCM,
    AudioKind.MP3: "mp3,mp3float",
    AudioKind.FLAC: "flac",
    AudioKind.OGG: "opus,libopus,vorbis",
    AudioKind.WEBM: "opus,libopus,vorbis",
    AudioKind.M4A: "aac,alac,mp3,mp3float,opus,libopus,flac",
}


# A WAV of two samples: RIFF, "fmt " (PCM, mono, 16 kHz, 16 bits), "data".
_SILENCE = b"RIFF" + struct.pack(
    "<I4s4sIHHIIHH4sII", 40, b"WAVE", b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data", 4, 0
)


class Refused(Exception):
    """The file is refused; the verdict says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.name)
        self.verdict = verdict


def main(arguments: list[str]) -> Verdict:
    """Decode standard input as the arguments say."""
    limit_resources()
    from av.error import FFmpegError

    kind, max_seconds, *mode = arguments
    output = sys.stdout.buffer
    # A first run on our own silent file, because the decoder loads some parts at their first use.
    measure(io.BytesIO(_SILENCE), AudioKind.WAV, 1, _Resampled(io.BytesIO()))
    samples = _Resampled(output) if mode == ["--samples"] else None
    close_doors()
    try:
        with open(0, "rb", buffering=0, closefd=False) as source:
            seconds = measure(source, AudioKind(kind), float(max_seconds), samples or _nothing)
    except Refused as refused:
        return refused.verdict
    except (FFmpegError, MemoryError, ValueError):
        return Verdict.UNREADABLE
    if samples is None:
        output.write(b"%d" % round(seconds * 1000))
    output.flush()
    return Verdict.AUDIO


def measure(
    source: BinaryIO, kind: AudioKind, max_seconds: float, use: Callable[[av.AudioFrame | None], None]
) -> float:
    """Decode a file to its end and return its length in seconds.

    Args:
        source: Seekable.
        kind: The format of its first bytes; no other format is tried.
        max_seconds: Decoding stops here.
        use: Gets every frame, and ``None`` after the last.

    Raises:
        Refused: The file is empty, too long, or has not exactly one track, of sound.
        av.FFmpegError: It is not of that kind at all.
    """
    import av

    options = {"codec_whitelist": _CODECS[kind], "protocol_whitelist": "none", "max_streams": "16"}
    # Samples are added as integers and divided once: a sum of 30,000 fractions would be inexact.
    heard: Counter[int] = Counter()
    seconds = 0.0
    with av.open(
        source, "r", format=_DEMUXERS[kind], options=options, metadata_errors="ignore", buffer_size=1 << 16
    ) as container:
        for frame in _frames(container, _CODECS[kind]):
            heard[frame.sample_rate] += frame.samples
            seconds = sum(samples / rate for rate, samples in heard.items())
            if seconds > max_seconds:
                raise Refused(Verdict.TOO_LONG)
            use(frame)
    if not seconds:
        raise Refused(Verdict.EMPTY)
    use(None)
    return seconds


def _frames(container: InputContainer, codecs: str) -> Iterator[av.AudioFrame]:
    """Yield all frames that can be decoded. Broken packets are skipped; a truncated file ends early."""
    from av.error import FFmpegError, InvalidDataError

    stream = _only_track(container, codecs)
    damaged = played = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            damaged, packet = True, None
        if packet is None:
            break
        try:
            frames = packet.decode()
        except InvalidDataError:
            damaged = True
            continue
        for frame in frames:
            if frame.sample_rate > 0:
                played = played or frame.samples > 0
                yield frame
    if damaged and not played:
        raise Refused(Verdict.UNREADABLE)


def _only_track(container: InputContainer, codecs: str) -> av.AudioStream:
    from av.stream import Disposition

    for video in container.streams.video:
        if not video.disposition & Disposition.attached_pic:  # a cover is not a film
            raise Refused(Verdict.UNREADABLE)
    if len(container.streams.audio) != 1:
        raise Refused(Verdict.UNREADABLE)
    track = container.streams.audio[0]
    # The option of the same name binds the container's own look at its tracks, not the decoder used here.
    if track.codec_context.name not in codecs.split(","):
        raise Refused(Verdict.UNREADABLE)
    # No threads: each would take a share of the address space and none of the CPU limit.
    track.codec_context.thread_count = 1
    return track


def _nothing(_frame: object) -> None:
    pass


class _Resampled:
    """Writes frames as 16-bit mono samples."""

    def __init__(self, output: BinaryIO) -> None:
        import av

        self._output = output
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)

    def __call__(self, frame: av.AudioFrame | None) -> None:
        for resampled in self._resampler.resample(frame):
            # The plane may be longer than what it holds.
            self._output.write(bytes(resampled.planes[0])[: resampled.samples * 2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
