/// Numbers as people read them, in the words of the chat page. Pure.
library;

import 'dart:math' as math;

/// `1234567` as `1,234,567`.
String count(int value) {
  final digits = value.abs().toString();
  final text = StringBuffer(value < 0 ? '-' : '');
  for (var at = 0; at < digits.length; at++) {
    if (at > 0 && (digits.length - at) % 3 == 0) text.write(',');
    text.write(digits[at]);
  }
  return text.toString();
}

/// `1 token`, `2 tokens`.
String plural(int value, String one) => '${count(value)} ${value == 1 ? one : '${one}s'}';

/// Milliseconds: `87 ms`, `1.24 s`, `12.4 s`, `2 min 5 s`, `1 h 3 min`.
String duration(num milliseconds) {
  final value = math.max<num>(0, milliseconds);
  if (value < 999.5) return '${value.round()} ms';
  if (value < 9995) return '${(value / 1000).toStringAsFixed(2)} s';
  if (value < 59950) return '${(value / 1000).toStringAsFixed(1)} s';
  final seconds = (value / 1000).round();
  if (seconds < 3600) return _joined(seconds ~/ 60, 'min', seconds % 60, 's');
  final minutes = (value / 60000).round();
  return _joined(minutes ~/ 60, 'h', minutes % 60, 'min');
}

String _joined(int large, String largeUnit, int small, String smallUnit) {
  return small == 0 ? '$large $largeUnit' : '$large $largeUnit $small $smallUnit';
}

/// A cost: two digits behind the point from a cent on, otherwise two digits that mean something, so that small costs
/// do not look free. Null is unknown, which is not zero.
String money(String? cost, {String currency = 'USD'}) {
  final value = cost == null ? null : double.tryParse(cost);
  if (value == null || !value.isFinite) return 'unknown';
  final sign = switch (currency) {
    'USD' => r'$',
    'EUR' => '€',
    'GBP' => '£',
    _ => '$currency ',
  };
  return '${value < 0 ? '-' : ''}$sign${_amount(value.abs())}';
}

String _amount(double value) {
  if (value == 0) return '0';
  if (value >= 0.01) return value.toStringAsFixed(2);
  final places = math.min(20, 1 - (math.log(value) / math.ln10).floor());
  return value.toStringAsFixed(places).replaceFirst(RegExp(r'0+$'), '');
}

/// Several facts on one line.
String facts(Iterable<String?> parts) {
  return parts.whereType<String>().where((part) => part.isNotEmpty).join(' · ');
}

/// A text of at most [longest] characters, with a mark where it is cut.
String cut(String text, int longest) {
  final signs = text.runes;
  return signs.length <= longest ? text : '${String.fromCharCodes(signs.take(longest - 1))}…';
}

/// Minutes and seconds as a clock shows them.
String clock(Duration time) {
  return '${time.inMinutes}:${(time.inSeconds % 60).toString().padLeft(2, '0')}';
}
