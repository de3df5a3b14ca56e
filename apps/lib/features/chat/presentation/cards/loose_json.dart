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

/// `1e999` is JSON, and infinite: the encoder throws an error at it, unless it is told what to write.
String prettyJson(Object? value) => const JsonEncoder.withIndent('  ', _inWords).convert(value);

/// The same on one line.
String shortJson(Object? value) => jsonEncode(value, toEncodable: _inWords);

/// Whether a JSON value can be written as JSON again: numbers without an end cannot.
bool isSendable(Object? value) {
  return switch (value) {
    final num number => number.isFinite,
    final List<dynamic> list => list.every(isSendable),
    final Map<dynamic, dynamic> map => map.values.every(isSendable),
    _ => true,
  };
}

Object? _inWords(Object? value) => '$value';
