/// The fields of a form, from a JSON Schema. Pure.
///
/// The service checks answers with all of JSON Schema. What is judged here is only what a person can correct in a form.
library;

import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';

enum FieldKind { text, integer, number, flag, choice, json }

class SchemaField {
  const SchemaField({
    required this.name,
    required this.kind,
    required this.label,
    this.schema = const {},
    this.isRequired = false,
    this.isNullable = false,
  });

  final String name;
  final FieldKind kind;
  final String label;

  /// Without references and without "this or null".
  final Map<String, dynamic> schema;
  final bool isRequired;

  /// Whether null fits, too.
  final bool isNullable;

  String? get description {
    final Object? text = schema['description'];
    return text is String && text.isNotEmpty ? text : null;
  }

  List<Object?> get choices {
    final Object? found = schema['enum'];
    return found is List<dynamic> ? found : const [];
  }

  /// The value that the schema gives to who writes nothing.
  FieldValue get start {
    if (schema.containsKey('default')) return FieldValue(schema['default']);
    // A switch always says something.
    return kind == FieldKind.flag && isRequired ? const FieldValue(false) : const FieldValue.absent();
  }

  /// The text that a field begins with.
  String textOf(Object? value) {
    if (value is String && kind != FieldKind.json) return value;
    return value == null && kind != FieldKind.json ? '' : prettyJson(value);
  }

  /// Reads what was written. A text that is no such value is a complaint.
  FieldValue read(String text) {
    if (text.trim().isEmpty) return _nothing(text);
    switch (kind) {
      case FieldKind.integer:
        final value = int.tryParse(text.trim(), radix: 10);
        return value == null ? const FieldValue.wrong('Write a whole number.') : _judged(value);
      case FieldKind.number:
        final value = num.tryParse(_withPoint(text.trim()));
        return value == null || !value.isFinite ? const FieldValue.wrong('Write a number.') : _judged(value);
      case FieldKind.json:
        final value = parsedJson(text);
        final isNull = value == null && text.trim() != 'null';
        return isNull || !isSendable(value) ? const FieldValue.wrong('Write valid JSON.') : FieldValue(value);
      case FieldKind.text || FieldKind.flag || FieldKind.choice:
        return _judged(text);
    }
  }

  FieldValue _nothing(String text) {
    if (!isRequired) return const FieldValue.absent();
    if (isNullable) return const FieldValue(null);
    return kind == FieldKind.text ? _judged(text) : const FieldValue.wrong('Fill this in.');
  }

  FieldValue _judged(Object value) {
    final complaint = switch (value) {
      final String text => _aboutText(text),
      final num number => _aboutNumber(number),
      _ => null,
    };
    return complaint == null ? FieldValue(value) : FieldValue.wrong(complaint);
  }

  String? _aboutText(String text) {
    final shortest = _limit('minLength');
    final longest = _limit('maxLength');
    final length = text.runes.length;
    if (shortest != null && length < shortest) {
      return text.isEmpty ? 'This is needed.' : 'At least $shortest characters.';
    }
    return longest != null && length > longest ? 'At most $longest characters.' : null;
  }

  String? _aboutNumber(num value) {
    final least = _limit('minimum');
    final above = _limit('exclusiveMinimum');
    final most = _limit('maximum');
    final below = _limit('exclusiveMaximum');
    if (least != null && value < least) return 'At least $least.';
    if (above != null && value <= above) return 'More than $above.';
    if (most != null && value > most) return 'At most $most.';
    return below != null && value >= below ? 'Less than $below.' : null;
  }

  num? _limit(String keyword) {
    final Object? value = schema[keyword];
    return value is num ? value : null;
  }

  /// Keyboards of many languages have a comma and no point.
  static String _withPoint(String text) => text.contains('.') ? text : text.replaceFirst(',', '.');
}

/// What a field says: a value, nothing, or something that is no value.
class FieldValue {
  const FieldValue(this.value)
      : isAbsent = false,
        complaint = null;

  const FieldValue.absent()
      : value = null,
        isAbsent = true,
        complaint = null;

  const FieldValue.wrong(String this.complaint)
      : value = null,
        isAbsent = true;

  final Object? value;
  final bool isAbsent;
  final String? complaint;
}

