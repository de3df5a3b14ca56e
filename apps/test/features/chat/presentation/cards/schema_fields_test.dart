import 'package:agentroute_chat/features/chat/presentation/cards/schema_fields.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  SchemaField field(Map<String, dynamic> schema, {bool isRequired = true}) {
    return fieldsOf({
      'properties': {'x': schema},
      'required': [if (isRequired) 'x'],
    })!
        .single;
  }

  test('each type has its field', () {
    expect(field({'type': 'string'}).kind, FieldKind.text);
    expect(field({'type': 'integer'}).kind, FieldKind.integer);
    expect(field({'type': 'number'}).kind, FieldKind.number);
    expect(field({'type': 'boolean'}).kind, FieldKind.flag);
    expect(field({'type': 'array'}).kind, FieldKind.json);
    expect(field({'enum': ['a', 1]}).choices, ['a', 1]);
    expect(field({'type': 'string', 'title': 'Name'}).label, 'Name');
    expect(fieldsOf({'type': 'string'}), isNull);
  });

  test('what is written becomes a value, or a complaint', () {
    expect(field({'type': 'integer'}).read('42').value, 42);
    expect(field({'type': 'integer'}).read('4.2').complaint, isNotNull);
    expect(field({'type': 'number'}).read('4.2').value, 4.2);
    expect(field({'type': 'array'}).read('[1, 2]').value, [1, 2]);
    expect(field({'type': 'array'}).read('[1,').complaint, isNotNull);
    expect(field({'type': 'string'}).read('').value, '');
    expect(field({'type': 'integer'}).read(' ').complaint, isNotNull);
    expect(field({'type': 'integer'}, isRequired: false).read(' ').isAbsent, isTrue);
  });
}
