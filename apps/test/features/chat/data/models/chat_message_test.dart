import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  group('is read, and written as it was:', () {
    const messages = <String, Map<String, dynamic>>{
      'a text of the user': {'id': 'm', 'role': 'user', 'content': 'hello'},
      'parts of the user': {
        'id': 'm',
        'role': 'user',
        'content': [
          {'type': 'text', 'text': 'look', 'id': 'p-1'},
          {
            'type': 'image',
            'source': {'type': 'file', 'value': 'f-1', 'mimeType': 'image/png'},
            'metadata': {'filename': 'a.png', 'url': '/files/f-1'},
          },
          {'type': 'hologram', 'source': 7},
        ],
      },
      'an answer with a call': {
        'id': 'm',
        'role': 'assistant',
        'content': 'Let me see.',
        'toolCalls': [
          {
            'id': 'c-1',
            'type': 'function',
            'function': {'name': 'add', 'arguments': '{"a":1}'},
            'encryptedValue': 'x',
          },
        ],
        'metadata': {'model': 'demo', 'cost': '0.1'},
      },
      'an answer without a text': {
        'id': 'm',
        'role': 'assistant',
        'toolCalls': [
          {
            'id': 'c-1',
            'type': 'function',
            'function': {'name': 'add', 'arguments': ''},
          },
        ],
      },
      'a result': {'id': 'm', 'role': 'tool', 'toolCallId': 'c-1', 'content': '42', 'error': 'e'},
      'a result in parts': {
        'id': 'm',
        'role': 'tool',
        'toolCallId': 'c-1',
        'content': [
          {'type': 'text', 'text': '42'},
        ],
      },
      'reasoning': {'id': 'm', 'role': 'reasoning', 'content': 'Hm.', 'encryptedValue': 'x'},
      'an activity': {
        'id': 'm',
        'role': 'activity',
        'activityType': 'PLAN',
        'content': {'steps': <String>[]},
      },
      'an instruction': {'id': 'm', 'role': 'developer', 'content': 'Be brief.'},
    };
    for (final entry in messages.entries) {
      test(entry.key, () {
        final message = ChatMessage.fromJson(entry.value);
        expect(message, isNot(isA<UnknownMessage>()));
        expect(message.role, entry.value['role']);
        expect(message.toJson(), entry.value);
      });
    }
  });

  group('is unknown, with its JSON, and nothing is thrown:', () {
    for (final (name, value) in <(String, Object?)>[
      ('another role', {'id': 'm', 'role': 'oracle', 'content': 'x'}),
      ('no id', {'role': 'user', 'content': 'x'}),
      ('content that is a number', {'id': 'm', 'role': 'user', 'content': 7}),
      (
        'a call without a function',
        {
          'id': 'm',
          'role': 'assistant',
          'toolCalls': [
            {'id': 'c'},
          ],
        },
      ),
      ('no object', 'hello'),
      ('nothing', null),
    ]) {
      test(name, () {
        final message = ChatMessage.fromJson(value);
        expect(message, isA<UnknownMessage>());
        expect(message.toJson(), value is Map ? value : {'value': value});
      });
    }
  });

  test('attachments and text are found', () {
    final message = ChatMessage.fromJson(const {
      'id': 'm',
      'role': 'user',
      'content': [
        {'type': 'text', 'text': 'one'},
        {
          'type': 'document',
          'source': {'type': 'file', 'value': 'f', 'mimeType': 'application/pdf'},
          'metadata': {'filename': 'bill.pdf', 'url': '/files/f'},
        },
        {'type': 'text', 'text': 'two'},
        {'type': 'image', 'source': 'broken'},
      ],
    }) as UserMessage;
    expect(message.text, 'one\ntwo');
    final media = message.content.media.single;
    expect((media.kind, media.filename, media.url), ('document', 'bill.pdf', '/files/f'));
    expect(message.content.parts.last, isA<UnknownPart>());
  });

  test('metrics have tokens, cost and times', () {
    final message = ChatMessage.fromJson(const {
      'id': 'm',
      'role': 'assistant',
      'content': 'x',
      'metadata': {
        'model': 'demo',
        'inputTokens': 792,
        'outputTokens': 7,
        'cachedInputTokens': 256,
        'cost': '0.000123',
        'currency': 'USD',
        'latencyMs': 1200,
        'ttftMs': 300,
        'finishReason': 'stop',
        'incomplete': true,
      },
    }) as AssistantMessage;
    final metrics = message.metrics;
    expect((metrics.inputTokens, metrics.outputTokens, metrics.cachedInputTokens), (792, 7, 256));
    expect(metrics.cost, '0.000123');
    expect(metrics.latency, const Duration(milliseconds: 1200));
    expect(metrics.ttft, const Duration(milliseconds: 300));
    expect(message.isIncomplete, isTrue);
    expect(const AssistantMessage(id: 'm').metrics.isEmpty, isTrue);
    expect(MessageMetrics.fromMetadata(const {'cost': 1, 'inputTokens': 'many'}).cost, isNull);
  });

  test('a changed message keeps what it does not know', () {
    final message = ChatMessage.fromJson(const {
      'id': 'm',
      'role': 'assistant',
      'content': 'a',
      'later': 1,
    }) as AssistantMessage;
    expect(message.copyWith(content: 'ab').toJson(), {'id': 'm', 'role': 'assistant', 'content': 'ab', 'later': 1});
    expect(message.content, 'a');
  });

  test('how a call went', () {
    const content = MessageContent.ofText('no');
    expect(const ToolMessage(id: 'm', toolCallId: 'c', content: content).state, 'success');
    expect(
      const ToolMessage(id: 'm', toolCallId: 'c', content: content, metadata: {'state': 'denied'}).state,
      'denied',
    );
  });
}
