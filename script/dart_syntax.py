"""Checks Dart without a Dart SDK: what a parser can say about every file of the app, for script/check.

    backend/.venv/bin/python script/dart_syntax.py            # apps/ of this checkout
    backend/.venv/bin/python script/dart_syntax.py FOLDER     # another package

Prints one line per problem, with its file and line, and exits with 1 when there is any. The rules: a file parses
without an error; its name is snake_case; its imports exist, and pubspec.yaml names their packages; an import of a file
of the package is used; what a file uses of the package is imported; ``lib`` runs on the web. ``dart_calls.py`` has the
rules about switches, constructors, overrides, fields and ``await``, ``dart_functions.py`` those about functions and
their imports, ``dart_lints.py`` some lints. Types are left to ``flutter analyze`` (script/test-apps).

The grammar is tree-sitter's. If it fails on a feature of Dart that is valid, write the line in another way and say
so in apps/README.md: a check that lets some errors pass is worth nothing without an SDK.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dart_calls import call_problems
from dart_files import DartFile, DartPackage, Directive, line_of, text_of
from dart_functions import function_problems
from dart_lints import lint_problems

APPS = Path(__file__).resolve().parent.parent / "apps"
_SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_DART_LIBRARIES = {
    *(
        "async",
        "collection",
        "convert",
        "core",
        "developer",
        "ffi",
        "html",
        "io",
        "isolate",
        "js_interop",
        "math",
    ),
    *("js_interop_unsafe", "typed_data", "ui", "ui_web"),
}
_ONLY_THERE = {
    "dart:async": (
        "Completer|FutureOr|StreamConsumer|StreamController|StreamIterator|StreamSink|StreamSubscription|StreamTransformer|"
        "StreamView|MultiStreamController|TimeoutException|Timer|Zone|runZoned|runZonedGuarded|scheduleMicrotask|unawaited|"
        "ignore|onError|wait"
    ),
    "dart:convert": (
        "ByteConversionSink|Codec|Converter|Encoding|JsonDecoder|JsonEncoder|LineSplitter|Utf8Decoder|Utf8Encoder|ascii|"
        "base64|base64Decode|base64Encode|base64Url|base64UrlEncode|htmlEscape|json|jsonDecode|jsonEncode|latin1|utf8"
    ),
    "dart:io": "Directory|File|FileSystemEntity|HttpClient|HttpServer|Platform|Process|Socket|SocketException|stderr|stdout|exit",
    "dart:math": "Point|Random|Rectangle|acos|asin|atan|atan2|cos|e|exp|ln10|ln2|log|max|min|pi|pow|sin|sqrt|tan",
    "dart:typed_data": "ByteBuffer|ByteData|BytesBuilder|Endian|Float32List|Float64List|Int16List|Int32List|Uint16List|Uint8List",
}
"""What these libraries have and ``dart:core`` has not."""
_OF_A_PLATFORM = {"dart:io": "_io", "dart:ffi": "_io", "dart:html": "_web", "dart:js_interop": "_web"}
"""A file with such an import is chosen by a conditional import, and its name says for what."""

Problem = tuple[Path, int, str]


def problems(package: DartPackage) -> Iterator[Problem]:
    """Yield what is wrong with a package, file by file."""
    if package.files and not package.name:
        yield package.folder / "pubspec.yaml", 1, "is missing or names no package"
    for file in package.files.values():
        yield from ((file.path, line, fault) for line, fault in file.faults)
        yield from _naming(package, file)
        for directive in file.directives:
            yield from _target(package, file, directive)
        yield from _unused(package, file)
        yield from _not_imported(package, file)
    yield from call_problems(package)
    yield from function_problems(package, _ONLY_THERE)
    yield from lint_problems(package)


def _naming(package: DartPackage, file: DartFile) -> Iterator[Problem]:
    for part in file.path.relative_to(package.folder).with_suffix("").parts:
        if not _SNAKE_CASE.fullmatch(part):
            yield file.path, 1, f"{part} is not snake_case"


def _target(package: DartPackage, file: DartFile, directive: Directive) -> Iterator[Problem]:
    """Check that what a directive names is there, and may be used here."""
    in_lib = file.path.is_relative_to(package.folder / "lib")
    for uri in directive.uris:
        target = package.place(uri, file)
        if target is not None:
            if target not in package.files:
                yield file.path, directive.line, f"{uri} does not exist"
            elif in_lib and not target.is_relative_to(package.folder / "lib"):
                yield file.path, directive.line, f"{uri} is outside of lib"
        elif uri.startswith("dart:"):
            if uri.removeprefix("dart:") not in _DART_LIBRARIES:
                yield file.path, directive.line, f"{uri} is no library of Dart"
            ending = _OF_A_PLATFORM.get(uri, "")
            if in_lib and not file.path.stem.endswith(ending):
                yield (
                    file.path,
                    directive.line,
                    f"{uri} is not there on every platform: import a file *{ending}.dart conditionally",
                )
        elif uri.startswith("package:"):
            sections = ("dependencies",) if in_lib else ("dependencies", "dev_dependencies")
            if (name := uri.removeprefix("package:").split("/")[0]) not in package.dependencies(*sections):
                yield (
                    file.path,
                    directive.line,
                    f"pubspec.yaml does not name {name} under {' or '.join(sections)}",
                )


def _unused(package: DartPackage, file: DartFile) -> Iterator[Problem]:
    uses = {text_of(name) for part in package.library(file) for name in part.names}
    uses |= {name for part in package.library(file) for name in part.mentions}
    seen: set[tuple[str, ...]] = set()
    for directive in file.directives:
        if directive.kind != "import":
            continue
        if (key := (*directive.uris, directive.prefix)) in seen:
            yield file.path, directive.line, f"{directive.uris[0]} is imported twice"
        seen.add(key)
        names = _ONLY_THERE.get(directive.uris[0])
        if names is not None and not ({directive.prefix} if directive.prefix else {*names.split("|")}) & uses:
            yield file.path, directive.line, f"{directive.uris[0]} is imported and not used"
        target = package.files.get(package.place(directive.uris[0], file) or Path())
        if target is None:
            continue
        brings = (
            {directive.prefix}
            if directive.prefix
            else directive.passes(package.visible(target)) | target.extends
        )
        if not brings & uses:
            yield file.path, directive.line, f"{directive.uris[0]} is imported and not used"
        for name in sorted(directive.shown - uses):
            yield file.path, directive.line, f"{name} is imported and not used"
        for name in sorted(directive.shown - package.visible(target)):
            yield file.path, directive.line, f"{directive.uris[0]} has no {name}"


def _not_imported(package: DartPackage, file: DartFile) -> Iterator[Problem]:
    """Find types of other files of the package that a file uses without an import: nothing else declares them."""
    if file.is_part:
        return
    here = package.brought(file)
    elsewhere = {
        name: other.path.relative_to(package.folder)
        for other in package.files.values()
        if other.path.is_relative_to(package.folder / "lib")
        for name in other.declares - here
        if name[0].isupper()
    }
    for part in package.library(file):
        told: set[str] = set()
        for node in part.names:
            name = text_of(node)
            if name in elsewhere and name not in told and not _is_member(node):
                told.add(name)
                yield part.path, line_of(node), f"{name} of {elsewhere[name]} is not imported"


def _is_member(node: object) -> bool:
    """Return whether a name stands behind a dot, where another declaration gives it its meaning."""
    before = getattr(node, "prev_sibling", None)
    return before is not None and text_of(before) in {".", "?.", ".."}


def main(arguments: list[str]) -> int:
    """Print the problems; returns the exit code."""
    folder = Path(arguments[0]).resolve() if arguments else APPS
    package = DartPackage.read(folder)
    found = list(problems(package))
    for path, line, problem in found:
        place = path.relative_to(folder.parent) if path.is_relative_to(folder.parent) else path
        print(f"{place}:{line}: {problem}", file=sys.stderr)
    print(f"{len(package.files)} Dart files, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
