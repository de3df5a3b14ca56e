"""What a parser can say about Dart: each rule finds its fault, and nothing else in a sound package."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

_SCRIPTS = Path(__file__).parents[4] / "script"
PUBSPEC = """\
name: app
dependencies:
  flutter: {sdk: flutter}
  http: ^1.4.0
dev_dependencies:
  flutter_test: {sdk: flutter}
"""
SOUND = {
    "lib/main.dart": """\
import 'dart:async' show unawaited;

import 'package:app/data/event.dart';
import 'package:http/http.dart' as http;

export 'data/event.dart' show Event;

void main() {
  final Event event = Event.fromJson(const {});
  final (int, {String? name}) pair = (1, name: 'x');
  unawaited(http.read(Uri.parse('/${pair.name}')));
  print('$event ${switch (event) { Started(:final id?) when id > 0 => id, _ => event.half }}');
}
""",
    "lib/data/event.dart": """\
part 'event_kinds.dart';

sealed class Event {
  const Event();
  static Event fromJson(Map<String, dynamic> json) => json.isEmpty ? const Unknown() : Started(id: 1);
}

extension Halved on Event { int get half => 1; }
""",
    "lib/data/event_kinds.dart": """\
part of 'event.dart';

final class Started extends Event { const Started({this.id}); final int? id; }
final class Unknown extends Event { const Unknown(); }
Stream<Event> all() async* { yield* const Stream<Event>.empty(); }
""",
    "test/main_test.dart": """\
import 'package:app/main.dart' as app;
import 'package:flutter_test/flutter_test.dart';

import 'support/fake.dart';

