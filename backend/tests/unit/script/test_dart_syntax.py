"""What a parser can say about Dart: each rule finds its fault, and nothing else in a sound package."""

from __future__ import annotations

import importlib.util
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
            {"lib/a.dart": "import 'dart:io';\n"},
            "app/lib/a.dart:1: dart:io is not there on every platform: import a file *_io.dart conditionally",
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


def test_the_app_of_this_repository_has_no_problem(
    rules: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rules.main([]) == 0
    assert capsys.readouterr().err == ""
