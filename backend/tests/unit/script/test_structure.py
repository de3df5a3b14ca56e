"""The figures of the structure are right on a small tree whose structure is known."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import grimp
import pytest

_SCRIPT = Path(__file__).parents[4] / "script" / "structure.py"


@pytest.fixture(scope="module")
def structure() -> ModuleType:
    spec = importlib.util.spec_from_file_location("structure_script", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _graph(*arrows: tuple[str, str]) -> grimp.ImportGraph:
    graph = grimp.ImportGraph()
    for importer, imported in arrows:
        graph.add_module("house")
        for module in (importer, imported):
            for end in range(2, module.count(".") + 2):
                graph.add_module(".".join(module.split(".")[:end]))
        graph.add_import(importer=importer, imported=imported)
    return graph


def test_a_folder_is_one_room_and_its_inner_imports_are_no_arrows(structure: ModuleType) -> None:
    graph = _graph(
        ("house.attic.box", "house.hall"),
        ("house.attic.box", "house.attic.lid"),
        ("house.hall", "house.cellar"),
    )
    arrows = structure.rooms_of(graph, "house")
    assert arrows == {
        "house.attic": {"house.hall"},
        "house.hall": {"house.cellar"},
        "house.cellar": set(),
    }
    assert structure.floors(arrows) == 3
    assert structure.circles(arrows) == []


def test_two_rooms_that_import_each_other_are_a_circle_although_no_two_modules_do(
    structure: ModuleType,
) -> None:
    graph = _graph(("house.attic.box", "house.hall.door"), ("house.hall.lamp", "house.attic.lid"))
    circles = structure.circles(structure.rooms_of(graph, "house"))
    assert [set(circle) for circle in circles] == [{"house.attic", "house.hall"}]
    assert (
        structure.circles(
            {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
        )
        == []
    )


def test_every_file_and_every_nested_function_is_measured(structure: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    def g():\n        return 1\n\n    return g\n")
    (tmp_path / "empty.py").write_text("")
    pieces = [(piece.name, piece.lines, piece.limit) for piece in structure.pieces_of(tmp_path)]
    assert pieces == [("a.py", 5, 450), ("a.py:1 f", 5, 80), ("a.py:2 g", 2, 80)]


def test_a_long_file_or_function_fails_the_check(
    structure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = [structure.Piece("a.py", 451, 450), structure.Piece("a.py:1 f", 80, 80)]
    monkeypatch.setattr(structure, "pieces_of", lambda _: iter(pieces * 2))
    monkeypatch.setattr(sys, "argv", ["structure.py"])
    assert structure.main() == 1
    out = capsys.readouterr().out
    assert "too long: a.py has 451 lines; the limit is 450" in out
    assert "a.py:1 f" not in out