void main() => test('it', () => expect(app.main, isNot(Fake())));
""",
    "test/support/fake.dart": "class Fake {}\n",
}


@pytest.fixture(scope="module")
def rules() -> Iterator[ModuleType]:
    sys.path.insert(0, str(_SCRIPTS))
    spec = importlib.util.spec_from_file_location("dart_syntax_script", _SCRIPTS / "dart_syntax.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(_SCRIPTS))


def told(
    rules: ModuleType,
    folder: Path,
    changes: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    *,
    pubspec: str = PUBSPEC,
) -> list[str]:
    """Check the sound package with some files changed; returns the lines."""
    root = folder / "app"
    for name, text in (SOUND | {"pubspec.yaml": pubspec} | changes).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    code = rules.main([str(root)])
    lines = capsys.readouterr().err.splitlines()
    assert code == (1 if lines else 0)
    return lines


def test_a_sound_package_has_no_problem(
    rules: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(rules, tmp_path, {"build/app/made_by_flutter.dart": "class {"}, capsys) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"lib/broken.dart": "int a() {\n  return 1 +;\n}\n"},
            "app/lib/broken.dart:2: does not parse: 1 +",
        ),
        ({"lib/broken.dart": "void a() {\n  print(1)\n}\n"}, "app/lib/broken.dart:2: ; is missing"),
        ({"lib/Broken.dart": ""}, "app/lib/Broken.dart:1: Broken is not snake_case"),
        ({"lib/someParts/a.dart": ""}, "app/lib/someParts/a.dart:1: someParts is not snake_case"),
        (
            {"lib/a.dart": "import 'package:app/data/gone.dart';\n"},
            "app/lib/a.dart:1: package:app/data/gone.dart does not exist",
        ),
        ({"lib/a.dart": "\nexport '../gone.dart';\n"}, "app/lib/a.dart:2: ../gone.dart does not exist"),
        ({"lib/a.dart": "part 'gone.dart';\n"}, "app/lib/a.dart:1: gone.dart does not exist"),
        (
            {"lib/a.dart": "import '../test/support/fake.dart';\nfinal a = Fake();\n"},
            "app/lib/a.dart:1: ../test/support/fake.dart is outside of lib",
        ),
        (
            {"lib/a.dart": "import 'package:riverpod/riverpod.dart';\n"},
            "app/lib/a.dart:1: pubspec.yaml does not name riverpod under dependencies",
        ),
        (
            {"lib/a.dart": "import 'package:flutter_test/flutter_test.dart';\n"},
            "app/lib/a.dart:1: pubspec.yaml does not name flutter_test under dependencies",
        ),
        ({"lib/a.dart": "import 'dart:assync';\n"}, "app/lib/a.dart:1: dart:assync is no library of Dart"),
        (
            {"lib/a.dart": "import 'dart:io';\nfinal File? a = null;\n"},
            "app/lib/a.dart:1: dart:io is not there on every platform: import a file *_io.dart conditionally",
        ),
        (
            {"lib/a.dart": "import 'dart:async';\nFuture<int> a() async => 1;\n"},
            "app/lib/a.dart:1: dart:async is imported and not used",
        ),
        (
            {"lib/a.dart": "import 'dart:math' as math;\nint max() => 1;\n"},
            "app/lib/a.dart:1: dart:math is imported and not used",
        ),
        (
            {"lib/a.dart": "import 'data/event.dart';\n"},
            "app/lib/a.dart:1: data/event.dart is imported and not used",
        ),
        (
            {"lib/a.dart": "import 'data/event.dart' as events;\nint event() => 1;\n"},
            "app/lib/a.dart:1: data/event.dart is imported and not used",
        ),
        (
            {"lib/a.dart": "import 'data/event.dart' show Event, Started;\nEvent? event;\n"},
            "app/lib/a.dart:1: Started is imported and not used",
        ),
        (
            {"lib/a.dart": "import 'data/event.dart' show Event, Gone;\nEvent? event; Gone? gone;\n"},
            "app/lib/a.dart:1: data/event.dart has no Gone",
        ),
        (
            {"lib/a.dart": "import 'data/event.dart';\nimport 'data/event.dart';\nEvent? event;\n"},
            "app/lib/a.dart:2: data/event.dart is imported twice",
        ),
        (
            {"lib/a.dart": "import 'data/event.dart' hide Started;\nEvent event = Started();\n"},
            "app/lib/a.dart:2: Started of lib/data/event_kinds.dart is not imported",
        ),
        (
            {"lib/a.dart": "bool any(Uri a) {\n  return a.pathSegments.length >= 0;\n}\n"},
            "app/lib/a.dart:2: a length is compared with 0: ask isEmpty or isNotEmpty",
        ),
        (
            {"lib/a.dart": "bool none(String a) => a.trim().length == 0 || a.length > 10;\n"},
            "app/lib/a.dart:1: a length is compared with 0: ask isEmpty or isNotEmpty",
        ),
        (
            {
                "lib/a.dart": "import 'data/event.dart';\nimport 'dart:math';\nEvent? event;\nRandom? random;\n"
            },
            "app/lib/a.dart:2: the import of dart:math belongs in front of that of data/event.dart",
        ),
        (
            {"test/a.dart": "import 'dart:io';\nimport 'dart:async';\nFile? file;\nTimer? timer;\n"},
            "app/test/a.dart:2: the import of dart:async belongs in front of that of dart:io",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(
    rules: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    problem: str,
) -> None:
    assert told(rules, tmp_path, changes, capsys) == [problem]


FAMILY = """\
sealed class Shape { const Shape(); }
final class Round extends Shape { const Round({required this.size, this.name}); final int size; final String? name; }
sealed class Flat extends Shape { const Flat(); factory Flat.of(int sides) => Square(sides); }
final class Square extends Flat { Square(this.sides); final int sides; }
final class Line extends Flat { const Line(); }
enum Tone { light, dark; static Tone of(int hour) => hour > 6 ? light : dark; }
abstract interface class Pen { Future<int> draw(Shape shape, {String? ink}); int get width; }
class Both implements Pen {
  @override Future<int> draw(Shape shape, {String? ink, int times = 1}) async => times;
  @override final int width = 1;
}
int all(Shape? shape) => switch (shape) { null => 0, Round(:final size) => size, Flat() => 2 };
int each(Shape shape) => switch (shape) { Round(size: > 3) => 1, Round() => 2, Square() || Line() => 3 };
int most(Shape shape) { switch (shape) { case Round(): return 1; default: return 2; } }
int tone(Tone tone) => switch (tone) { Tone.light => Tone.values.length, Tone.dark => Tone.of(1).index };
Stream<int> some() async* { for (final x in [1].map((e) { return e; })) { yield x; } return; }
Object made() => [const Round(size: 1), Square(4), Flat.of(4), Square.new, () async => await Both().draw(const Line())];
"""


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", None),
        (
            "int f(Shape s) => switch (s) { Round() => 1, Line() => 2 };",
            "the switch has no case for Square",
        ),
        (
            "int f(Shape s) => switch (s) { Round(size: 1) => 1, Flat() => 2 };",
            "the switch has no case for Round",
        ),
        (
            "int f(Shape s) => switch (s) { Round() when s.hashCode > 1 => 1, Flat() => 2 };",
            "the switch has no case for Round",
        ),
        (
            "void f(Shape s) { switch (s) { case Flat(): break; } switch (s) { case Shape(): break; } }",
            None,
        ),
        (
            "void f(Shape s) { switch (s) { case Square(): break; case Round(): break; } }",
            "the switch has no case for Line",
        ),
        ("int f(Tone t) => switch (t) { Tone.dark => 1 };", "the switch has no case for Tone.light"),
        ("final f = Round();", "Round needs size"),
        ("final f = Round(size: 1, colour: 2);", "Round has no parameter colour"),
        ("final f = Square();", "Square takes 1 to 1 positional arguments, not 0"),
        ("final f = Flat.of(1, 2);", "Flat.of takes 1 to 1 positional arguments, not 2"),
        ("final f = const Square(1);", "Square is no constant constructor"),
        ("final f = Shape();", "Shape is of an abstract class"),
        ("final f = Round.big();", "Round has no big"),
        ("final f = Tone.grey;", "Tone has no grey"),
        ("final f = Tone.of();", "Tone.of takes 1 to 1 positional arguments, not 0"),
        (
            "class F implements Pen { @override final int width = 1; }",
            "F does not implement Pen.draw",
        ),
        (
            "class F extends Both { @override Future<int> draw(Shape shape, {int times = 1}) async => 1; }",
            "F.draw lacks the parameter ink of Both.draw",
        ),
        ("class F { F(); final int? size; }", "size gets no value from the constructor F"),
        ("class F { F.of(); String name; }", "name gets no value from the constructor F.of"),
        ("class F { F(int x) : size = x; final int size; late final int y; int? z; }", None),
        (
            "class F { const F(); int? size; }",
            "size can change, but F has a constant constructor",
        ),
        ("int f() => await made();", "await in a function that is not async or async*"),
        ("Stream<int> f() { yield 1; }", "yield in a function that is not async* or sync*"),
        ("Stream<int> f() async* { return 1; }", "a generator returns no value"),
    ],
)
def test_what_the_package_declares_is_used_as_it_is_declared(
    rules: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: str,
    problem: str | None,
) -> None:
    lines = told(rules, tmp_path, {"lib/shapes.dart": FAMILY + line}, capsys)

    where = f"app/lib/shapes.dart:{len(FAMILY.splitlines()) + 1}: "
    # A class that lacks a member is told of for each one that it lacks.
    assert (lines[0] if lines else None) == (None if problem is None else where + problem)


FUNCTIONS = """\
import 'dart:async';
import 'dart:convert';

