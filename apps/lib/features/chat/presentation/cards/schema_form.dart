import 'package:agentroute_chat/features/chat/presentation/cards/form_draft.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/schema_fields.dart';
import 'package:agentroute_chat/features/chat/presentation/theme.dart';
import 'package:flutter/material.dart';

/// A form for a JSON value. What has no field of its own is written as JSON.
class SchemaForm extends StatefulWidget {
  const SchemaForm({required this.draft, super.key});

  /// What is written; whoever shows the form keeps it.
  final FormDraft draft;

  @override
  State<SchemaForm> createState() => _SchemaFormState();
}

class _SchemaFormState extends State<SchemaForm> {
  final Map<String, TextEditingController> _texts = {};

  FormDraft get _draft => widget.draft;

  @override
  void initState() {
    super.initState();
    _take();
  }

  @override
  void didUpdateWidget(SchemaForm oldWidget) {
    super.didUpdateWidget(oldWidget);
    if (oldWidget.draft != _draft) _take();
  }

  @override
  void dispose() {
    _letGo();
    super.dispose();
  }

  void _take() {
    _letGo();
    for (final field in _draft.fields) {
      final text = _draft.textOf(field);
      if (text != null) _texts[field.name] = TextEditingController(text: text);
    }
  }

  void _letGo() {
    for (final text in _texts.values) {
      text.dispose();
    }
    _texts.clear();
  }

  @override
  Widget build(BuildContext context) {
    return Column(
      crossAxisAlignment: CrossAxisAlignment.start,
      children: [
        for (final field in _draft.fields)
          Padding(
            padding: const EdgeInsets.only(top: 12),
            child: switch (field.kind) {
              FieldKind.flag when field.isRequired => _switch(field),
              // An optional one says yes, no, or nothing.
              FieldKind.flag => _choice(field, const [true, false]),
              FieldKind.choice => _choice(field, field.choices),
              FieldKind.text || FieldKind.integer || FieldKind.number || FieldKind.json => _text(field),
            },
          ),
      ],
    );
  }

  Widget _switch(SchemaField field) {
    final description = field.description;
    return SwitchListTile(
      contentPadding: EdgeInsets.zero,
      title: Text(field.label),
      subtitle: description == null ? null : Text(description),
      value: _draft.isChosen(field, true),
      onChanged: (value) => setState(() => _draft.choose(field, value)),
    );
  }

  Widget _choice(SchemaField field, List<Object?> choices) {
    final theme = Theme.of(context);
    final description = field.description;
    final complaint = _draft.complaintAbout(field);
    return Column(
      crossAxisAlignment: CrossAxisAlignment.start,
      children: [
        Text(field.label, style: theme.textTheme.labelLarge),
        if (description != null) Text(description, style: theme.textTheme.bodySmall),
        Wrap(
          spacing: 8,
          runSpacing: 4,
          children: [
            for (final choice in choices)
              ChoiceChip(
                label: Text(_wordsOf(field, choice)),
                selected: _draft.isChosen(field, choice),
                onSelected: (isSelected) => setState(() {
                  if (isSelected) {
                    _draft.choose(field, choice);
                  } else {
                    _draft.leaveOut(field);
                  }
                }),
              ),
          ],
        ),
        if (complaint != null)
          Text(complaint, style: theme.textTheme.bodySmall?.copyWith(color: theme.colorScheme.error)),
      ],
    );
  }

  static String _wordsOf(SchemaField field, Object? choice) {
    if (field.kind == FieldKind.flag) return choice == true ? 'Yes' : 'No';
    return choice is String ? choice : shortJson(choice);
  }

  Widget _text(SchemaField field) {
    final isNumber = field.kind == FieldKind.integer || field.kind == FieldKind.number;
    final isJson = field.kind == FieldKind.json;
    return TextField(
      controller: _texts[field.name],
      decoration: InputDecoration(
        labelText: isJson ? '${field.label} (JSON)' : field.label,
        helperText: field.description,
        helperMaxLines: 3,
        errorText: _draft.complaintAbout(field),
        errorMaxLines: 3,
      ),
      style: isJson ? codeStyle(context) : null,
      keyboardType: isNumber
          ? const TextInputType.numberWithOptions(signed: true, decimal: true)
          : TextInputType.multiline,
      // Curly quotes and corrected words are no JSON.
      autocorrect: !isJson,
      enableSuggestions: !isJson,
      smartDashesType: isJson ? SmartDashesType.disabled : null,
      smartQuotesType: isJson ? SmartQuotesType.disabled : null,
      minLines: isJson ? 2 : 1,
      maxLines: isNumber ? 1 : 12,
      onChanged: (text) => setState(() => _draft.write(field, text)),
    );
  }
}
