"""Which files of a folder have changed. The system tells when to look, and what counts is what the files contain.

Folders are watched one by one, not with all that is below them: an environment or the data of a database inside the
folder would be thousands of folders that nobody asked for. After each wake-up the files are read again, so a change
counts also if the system lost its message, and none counts that left the contents as they were.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISREG

import watchfiles

_SUFFIXES = {".py", ".toml", ".md"}
_NAMES = {".env"}
_LEFT_OUT = {"__pycache__", "node_modules", "site-packages"}
_DEBOUNCE_MILLISECONDS = 400
"""The longest time in which changes are gathered: an editor or a version control system writes several files."""
_STEP_MILLISECONDS = 60
"""Changes are gathered until there is none for this time."""

_LOOK_MILLISECONDS = 5000
"""The shortest time between two looks that nothing has caused."""
_REST = 100
"""Such a look is followed by a rest of this many times its duration, so that looks take at most 1 % of a core."""
_MANY_FOLDERS = 5000
_END_SECONDS = 2.0
"""How long the end waits for the thread: it asks after each step whether it is to end, but a look may take long."""

_Stamp = tuple[int, int, int]


class ChangedFiles:
    """The files of a folder that have changed since they were last asked for, as a context manager.

    Args:
        folder: With all folders below it, except hidden ones, environments and ``left_out``.
        on_change: Called in another thread when there are changes.
        left_out: A folder whose files do not count.
        say: Shows the user one line.
        clock: Returns seconds that pass.
    """

    def __init__(
        self,
        folder: Path,
        on_change: Callable[[], None],
        *,
        left_out: Path,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._on_change = on_change
        self._left_out = left_out
        self._say = say
        self._lock = threading.Lock()
        self._changed: set[Path] = set()
        self._seen: dict[Path, tuple[_Stamp, bytes]] = {}
        self._stop = threading.Event()
        self._clock = clock
        self._folders: set[Path] = set()
        """Those of the last look."""
        self._look_at = 0.0
        """No look that nothing has caused before this time."""
        self._polling = False
        """Whether the system does not tell of changes, so that files are looked at."""
        self._told = ""
        """The last trouble that the user was told of."""
        self._thread = threading.Thread(target=self._watch, name="changed-files", daemon=True)

    def __enter__(self) -> ChangedFiles:
        self._seen = self._look()
        if len(self._folders) > _MANY_FOLDERS:
            self._say(
                f"warning: {len(self._folders)} folders are watched for changes, which takes time and memory. Move data "
                + f"out of {self._folder}, or below a folder whose name begins with a dot"
            )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_END_SECONDS)

    def take(self) -> list[Path]:
        """Return the files that have changed, relative to the folder, and forget them."""
        with self._lock:
            taken, self._changed = sorted(self._changed), set()
        return taken

    def look_again(self) -> None:
        """Find out what has changed."""
        before, self._seen = self._seen, self._look()
        paths = {
            path
            for path in before.keys() | self._seen.keys()
            if _digest(before, path) != _digest(self._seen, path)
        }
        if not paths:
            return
        with self._lock:
            self._changed |= {path.relative_to(self._folder) for path in paths}
        self._on_change()

    def _watch(self) -> None:
        """Look until the end. Nothing else ends this: no change would be seen any more, and nobody would know."""
        trouble: Exception | None = None
        while not self._stop.is_set():
            try:
                if trouble is not None:
                    self._go_on_after(trouble)
                    trouble = None
                self._watch_folders()
            except Exception as exc:  # noqa: BLE001  top of a background loop
                trouble = exc

    def _go_on_after(self, trouble: Exception) -> None:
        """Tell of what has ended a watch, unless that is a folder that is gone, and look what has changed meanwhile."""
        if isinstance(trouble, FileNotFoundError):
            # Since the last look.
            self._stop.wait(_STEP_MILLISECONDS / 1000)
        elif not self._polling:
            # The number of watches is limited, and that of watchers; some file systems have none.
            self._polling = True
            self._say(
                f"warning: the system does not tell of changed files ({trouble}); they are looked at instead"
            )
        else:
            self._stop.wait(_LOOK_MILLISECONDS / 1000)
            self._tell_once(trouble)
        self.look_again()

    def _tell_once(self, trouble: Exception) -> None:
        told, self._told = self._told, repr(trouble)
        if told != self._told:
            self._say(
                f"warning: changed files are looked at every {_LOOK_MILLISECONDS // 1000} s only ({trouble})"
            )

    def _watch_folders(self) -> None:
        """Look whenever something happens; returns when there is another folder to watch."""
        folders = self._folders
        events = watchfiles.watch(
            *folders,
            watch_filter=lambda _change, path: _counts(path) or not Path(path).suffix,
            debounce=_DEBOUNCE_MILLISECONDS,
            step=_STEP_MILLISECONDS,
            stop_event=self._stop,
            recursive=False,
            raise_interrupt=False,
            # A look now and then finds what happened before the watches were in place.
            yield_on_timeout=True,
            rust_timeout=_LOOK_MILLISECONDS,
            force_polling=self._polling or None,
            ignore_permission_denied=True,
        )
        for told in events:
            if not told and self._clock() < self._look_at:
                continue
            self.look_again()
            if self._folders != folders:
                return

    def _look(self) -> dict[Path, tuple[_Stamp, bytes]]:
        """Read what has changed, in one walk through the folders; notes these, and when the next look is due."""
        began_at = self._clock()
        found: dict[Path, tuple[_Stamp, bytes]] = {}
        folders: set[Path] = set()
        for folder, names in self._walk():
            folders.add(folder)
            for name in filter(_counts, names):
                path = folder / name
                try:
                    stat = path.stat()
                    if not S_ISREG(stat.st_mode):
                        continue
                    stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                    before = self._seen.get(path)
                    found[path] = (
                        before
                        if before and before[0] == stamp
                        else (stamp, hashlib.sha256(path.read_bytes()).digest())
                    )
                except OSError:
                    # Gone again, or not readable: as if it were not there.
                    continue
        self._folders = folders
        ended_at = self._clock()
        self._look_at = ended_at + (ended_at - began_at) * _REST
        return found

    def _walk(self) -> Iterator[tuple[Path, list[str]]]:
        """Yield each folder, with the names of what is in it and is no folder."""
        for root, names, files in os.walk(self._folder):
            if "pyvenv.cfg" in files and Path(root) != self._folder:
                names.clear()
                continue
            names[:] = [
                name
                for name in names
                if not name.startswith(".") and name not in _LEFT_OUT and Path(root, name) != self._left_out
            ]
            yield Path(root), files


def _counts(path: str) -> bool:
    name = os.path.basename(path)  # noqa: PTH119  called for each event
    return os.path.splitext(name)[1] in _SUFFIXES or name in _NAMES  # noqa: PTH122


def _digest(seen: dict[Path, tuple[_Stamp, bytes]], path: Path) -> bytes | None:
    found = seen.get(path)
    return None if found is None else found[1]
