/// One line that says what a call is about: `city: Paris, days: 3`. Pure.
library;

import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';
import 'package:agentroute_chat/features/chat/presentation/format/format.dart';

const _longestValue = 60;
const _longestLine = 120;

String summarise(String arguments) {
  final value = parsedJson(arguments);
  if (value == null) return cut(_oneLine(arguments), _longestLine);
  if (value is! Map<String, dynamic>) return cut(shortJson(value), _longestLine);
  final Object? title = value['title'];
  if (title is String && title.trim().isNotEmpty) return cut(title.trim(), _longestLine);
  // The name of a single argument says nothing that the tool's name does not say.
  if (value.length == 1) return cut(_inWords(value.values.first), _longestLine);
  return cut(
    [for (final entry in value.entries) '${entry.key}: ${_inWords(entry.value)}'].join(', '),
    _longestLine,
  );
}

String _oneLine(String text) => text.replaceAll(RegExp(r'\s+'), ' ').trim();

String _inWords(Object? value) {
  if (value is String) return cut(_oneLine(value), _longestValue);
  if (value is List<dynamic>) {
    final isFlat = value.every((Object? item) => item is! List<dynamic> && item is! Map<dynamic, dynamic>);
    final isShort = value.length <= 8 && isFlat;
    return isShort ? cut(value.map(_inWords).join(', '), _longestValue) : plural(value.length, 'item');
  }
  return value is Map<dynamic, dynamic> ? cut(shortJson(value), _longestValue) : '$value';
}
