"""How long uploads sound, by decoding them in a child process: true files, broken ones, and hostile ones."""

from __future__ import annotations

import asyncio
import os
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from structlog.testing import capture_logs
from tests.support import audio
from tests.support.limits import HUNG_SECONDS
from tests.unit.core.transcription.conftest import Upload

from core.errors import AgentBackendError, AudioEmpty, AudioTooLong, UnsupportedMediaType
from core.transcription import audio_decoder
from core.transcription.audio_decoder import AudioDecoder
from core.transcription.audio_file import AudioFile
from core.transcription.audio_kind import AudioKind
from core.transcription.audio_verdict import SAMPLE_RATE


@pytest.fixture
def decoder() -> AudioDecoder:
    return AudioDecoder(max_seconds=600, max_children=2)


async def seconds(decoder: AudioDecoder, upload: Upload, data: bytes, kind: AudioKind | None = None) -> float:
    return (await decoder.duration(await upload(data, kind))).total_seconds()


@pytest.mark.parametrize("name", audio.FILES)
async def test_the_length_is_that_of_the_sound(name: str, decoder: AudioDecoder, upload: Upload) -> None:
    found = await seconds(decoder, upload, audio.FILES[name]())

    # Encoders fill up their last frame: at most 1152 + 1024 samples here.
    assert found == pytest.approx(audio.SECONDS, abs=0.06)


def test_the_hard_files_are_hard() -> None:
    assert audio.claimed_seconds(audio.live_webm()) is None
    assert (audio.claimed_seconds(audio.variable_mp3()) or 0) > audio.SECONDS * 1.3


@pytest.mark.parametrize("claimed_bytes", [0, 0xFFFFFFFF, 10**9])
async def test_a_header_that_claims_another_size_is_not_believed(
    claimed_bytes: int, decoder: AudioDecoder, upload: Upload
) -> None:
    data = audio.wav_of(audio.speech(1, 16_000).tobytes(), claimed_bytes=claimed_bytes)

    assert await seconds(decoder, upload, data) == 1.0


async def test_eleven_minutes_are_too_long(decoder: AudioDecoder, upload: Upload) -> None:
    with pytest.raises(AudioTooLong) as caught:
        await seconds(decoder, upload, audio.silence(660))

    assert caught.value.members == {"maxSeconds": 600}


@pytest.mark.parametrize("name", audio.FILES)
async def test_the_limit_holds_for_every_kind(name: str, upload: Upload) -> None:
    strict = AudioDecoder(max_seconds=audio.SECONDS - 0.1, max_children=1)

    with pytest.raises(AudioTooLong):
        await seconds(strict, upload, audio.FILES[name]())


async def test_ten_minutes_are_not(decoder: AudioDecoder, upload: Upload) -> None:
    assert await seconds(decoder, upload, audio.silence(600)) == 600


async def test_a_low_sample_rate_makes_a_small_file_long(decoder: AudioDecoder, upload: Upload) -> None:
    with pytest.raises(AudioTooLong):
        await seconds(decoder, upload, audio.wav_of(bytes(4000), rate=1))


@pytest.mark.parametrize("data", [audio.wav_of(b""), audio.wav_of(b"", claimed_bytes=10**6)])
async def test_a_header_without_sound_is_empty(data: bytes, decoder: AudioDecoder, upload: Upload) -> None:
    with pytest.raises(AudioEmpty):
        await seconds(decoder, upload, data)