int twice(int number, {int times = 2}) => number * times;
class Desk {
  Desk(this.given);
  final int Function(int number, {int other}) given;
  int _lift(int weight, [int? by]) => weight;
  int twice(int number, {String? unit}) => _lift(number, 1) + given(1, other: 2);
  Future<int> all(Desk other) async { unawaited(all(other)); return this._lift(1) + other._lift(2); }
}
String told(List<int> numbers) => jsonEncode([for (final lift in numbers) twice(lift, times: 3)]);
"""


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", None),
        ("final f = twice(1, unit: 'kg');", None),  # which of the two is meant is not known
        ("final f = twice(1, tims: 3);", "twice has no parameter tims"),
        ("final f = twice();", "twice takes 1 to 1 positional arguments, not 0"),
        ("int f(Desk desk) => desk._lift(1, to: 2);", "_lift has no parameter to"),
        ("int f(Desk desk) => desk._lift(1, 2, 3);", "_lift takes 1 to 2 positional arguments, not 3"),
        ("int f(int Function() twice) => twice();", None),
        ("final f = halved(1);", "halved of lib/half.dart is not imported"),
        ("int halved(int number) => 1; final f = halved(1);", None),
        ("final f = Uint8List(1);", "Uint8List of dart:typed_data is not imported"),
        ("final f = 1.max(2) + min(1);", None),
    ],
)
def test_functions_are_called_as_they_are_declared_and_are_imported(
    rules: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: str,
    problem: str | None,
) -> None:
    files = {"lib/desk.dart": FUNCTIONS + line, "lib/half.dart": "int halved(int number) => number ~/ 2;\n"}
    lines = told(rules, tmp_path, files, capsys)

    where = f"app/lib/desk.dart:{len(FUNCTIONS.splitlines()) + 1}: "
    assert lines == ([] if problem is None else [where + problem])


def test_a_library_of_dart_that_is_not_imported_is_told(
    rules: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Timer? a;\nString b() => jsonEncode(1);\nfinal c = utf8.encode('c');\nhttp.Client? d;\nfinal e = http.read(f);\n"
    lines = told(rules, tmp_path, {"lib/a.dart": text}, capsys)

    assert sorted(lines) == [
        "app/lib/a.dart:1: Timer of dart:async is not imported",
        "app/lib/a.dart:2: jsonEncode of dart:convert is not imported",
        "app/lib/a.dart:3: utf8 of dart:convert is not imported",
        "app/lib/a.dart:4: the prefix http is not imported",
        "app/lib/a.dart:5: the prefix http is not imported",
    ]


def test_an_export_brings_nothing_to_its_own_file(
    rules: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(rules, tmp_path, {"lib/a.dart": "export 'data/event.dart';\nEvent? a;\n"}, capsys)

    assert lines == ["app/lib/a.dart:2: Event of lib/data/event.dart is not imported"]


def test_what_a_part_uses_counts_for_its_library(
    rules: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "lib/a.dart": "import 'data/event.dart';\npart 'b.dart';\n",
        "lib/b.dart": "part of 'a.dart';\nint a(Event event) => event.half;\n",
    }

    assert told(rules, tmp_path, files, capsys) == []


def test_a_name_of_the_documentation_is_a_use(
    rules: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"lib/a.dart": "import 'data/event.dart';\n\n/// Half of an [Event].\nint half() => 1;\n"}

    assert told(rules, tmp_path, files, capsys) == []


def test_a_file_of_one_platform_may_use_its_library(
    rules: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "lib/disk.dart": "export 'disk_io.dart' if (dart.library.js_interop) 'disk_web.dart';\n",
        "lib/disk_io.dart": "import 'dart:io';\nfinal File? file = null;\n",
        "lib/disk_web.dart": "import 'dart:js_interop';\nfinal JSAny? file = null;\n",
    }

    assert told(rules, tmp_path, files, capsys) == []


def test_a_package_without_a_name_is_told(
    rules: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(rules, tmp_path, {}, capsys, pubspec="{}")

    assert lines[0] == "app/pubspec.yaml:1: is missing or names no package"


_PAGES = [_SCRIPTS.parent / "docs" / "how-to" / "flutter.md", _SCRIPTS.parent / "apps" / "README.md"]
_AROUND = ("{}", "void page() async {{\n{}\n}}", "final page =\n{};")
"""A block is a file, statements, or an expression."""


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_the_dart_of_the_documentation_parses(rules: ModuleType, tmp_path: Path, page: Path) -> None:
    blocks = re.findall(
        r"^ *```dart\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )

    assert blocks
    for block in blocks:
        faults: list[list[tuple[int, str]]] = []
        for around in _AROUND:
            path = tmp_path / "block.dart"
            path.write_text(around.format(block))
            faults.append(rules.DartFile.read(path).faults)
        assert [] in faults, min(faults, key=len)


def test_the_app_of_this_repository_has_no_problem(
    rules: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rules.main([]) == 0
    assert capsys.readouterr().err == ""
