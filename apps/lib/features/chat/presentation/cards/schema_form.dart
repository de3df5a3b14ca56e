import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/schema_fields.dart';
import 'package:agentroute_chat/features/chat/presentation/theme.dart';
import 'package:flutter/material.dart';

/// A form for a JSON value, made of its schema. What has no field of its own is written as JSON.
class SchemaForm extends StatefulWidget {
  const SchemaForm({required this.schema, required this.initial, required this.onChanged, super.key});

  final Map<String, dynamic> schema;
  final Object? initial;

  /// Told of the value after each change. It is not valid while something in it is missing, or no such value.
  final void Function(Object? value, {required bool isValid}) onChanged;

  @override
  State<SchemaForm> createState() => _SchemaFormState();
}

class _SchemaFormState extends State<SchemaForm> {
  static const _whole = SchemaField(name: '', kind: FieldKind.json, label: 'Answer (JSON)', isRequired: true);

  late final List<SchemaField> _fields;
  late final bool _isObject;
  late final Map<String, Object?> _initial;
  final Map<String, TextEditingController> _texts = {};

  /// Of switches and choices.
  final Map<String, Object?> _chosen = {};

  @override
  void initState() {
    super.initState();
    final fields = fieldsOf(widget.schema);
    _isObject = fields != null;
    _fields = fields ?? const [_whole];
    final initial = widget.initial;
    _initial = initial is Map<String, dynamic> ? initial : const {};
    for (final field in _fields) {
      final value = _isObject ? _initial[field.name] : initial;
      if (field.kind == FieldKind.flag || field.kind == FieldKind.choice) {
        _chosen[field.name] = field.kind == FieldKind.flag ? value == true : value;
      } else {
        _texts[field.name] = TextEditingController(text: field.textOf(value));
      }
    }
  }

  @override
  void dispose() {
    for (final text in _texts.values) {
      text.dispose();
    }
    super.dispose();
  }

  void _changed() {
    setState(() {});
    final read = {for (final field in _fields) field.name: _read(field)};
    final isValid = read.values.every((one) => one.complaint == null);
    if (!_isObject) {
      widget.onChanged(read[_whole.name]?.value, isValid: isValid);
      return;
    }
    widget.onChanged(
      {
        // Members that the schema does not name stay as they are.
        for (final entry in _initial.entries)
          if (!read.containsKey(entry.key)) entry.key: entry.value,
        for (final entry in read.entries)
          if (!entry.value.isAbsent) entry.key: entry.value.value,
      },
      isValid: isValid,
    );
  }

  FieldValue _read(SchemaField field) {
    final text = _texts[field.name];
    if (text != null) return field.read(text.text);
    final chosen = _chosen[field.name];
    if (chosen != null) return FieldValue(chosen);
    return field.isRequired ? const FieldValue.wrong('Choose one.') : const FieldValue.absent();
  }

  @override
  Widget build(BuildContext context) {
    return Column(
      crossAxisAlignment: CrossAxisAlignment.start,
      children: [
        for (final field in _fields)
          Padding(
            padding: const EdgeInsets.only(top: 12),
            child: switch (field.kind) {
              FieldKind.flag => _flag(field),
              FieldKind.choice => _choice(field),
              _ => _text(field),
            },
          ),
      ],
    );
  }

  Widget _flag(SchemaField field) {
    final description = field.description;
    return SwitchListTile(
      contentPadding: EdgeInsets.zero,
      title: Text(field.label),
      subtitle: description == null ? null : Text(description),
      value: _chosen[field.name] == true,
      onChanged: (value) {
        _chosen[field.name] = value;
        _changed();
      },
    );
  }

  Widget _choice(SchemaField field) {
    return Column(
      crossAxisAlignment: CrossAxisAlignment.start,
      children: [
        Text(field.label, style: Theme.of(context).textTheme.labelLarge),
        Wrap(
          spacing: 8,
          children: [
            for (final choice in field.choices)
              ChoiceChip(
                label: Text('$choice'),
                selected: sameJson(_chosen[field.name], choice),
                onSelected: (_) {
                  _chosen[field.name] = choice;
                  _changed();
                },
              ),
          ],
        ),
      ],
    );
  }

  Widget _text(SchemaField field) {
    final isNumber = field.kind == FieldKind.integer || field.kind == FieldKind.number;
    return TextField(
      controller: _texts[field.name],
      decoration: InputDecoration(
        labelText: field.label,
        helperText: field.description,
        helperMaxLines: 3,
        errorText: _read(field).complaint,
      ),
      style: field.kind == FieldKind.json ? codeStyle(context) : null,
      keyboardType: isNumber
          ? const TextInputType.numberWithOptions(signed: true, decimal: true)
          : TextInputType.multiline,
      minLines: field.kind == FieldKind.json ? 2 : 1,
      maxLines: isNumber ? 1 : 12,
      onChanged: (_) => _changed(),
    );
  }
}