@pytest.mark.parametrize("name", ["wav", "mp3", "flac", "ogg", "webm, live", "m4a, fragmented"])
async def test_a_cut_file_is_as_long_as_what_is_left(
    name: str, decoder: AudioDecoder, upload: Upload
) -> None:
    whole = audio.FILES[name]()

    found = await seconds(decoder, upload, whole[: len(whole) * 3 // 4])

    assert 0.5 < found < 1.9


JUNK = b"\x00\x01\x02\x03" + bytes(range(256)) * 500


@pytest.mark.parametrize(
    "data",
    [
        b"ID3\x03\x00\x00\x00\x00\x00\x00" + JUNK,
        audio.m4a()[: len(audio.m4a()) // 2],  # its index was at the end
        audio.m4a()[:48] + JUNK,
        audio.webm()[:48] + JUNK,
        audio.video_webm(),
    ],
    ids=["mp3", "cut m4a", "m4a", "webm", "film"],
)
async def test_what_only_begins_like_audio_is_none(
    data: bytes, decoder: AudioDecoder, upload: Upload
) -> None:
    with pytest.raises(UnsupportedMediaType):
        await seconds(decoder, upload, data)


async def test_a_codec_that_does_not_belong_there_is_refused(decoder: AudioDecoder, upload: Upload) -> None:
    data = audio.encode("mp4", "ac3", 44_100, audio.speech(1, 44_100))

    with pytest.raises(UnsupportedMediaType):
        await seconds(decoder, upload, data)


async def test_no_other_format_is_tried(decoder: AudioDecoder, upload: Upload, tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(audio.wav())
    playlist = f"#EXTM3U\n#EXTINF:2,\n{secret}\n".encode()
    concat = f"ffconcat version 1.0\nfile {secret}\n".encode()

    for kind in AudioKind:
        for data in (playlist, concat):
            with pytest.raises((UnsupportedMediaType, AudioEmpty)):
                await seconds(decoder, upload, data, kind)


async def test_an_index_that_points_into_another_file_is_not_followed(
    decoder: AudioDecoder, upload: Upload, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.m4a"
    outside.write_bytes(audio.m4a())
    data = bytearray(audio.m4a())
    # The data reference: "url " with the flag "in this file". Cleared, FFmpeg looks for a file by name.
    flags = data.index(b"url ") + 4
    assert data[flags : flags + 4] == b"\x00\x00\x00\x01"
    data[flags + 3] = 0

    opened = await seconds(decoder, upload, bytes(data))

    assert opened == pytest.approx(audio.SECONDS, abs=0.06)  # its own bytes


async def test_samples_are_mono_at_the_rate_of_speech_models(decoder: AudioDecoder, upload: Upload) -> None:
    found = await decoder.samples(await upload(audio.flac()))

    assert len(found) / 2 == pytest.approx(audio.SECONDS * SAMPLE_RATE, rel=0.01)
    loudest = max(abs(value) for (value,) in struct.iter_unpack("<h", found))
    assert loudest > 3000


async def test_a_file_can_be_read_again_after_it_was_decoded(decoder: AudioDecoder, upload: Upload) -> None:
    file = await upload(audio.mp3())

    assert await decoder.duration(file) == await decoder.duration(file)
    file.rewind()
    assert file.stream.read() == audio.mp3()


# --- when the child does not end as it should ---


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Put a program in the place of the decoder."""

    def child(program: str) -> None:
        script = tmp_path / "child"
        script.write_text(f"#!{sys.executable}\nimport os, signal, sys\n{program}\n")
        script.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(script))

    return child


class Started(list[asyncio.subprocess.Process]):
    """Processes, and an event that the first of them sets."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The processes that were started."""
    found = Started()
    start = asyncio.create_subprocess_exec

    async def noting(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        found.append(await start(*arguments, **options))
        found.first.set()
        return found[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noting)
    return found


@pytest.mark.parametrize("signal", ["SIGSEGV", "SIGXCPU", "SIGKILL"])
async def test_a_file_that_kills_the_decoder_is_refused(
    signal: str, child: Callable[[str], None], decoder: AudioDecoder, upload: Upload
) -> None:
    child(f"os.kill(os.getpid(), signal.{signal})")

    with capture_logs() as lines, pytest.raises(UnsupportedMediaType):
        await seconds(decoder, upload, audio.wav())
    assert [line["event"] for line in lines] == ["audio_decoder_stopped"]


@pytest.mark.parametrize(
    "program", ["while True: print('x' * 4096)", "signal.pause()"], ids=["loud", "stuck"]
)
async def test_a_child_that_does_not_end_is_ended(
    program: str,
    child: Callable[[str], None],
    decoder: AudioDecoder,
    upload: Upload,
    started: Started,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_decoder, "_PATIENCE_SECONDS", 0.5)
    child(program)

    with pytest.raises(UnsupportedMediaType):
        await seconds(decoder, upload, audio.wav())
    assert [process.returncode for process in started] == [-9]


async def test_more_output_than_an_answer_has_is_none_also_if_the_kill_comes_too_late(
    child: Callable[[str], None], decoder: AudioDecoder, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(process: asyncio.subprocess.Process) -> None:
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    monkeypatch.setattr(asyncio.subprocess.Process, "kill", too_late)
    child("print(10**20)")

    with capture_logs() as lines, pytest.raises(UnsupportedMediaType):
        await seconds(decoder, upload, audio.wav())
    assert [(line["event"], line["reason"]) for line in lines] == [("audio_decoder_stopped", "signal 9")]


@pytest.mark.parametrize(
    ("program", "reason"),
    [("while True: print('x' * 4096)", "signal 9"), ("signal.pause()", "time")],
    ids=["loud", "stuck"],
)
async def test_a_killed_child_is_not_judged_by_the_exit_code_that_asyncio_has_lost(
    program: str,
    reason: str,
    child: Callable[[str], None],
    decoder: AudioDecoder,
    upload: Upload,
    started: Started,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The stuck child waits for this; the loud one is killed long before, however slow the machine is.
    monkeypatch.setattr(audio_decoder, "_PATIENCE_SECONDS", 0.5 if reason == "time" else HUNG_SECONDS)
    wait = os.waitpid

    def too_late(pid: int, options: int) -> NoReturn:
        """What the child watcher finds after ``Popen.poll`` was quicker. ``Popen`` has a reference of its own."""
        wait(pid, options)
        raise ChildProcessError

    monkeypatch.setattr(os, "waitpid", too_late)
    child(program)

    with capture_logs() as lines, pytest.raises(UnsupportedMediaType):
        await seconds(decoder, upload, audio.wav())
    assert [process.returncode for process in started] == [255]
    assert [(line["event"], line["reason"]) for line in lines] == [("audio_decoder_stopped", reason)]


async def test_a_caller_that_leaves_takes_the_child_along(
    child: Callable[[str], None],
    decoder: AudioDecoder,
    upload: Upload,
    started: Started,
) -> None:
    child("signal.pause()")

    caller = asyncio.create_task(seconds(decoder, upload, audio.wav()))
    async with asyncio.timeout(HUNG_SECONDS):
        await started.first.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert [process.returncode for process in started] == [-9]


async def test_a_missing_decoder_is_our_fault_and_in_the_log(
    child: Callable[[str], None], decoder: AudioDecoder, upload: Upload
) -> None:
    child("sys.exit('no module named av')")

    with capture_logs() as lines, pytest.raises(AgentBackendError) as caught:
        await seconds(decoder, upload, audio.wav())
    assert caught.value.code == "internal-error"
    assert "av" not in caught.value.detail.split()
    (line,) = lines
    assert (line["event"], line["exit_code"]) == ("audio_decoder_failed", 1)
    assert "no module named av" in line["complaint"]


async def test_the_child_gets_none_of_our_secrets(
    child: Callable[[str], None], decoder: AudioDecoder, upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_MODEL__API_KEY", "canary-3f9a")
    child("sys.exit(','.join(os.environ))")

    with capture_logs() as lines, pytest.raises(AgentBackendError):
        await seconds(decoder, upload, audio.wav())
    assert "AGENT" not in lines[0]["complaint"]


async def test_only_so_many_children_run_at_once(
    child: Callable[[str], None], upload: Upload, started: Started
) -> None:
    decoder = AudioDecoder(max_seconds=600, max_children=1)
    child("sys.stdin.read(); print(1000, end='')")
    files = [await upload(b"RIFF\x00\x00\x00\x00WAVE") for _ in range(3)]
    running: list[int] = []

    async def measure(file: AudioFile) -> None:
        await decoder.duration(file)
        running.append(sum(process.returncode is None for process in started))

    await asyncio.gather(*(measure(file) for file in files))

    assert len(started) == 3
    assert max(running) <= 1
