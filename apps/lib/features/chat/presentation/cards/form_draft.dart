import 'package:agentroute_chat/features/chat/domain/json_patch.dart' show sameJson;
import 'package:agentroute_chat/features/chat/presentation/cards/schema_fields.dart';

/// What is written in a form for a JSON value. It outlives the widgets of the form: a card that is scrolled away is
/// gone, and what was written in it is not.
class FormDraft {
  /// [initial] is the value that is to be changed. A form without one begins with the defaults of the schema.
  ///
  /// References of the [schema] are looked up in [root]. With [mustBeObject] no other value is taken.
  FormDraft({
    required Map<String, dynamic> schema,
    Map<String, dynamic>? root,
    Map<String, dynamic>? initial,
    this.mustBeObject = false,
  })  : _initial = initial,
        _members = fieldsOf(schema, root: root),
        _whole = fieldOf(
          '',
          {'title': mustBeObject ? 'JSON object' : 'Your answer', ...schema},
          root: root ?? schema,
          isRequired: true,
        ) {
    for (final field in fields) {
      final start = _startOf(field);
      _starts[field.name] = start;
      if (field.kind == FieldKind.flag || field.kind == FieldKind.choice) {
        if (!start.isAbsent) _chosen[field.name] = start.value;
      } else {
        _texts[field.name] = start.isAbsent ? '' : field.textOf(start.value);
      }
    }
    _firstTexts.addAll(_texts);
  }

  final bool mustBeObject;
  final Map<String, dynamic>? _initial;
  final List<SchemaField>? _members;
  final SchemaField _whole;
  final Map<String, FieldValue> _starts = {};
  final Map<String, String> _texts = {};
  final Map<String, String> _firstTexts = {};

  /// Of switches and choices; one that says nothing is not in it.
  final Map<String, Object?> _chosen = {};

  /// Whether the user wanted to send it: from then on everything that is missing is told.
  bool isTried = false;

  late final List<SchemaField> fields = _members ?? [_whole];

  /// What is written in a field; null for one in which nobody writes.
  String? textOf(SchemaField field) => _texts[field.name];

  void write(SchemaField field, String text) => _texts[field.name] = text;

  bool isChosen(SchemaField field, Object? choice) {
    return _chosen.containsKey(field.name) && sameJson(_chosen[field.name], choice);
  }

  void choose(SchemaField field, Object? choice) => _chosen[field.name] = choice;

  /// Takes a choice back. What is needed stays chosen.
  void leaveOut(SchemaField field) {
    if (!field.isRequired) _chosen.remove(field.name);
  }

  /// What is wrong with a field that the user has touched, or wanted to send.
  String? complaintAbout(SchemaField field) {
    return isTried || _texts[field.name] != _firstTexts[field.name] ? _valueOf(field).complaint : null;
  }

  /// The whole value, or the first complaint.
  FieldValue read() {
    final found = {for (final field in fields) field.name: _valueOf(field)};
    final complaint = found.values.map((value) => value.complaint).nonNulls.firstOrNull;
    if (complaint != null) return FieldValue.wrong(complaint);
    if (_members == null) return found.values.single;
    final initial = _initial ?? const <String, dynamic>{};
    return FieldValue(<String, dynamic>{
      // Members that the schema does not name stay as they are.
      for (final entry in initial.entries)
        if (!found.containsKey(entry.key)) entry.key: entry.value,
      for (final entry in found.entries)
        if (!entry.value.isAbsent) entry.key: entry.value.value,
    });
  }

  FieldValue _valueOf(SchemaField field) {
    final text = _texts[field.name];
    if (text == null) {
      if (_chosen.containsKey(field.name)) return FieldValue(_chosen[field.name]);
      return field.isRequired ? const FieldValue.wrong('Choose one.') : const FieldValue.absent();
    }
    final start = _starts[field.name];
    // What nobody has touched stays what it was, to the letter.
    final isUntouched = start != null && !start.isAbsent && text == _firstTexts[field.name];
    final value = isUntouched ? start : field.read(text);
    final isOther = mustBeObject && _members == null && value.complaint == null && value.value is! Map<String, dynamic>;
    return isOther ? const FieldValue.wrong('Write a JSON object.') : value;
  }

  FieldValue _startOf(SchemaField field) {
    final initial = _initial;
    if (initial == null) return field.start;
    if (_members == null) return FieldValue(initial);
    if (initial.containsKey(field.name)) return FieldValue(initial[field.name]);
    // An argument that the agent left out stays left out, until the user writes it.
    return field.kind == FieldKind.flag && field.isRequired ? field.start : const FieldValue.absent();
  }
}
