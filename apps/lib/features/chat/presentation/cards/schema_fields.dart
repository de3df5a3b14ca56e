/// The fields of a form, from a JSON Schema. Pure.
library;

import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';

enum FieldKind { text, integer, number, flag, choice, json }

class SchemaField {
  const SchemaField({
    required this.name,
    required this.kind,
    required this.label,
    this.description,
    this.choices = const [],
    this.isRequired = false,
  });

  final String name;
  final FieldKind kind;
  final String label;
  final String? description;
  final List<Object?> choices;
  final bool isRequired;

  /// The text that a field begins with.
  String textOf(Object? value) {
    if (value == null) return '';
    return kind == FieldKind.json ? prettyJson(value) : '$value';
  }

  /// Reads what was written. A text that is no such value is a complaint.
  FieldValue read(String text) {
    if (text.trim().isEmpty) {
      if (!isRequired) return const FieldValue.absent();
      return kind == FieldKind.text ? FieldValue(text) : const FieldValue.wrong('Fill this in.');
    }
    switch (kind) {
      case FieldKind.integer:
        final value = int.tryParse(text.trim());
        return value == null ? const FieldValue.wrong('Write a whole number.') : FieldValue(value);
      case FieldKind.number:
        final value = num.tryParse(text.trim());
        return value == null || !value.isFinite ? const FieldValue.wrong('Write a number.') : FieldValue(value);
      case FieldKind.json:
        final value = parsedJson(text);
        final isNull = text.trim() == 'null';
        return value == null && !isNull ? const FieldValue.wrong('Write valid JSON.') : FieldValue(value);
      case FieldKind.text || FieldKind.flag || FieldKind.choice:
        return FieldValue(text);
    }
  }
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

/// Returns the fields for an object; null for a schema of another form, which is written as JSON.
List<SchemaField>? fieldsOf(Map<String, dynamic> schema) {
  final properties = JsonObject.asObject(schema['properties']);
  if (properties == null || properties.isEmpty) return null;
  final Object? needed = schema['required'];
  return [
    for (final MapEntry<String, Object?> entry in properties.entries)
      _fieldOf(
        entry.key,
        JsonObject.asObject(entry.value) ?? const <String, dynamic>{},
        isRequired: needed is List && needed.contains(entry.key),
      ),
  ];
}

SchemaField _fieldOf(String name, Map<String, dynamic> schema, {required bool isRequired}) {
  final Object? choices = schema['enum'];
  final Object? type = schema['type'];
  final Object? title = schema['title'];
  final Object? description = schema['description'];
  return SchemaField(
    name: name,
    kind: choices is List && choices.isNotEmpty ? FieldKind.choice : _kindOf(type),
    label: title is String && title.isNotEmpty ? title : name,
    description: description is String && description.isNotEmpty ? description : null,
    choices: choices is List ? choices : const [],
    isRequired: isRequired,
  );
}

FieldKind _kindOf(Object? type) {
  return switch (type) {
    'string' => FieldKind.text,
    'integer' => FieldKind.integer,
    'number' => FieldKind.number,
    'boolean' => FieldKind.flag,
    _ => FieldKind.json,
  };
}
