import 'package:agentroute_chat/features/chat/presentation/cards/form_draft.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/schema_fields.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  const schema = {
    'type': 'object',
    'properties': {
      'city': {'type': 'string', 'default': 'Paris'},
      'days': {'type': 'integer', 'default': 3},
      'unit': {
        'enum': ['C', 'F'],
        'default': 'C',
      },
      'isExact': {'type': 'boolean', 'default': true},
      'note': {'type': 'string'},
      'isUrgent': {'type': 'boolean'},
    },
  };

  SchemaField field(FormDraft draft, String name) => draft.fields.singleWhere((field) => field.name == name);

  test('a form begins with the defaults of its schema, and can be sent untouched', () {
    expect(FormDraft(schema: schema).read().value, {'city': 'Paris', 'days': 3, 'unit': 'C', 'isExact': true});
  });

  test('changed arguments have no defaults: what the agent left out stays left out', () {
    final draft = FormDraft(schema: schema, initial: {'city': '', 'more': null});
    expect(draft.read().value, {'city': '', 'more': null});
    draft
      ..write(field(draft, 'days'), '5')
      ..choose(field(draft, 'isUrgent'), false);
    expect(draft.read().value, {'city': '', 'more': null, 'days': 5, 'isUrgent': false});
    draft
      ..write(field(draft, 'days'), '')
      ..leaveOut(field(draft, 'isUrgent'));
    expect(draft.read().value, {'city': '', 'more': null});
  });

  test('what is missing is told when the user wants to send', () {
    final draft = FormDraft(
      schema: {
        'properties': {
          'days': {'type': 'integer'},
          'unit': {
            'enum': ['C', null],
          },
        },
        'required': ['days', 'unit'],
      },
    );
    final days = field(draft, 'days');
    final unit = field(draft, 'unit');
    expect(draft.complaintAbout(days), isNull, reason: 'nobody has written yet');
    expect(draft.isChosen(unit, null), isFalse, reason: 'nothing is chosen, which is not null');
    draft.isTried = true;
    expect(draft.complaintAbout(days), 'Fill this in.');
    expect(draft.complaintAbout(unit), 'Choose one.');
    draft
      ..write(days, '2')
      ..choose(unit, null)
      ..leaveOut(unit);
    expect(draft.read().value, {'days': 2, 'unit': null}, reason: 'what is needed cannot be left out');
  });

  test('an answer that is no object has one field, and may be null', () {
    final text = FormDraft(schema: {'type': 'string'});
    text.write(text.fields.single, 'Ada');
    expect(text.read().value, 'Ada');
    final any = FormDraft(schema: {'description': 'anything'});
    expect(any.read().complaint, isNotNull);
    any.write(any.fields.single, 'null');
    expect((any.read().complaint, any.read().isAbsent, any.read().value), (null, false, null));
  });
}
