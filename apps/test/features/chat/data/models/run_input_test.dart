import 'dart:convert';
import 'dart:math';

import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('a message of the user', () {
    final input = RunInput.message(
      threadId: 't-1',
      runId: 'r-1',
      messageId: 'm-1',
      content: const MessageContent.ofText('hello'),
      tools: const [
        ClientTool(name: 'where', description: 'Where the phone is.', parameters: {'type': 'object'}),
      ],
      options: const RunOptions(onBusy: 'enqueue'),
    );
    expect(jsonDecode(jsonEncode(input.toJson())), {
      'threadId': 't-1',
      'runId': 'r-1',
      'protocolVersion': '1.0',
      'messages': [
        {'id': 'm-1', 'role': 'user', 'content': 'hello'},
      ],
      'tools': [
        {
          'name': 'where',
          'description': 'Where the phone is.',
          'parameters': {'type': 'object'},
        },
      ],
      'context': <Object>[],
      'forwardedProps': {'onBusy': 'enqueue', 'messagesSnapshot': 'never'},
    });
  });

  test('ids are made once, so that the same input can be sent again', () {
    final input = RunInput.message(threadId: 't', content: const MessageContent.ofText('x'));
    expect(jsonEncode(input.toJson()), jsonEncode(input.toJson()));
    final other = RunInput.message(threadId: 't', content: const MessageContent.ofText('x'));
    expect(input.runId, isNot(other.runId));
    expect(input.messages.single.id, isNot(other.messages.single.id));
  });

  test('an id has the form that the service takes', () {
    final pattern = RegExp(r'^run-[0-9a-f]{32}$');
    for (var seed = 0; seed < 50; seed++) {
      expect(newId('run', random: Random(seed)), matches(pattern));
    }
  });

  test('results of the app\'s own tools', () {
    final input = RunInput.toolResults(threadId: 't', results: {'c-1': '{"lat":1}'});
    final message = input.toJson()['messages'] as List<dynamic>;
    expect(message.single, containsPair('toolCallId', 'c-1'));
    expect(message.single, containsPair('role', 'tool'));
    expect(message.single, containsPair('content', '{"lat":1}'));
  });

  test('a new answer', () {
    final json = RunInput.regenerate(threadId: 't', messageId: 'm-2').toJson();
    expect(json['forwardedProps'], containsPair('regenerateFrom', 'm-2'));
    expect(json['messages'], isEmpty);
  });

  test('answers to questions', () {
    expect(ResumeAnswer.approve('i').toJson(), {
      'interruptId': 'i',
      'status': 'resolved',
      'payload': {'approved': true},
    });
    expect(const ResumeAnswer.decline('i').toJson(), {'interruptId': 'i', 'status': 'cancelled'});
    expect(const ResumeAnswer.resolve('i').toJson(), {'interruptId': 'i', 'status': 'resolved'});
    expect(const ResumeAnswer.resolve('i', payload: false).toJson(), containsPair('payload', false));
  });
}
