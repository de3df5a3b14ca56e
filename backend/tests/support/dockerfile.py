"""Reads a Dockerfile: its stages, and the instructions of each. It knows what ours uses, and refuses the rest."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
KNOWN = (
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
    *("RUN", "STOPSIGNAL", "USER", "WORKDIR"),
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Instruction:
    """One instruction, with its continuation lines joined and without comments."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words: of a JSON array, or as a shell splits them."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)

    @property
    def options(self) -> dict[str, str]:
        """The ``--name=value`` in front of its words."""
        pairs = (word[2:].split("=", 1) for word in self.words if word.startswith("--"))
        return {pair[0]: pair[1] for pair in pairs}

    @property
    def paths(self) -> list[str]:
        """The words of a COPY: sources, then the destination."""
        return [word for word in self.words if not word.startswith("--")]


@dataclass(frozen=True)
class Stage:
    """What begins with a FROM."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def last(self, name: str) -> Instruction:
        return self.all(name)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        pairs = (word.split("=", 1) for each in self.all("ENV") for word in each.words)
        return {pair[0]: pair[1] for pair in pairs}


def read_dockerfile(path: Path = ROOT / "Dockerfile") -> list[Stage]:
    """Return the stages; the last one is the image."""
    stages: list[Stage] = []
    defaults: dict[str, str] = {}
    for instruction in _instructions(path.read_text()):
        if instruction.name not in KNOWN:
            raise ValueError(f"unknown instruction: {instruction}")
        if instruction.name == "FROM":
            words = _expanded(instruction.text, defaults).split()
            stages.append(Stage(words[0], words[2] if len(words) == 3 else ""))
        elif stages:
            stages[-1].instructions.append(instruction)
        else:
            name, _, value = instruction.text.partition("=")
            defaults[name] = value
    return stages


def _instructions(text: str) -> Iterator[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield Instruction(name, rest.strip())


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], text)
