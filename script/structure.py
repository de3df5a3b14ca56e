"""Measures the structure of the source: rooms, arrows and circles of a package, lines of files and functions.

    backend/.venv/bin/python script/structure.py                  # this checkout
    backend/.venv/bin/python script/structure.py --src OTHER/src  # another one, for a comparison

A room is a direct child of a package: a module, or a folder as a whole. An arrow leads from one room to another
when any module of the first imports any module of the second. The floor of a room is the longest chain of arrows
below it. The imports are read by grimp, which import-linter uses too; nothing of the project is executed.

Exits with 1 when there is a circle, a file of more than 450 lines or a function of more than 80.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 80
"""More than this is nearly always a second idea; a longer table is data, and belongs in a file of its own."""
SOURCES = Path(__file__).resolve().parent.parent / "backend" / "src"
PACKAGES = (
    "agentroute",
    "core.agentscope",
    "core.agentscope.events",
    "core.agentscope.runtime",
    "v1.agent",
)


def rooms_of(graph: grimp.ImportGraph, package: str) -> dict[str, set[str]]:
    """Return the rooms of a package, each with the rooms that it imports."""
    rooms = graph.find_children(package)
    arrows: dict[str, set[str]] = {room: set() for room in rooms}
    for room in rooms:
        for module in {room} | graph.find_descendants(room):
            for imported in graph.find_modules_directly_imported_by(module):
                target = _room(imported, package)
                if target in rooms and target != room:
                    arrows[room].add(target)
    return arrows


def _room(module: str, package: str) -> str:
    if not module.startswith(package + "."):
        return ""
    return f"{package}.{module.removeprefix(package + '.').split('.')[0]}"


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Return the circles that are found when one arrow of each is cut; empty when there is none."""
    left = {room: set(targets) for room, targets in arrows.items()}
    found: list[list[str]] = []
    while True:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as exc:
            circle: list[str] = exc.args[1]
            found.append(circle)
            # graphlib lists a circle from the imported room to the importing one.
            left[circle[1]].discard(circle[0])
        else:
            return found


def floors(arrows: dict[str, set[str]]) -> int:
    """Return the number of floors: the longest chain of arrows, counted in rooms; 0 when there is a circle."""
    if circles(arrows):
        return 0
    height: dict[str, int] = {}
    for room in TopologicalSorter(arrows).static_order():
        height[room] = 1 + max((height[target] for target in arrows[room]), default=0)
    return max(height.values(), default=0)


@dataclass(frozen=True, slots=True)
class Piece:
    """A file or a function, with its length in lines."""

    name: str
    lines: int
    limit: int


def pieces_of(sources: Path) -> Iterator[Piece]:
    """Yield every file that has any lines, and every function, nested ones included."""
    for path in sorted(sources.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not text:
            continue
        name = path.relative_to(sources).as_posix()
        yield Piece(name, len(text.splitlines()), MAX_FILE_LINES)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                yield Piece(f"{name}:{node.lineno} {node.name}", lines, MAX_FUNCTION_LINES)


def _spread(values: Iterable[int]) -> str:
    ordered = sorted(values)
    p90 = statistics.quantiles(ordered, n=10)[-1]
    return f"{len(ordered)}, lines p50 {statistics.median(ordered):.0f}, p90 {p90:.0f}, max {ordered[-1]}"


def main() -> int:
    """Print the figures; returns the exit code."""
    parser = argparse.ArgumentParser(description="Measure the structure of the source.")
    parser.add_argument(
        "--src", type=Path, default=SOURCES, help="folder with agentroute, core, models and v1"
    )
    parser.add_argument("--arrows", action="store_true", help="list the arrows of every package, too")
    arguments = parser.parse_args()
    sources: Path = arguments.src.resolve()
    # In front of the installed project, which would be found otherwise.
    sys.path.insert(0, str(sources))
    graph = grimp.build_graph("agentroute", "core", "models", "v1", cache_dir=None)
    any_circle = False
    print(f"{'package':<26} rooms floors arrows circles")
    for package in PACKAGES:
        arrows = rooms_of(graph, package)
        found = circles(arrows)
        any_circle = any_circle or bool(found)
        count = sum(len(targets) for targets in arrows.values())
        print(f"{package:<26} {len(arrows):>5} {floors(arrows):>6} {count:>6} {len(found):>7}")
        for circle in found:
            print("  circle: " + " -> ".join(name.removeprefix(package + ".") for name in reversed(circle)))
        if arguments.arrows:
            for room in sorted(arrows):
                targets = ", ".join(sorted(name.removeprefix(package + ".") for name in arrows[room]))
                print(f"  {room.removeprefix(package + '.')} -> {targets or '(nothing here)'}")
    modules = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    found = circles(modules)
    print(f"circles between modules: {len(found)}")
    pieces = list(pieces_of(sources))
    for kind, limit in (("files", MAX_FILE_LINES), ("functions", MAX_FUNCTION_LINES)):
        print(f"{kind}: {_spread(piece.lines for piece in pieces if piece.limit == limit)}")
    too_long = [piece for piece in pieces if piece.lines > piece.limit]
    for piece in too_long:
        print(f"too long: {piece.name} has {piece.lines} lines; the limit is {piece.limit}")
    return 1 if any_circle or found or too_long else 0


if __name__ == "__main__":
    sys.exit(main())
