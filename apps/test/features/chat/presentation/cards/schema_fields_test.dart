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

  test('references and "this or null" are followed', () {
    final fields = fieldsOf({
      r'$defs': {
        'Size': {'type': 'integer', 'minimum': 1},
      },
      'properties': {
        'size': {r'$ref': r'#/$defs/Size'},
        'user_name': {
          'anyOf': [
            {'type': 'string'},
            {'type': 'null'},
          ],
        },
        'other': {
          'anyOf': [
            {'type': 'string'},
            {'type': 'integer'},
          ],
        },
      },
      'required': ['size', 'user_name'],
    })!;
    final [size, name, other] = fields;
    expect((size.kind, size.read('0').complaint, size.read('2').value), (FieldKind.integer, 'At least 1.', 2));
    expect((name.kind, name.label, name.isNullable), (FieldKind.text, 'User name', true));
    expect((name.read('').isAbsent, name.read('').value), (false, null), reason: 'it is needed, and may be null');
    expect(other.kind, FieldKind.json);
  });

  test('what is written becomes a value, or a complaint', () {
    expect(field({'type': 'integer'}).read('42').value, 42);
    expect(field({'type': 'integer'}).read('4.2').complaint, isNotNull);
    expect(field({'type': 'number'}).read('4.2').value, 4.2);
    expect(field({'type': 'number'}).read('4,2').value, 4.2, reason: 'many keyboards have no point');
    expect(field({'type': 'integer'}).read('0x1F').complaint, isNotNull);
    expect(field({'type': 'string', 'minLength': 2}).read('a').complaint, 'At least 2 characters.');
    expect(field({'type': 'array'}).read('[1e999]').complaint, isNotNull, reason: 'it cannot be sent');
    expect(field({}).read('null').complaint, isNull);
    expect(field({'type': 'array'}).read('[1, 2]').value, [1, 2]);
    expect(field({'type': 'array'}).read('[1,').complaint, isNotNull);
    expect(field({'type': 'string'}).read('').value, '');
    expect(field({'type': 'integer'}).read(' ').complaint, isNotNull);
    expect(field({'type': 'integer'}, isRequired: false).read(' ').isAbsent, isTrue);
  });
}