/// Returns the fields for an object; null for a schema of another form, which is one field.
///
/// References are looked up in [root].
List<SchemaField>? fieldsOf(Map<String, dynamic> schema, {Map<String, dynamic>? root}) {
  final whole = root ?? schema;
  final plain = _plainOf(schema, whole);
  final properties = JsonObject.asObject(plain?.schema['properties']);
  if (plain == null || properties == null || properties.isEmpty) return null;
  final Object? needed = plain.schema['required'];
  return [
    for (final entry in properties.entries)
      fieldOf(
        entry.key,
        JsonObject.asObject(entry.value) ?? const <String, dynamic>{},
        root: whole,
        isRequired: needed is List<dynamic> && needed.contains(entry.key),
      ),
  ];
}

/// Returns the field for a value. What a form cannot show is written as JSON.
SchemaField fieldOf(
  String name,
  Map<String, dynamic> schema, {
  required Map<String, dynamic> root,
  required bool isRequired,
}) {
  final plain = _plainOf(schema, root);
  final members = plain?.schema ?? schema;
  return SchemaField(
    name: name,
    kind: plain == null ? FieldKind.json : _kindOf(members),
    label: labelOf(name, members),
    schema: members,
    isRequired: isRequired,
    isNullable: plain?.isNullable ?? false,
  );
}

/// `user_id` and `userId` become `User id`, unless the schema has a title.
String labelOf(String name, Map<String, dynamic> schema) {
  final Object? title = schema['title'];
  if (title is String && title.isNotEmpty) return title;
  final words = name
      .replaceAll(RegExp('[_-]+'), ' ')
      .replaceAllMapped(RegExp('([a-z0-9])([A-Z])'), (found) => '${found[1]} ${found[2]}')
      .toLowerCase()
      .trim();
  return words.isEmpty ? name : '${words[0].toUpperCase()}${words.substring(1)}';
}

FieldKind _kindOf(Map<String, dynamic> schema) {
  final Object? choices = schema['enum'];
  if (choices is List<dynamic> && choices.isNotEmpty) return FieldKind.choice;
  return switch (_typeOf(schema)) {
    'string' => FieldKind.text,
    'integer' => FieldKind.integer,
    'number' => FieldKind.number,
    'boolean' => FieldKind.flag,
    _ => FieldKind.json,
  };
}

/// The one type that is not null; null if there are several.
String? _typeOf(Map<String, dynamic> schema) {
  final Object? type = schema['type'];
  if (type is String) return type;
  if (type is! List<dynamic>) return null;
  final others = type.where((Object? each) => each != 'null').toList();
  final Object? only = others.length == 1 ? others.single : null;
  return only is String ? only : null;
}

typedef _Plain = ({Map<String, dynamic> schema, bool isNullable});

const _deepest = 5;

/// Follows references and "this or null"; null for other unions.
_Plain? _plainOf(Map<String, dynamic> schema, Map<String, dynamic> root) {
  var current = schema;
  var isNullable = false;
  for (var step = 0; step < _deepest; step++) {
    final Object? reference = current[r'$ref'];
    final Object? union = current['anyOf'] ?? current['oneOf'];
    if (reference is String) {
      final target = _lookUp(reference, root);
      if (target == null) return null;
      current = {...target, ..._without(current, const {r'$ref'})};
    } else if (union is List<dynamic>) {
      final others = union.where((Object? one) => JsonObject.asObject(one)?['type'] != 'null').toList();
      final only = others.length == 1 ? JsonObject.asObject(others.single) : null;
      if (only == null) return null;
      isNullable = isNullable || others.length < union.length;
      current = {...only, ..._without(current, const {'anyOf', 'oneOf'})};
    } else if (current.keys.any(const {'allOf', 'not', 'if'}.contains)) {
      return null;
    } else {
      final Object? type = current['type'];
      final hasNull = current['nullable'] == true || (type is List<dynamic> && type.contains('null'));
      return (schema: current, isNullable: isNullable || hasNull);
    }
  }
  return null;
}

Map<String, dynamic> _without(Map<String, dynamic> schema, Set<String> names) {
  return {
    for (final entry in schema.entries)
      if (!names.contains(entry.key)) entry.key: entry.value,
  };
}

Map<String, dynamic>? _lookUp(String reference, Map<String, dynamic> root) {
  if (!reference.startsWith('#/')) return null;
  Object? target = root;
  for (final part in reference.substring(2).split('/')) {
    target = JsonObject.asObject(target)?[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  return JsonObject.asObject(target);
}
