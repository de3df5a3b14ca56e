"""IANA time zones of the pinned package ``tzdata``: every process computes with the same rules, whatever its machine has."""

from __future__ import annotations

import difflib
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo


class ZoneUnknown(ValueError):
    """There is no time zone of this name. The text is for its user."""

    def __init__(self, name: str) -> None:
        self.hint: str = _hint(name)
        """Names that may be meant, as a sentence."""
        super().__init__(f"There is no time zone {name!r}. {self.hint}")


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all time zones. The first call reads the disk."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """Return a time zone. The first call for a name reads the disk.

    Args:
        name: Such as ``Europe/Berlin``; upper and lower case count.

    Raises:
        ZoneUnknown: There is none of this name.
    """
    if name not in zone_names():
        raise ZoneUnknown(name)
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def _hint(name: str) -> str:
    zones = {zone.casefold(): zone for zone in sorted(zone_names())}
    wanted = name.strip().casefold().replace(" ", "_")
    # "Berlin" means Europe/Berlin: compare with the city as well as with the whole name.
    by_city = sorted(zone for key, zone in zones.items() if wanted and wanted == key.rpartition("/")[2])
    close = [zones[key] for key in difflib.get_close_matches(wanted, zones, n=3)]
    candidates = list(dict.fromkeys(by_city + close))[:3]
    if candidates:
        return f"Did you mean {', '.join(candidates)}?"
    return "Use an IANA name such as Europe/Berlin, America/New_York or Asia/Shanghai."
