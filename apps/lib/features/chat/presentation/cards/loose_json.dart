/// JSON that a model writes, which may be incomplete. Pure.
library;

import 'dart:convert';

/// The value of a JSON text; null if it is none (or `null`).
Object? parsedJson(String text) {
  try {
    return jsonDecode(text);
  } on FormatException {
    return null;
  }
}

/// A JSON text laid out for people; another text as it is.
String laidOut(String text) {
  final value = parsedJson(text);
  return value == null ? text : prettyJson(value);
}

String prettyJson(Object? value) => const JsonEncoder.withIndent('  ').convert(value);

/// Whether two JSON values say the same.
bool sameJson(Object? one, Object? other) {
  if (one is Map && other is Map) {
    return one.length == other.length &&
        one.keys.every((key) => other.containsKey(key) && sameJson(one[key], other[key]));
  }
  if (one is List && other is List) {
    return one.length == other.length &&
        Iterable<int>.generate(one.length).every((at) => sameJson(one[at], other[at]));
  }
  return one == other;
}
