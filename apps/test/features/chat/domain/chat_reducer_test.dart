import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/domain/chat_cursor.dart';
import 'package:agentroute_chat/features/chat/domain/chat_reducer.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/domain/json_patch.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../support/vectors.dart';

void main() {
  group('the vectors of the contract', () {
    for (final vector in Vector.all()) {
      test('${vector.name}: the state after every event', () => _eachEvent(vector));
      test('${vector.name}: an app holds what history says', () => _history(vector));
      test('${vector.name}: a cut anywhere, with what is told again', () => _cuts(vector));
    }
  });

  group('the messages of a run are those that the service makes of it', () {
    for (final run in RecordedRun.all()) {
      test(run.name, () => _recorded(run));
    }
  });

  test('supports run/text/tool event sequence', () {
    final state = _reduced([
      {'type': 'RUN_STARTED', 'threadId': 't', 'runId': 'r'},
      {'type': 'TEXT_MESSAGE_START', 'messageId': 'm', 'role': 'assistant'},
      {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'm', 'delta': 'Let me '},
      {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'm', 'delta': 'see.'},
      {'type': 'TOOL_CALL_START', 'toolCallId': 'c', 'toolCallName': 'calculate', 'parentMessageId': 'm'},
      {'type': 'TOOL_CALL_ARGS', 'toolCallId': 'c', 'delta': '{"expression":"6*7"}'},
      {'type': 'TOOL_CALL_END', 'toolCallId': 'c'},
      {'type': 'TEXT_MESSAGE_END', 'messageId': 'm'},
      {'type': 'TOOL_CALL_RESULT', 'messageId': 'n', 'toolCallId': 'c', 'content': '42'},
      {'type': 'RUN_FINISHED', 'threadId': 't', 'runId': 'r'},
    ]);

    expect(state.message('m')?.text, 'Let me see.');
    expect(state.toolCall('c')?.arguments, '{"expression":"6*7"}');
    expect(state.resultOf('c')?.text, '42');
    expect(state.callStatus('c'), CallStatus.done);
    expect(state.status, RunStatus.succeeded);
    expect(state.open, isEmpty);
  });

  test('pieces without a start build messages and calls', () {
    final state = _reduced([
      {'type': 'REASONING_MESSAGE_CHUNK', 'messageId': '1', 'delta': 'h'},
      {'type': 'REASONING_MESSAGE_CHUNK', 'delta': 'm'},
      {'type': 'TEXT_MESSAGE_CHUNK', 'delta': 'lost: it belongs to nothing'},
      {'type': 'TEXT_MESSAGE_CHUNK', 'messageId': '2', 'role': 'assistant', 'delta': 'He'},
      {'type': 'TEXT_MESSAGE_CHUNK', 'delta': 'llo'},
      {'type': 'TOOL_CALL_CHUNK', 'toolCallId': 'c', 'toolCallName': 'f', 'parentMessageId': '2', 'delta': '{'},
      {'type': 'TOOL_CALL_CHUNK', 'delta': '}'},
    ]);

    expect([for (final message in state.messages) message.text], ['hm', 'Hello']);
    expect(state.toolCall('c')?.arguments, '{}');
    expect(state.callStatus('c'), CallStatus.writing);
  });

  test('what is not known and what does not fit change nothing', () {
    final state = _reduced([
      {'type': 'RUN_STARTED', 'threadId': 't', 'runId': 'r'},
      {'type': 'STATE_SNAPSHOT', 'snapshot': {'n': 1}},
    ]);

    for (final event in <Json>[
      {'type': 'A_TYPE_OF_THE_FUTURE'},
      {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'nobody began it', 'delta': 'x'},
      {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 1},
      {'type': 'TOOL_CALL_ARGS', 'toolCallId': 'nobody began it', 'delta': 'x'},
      {
        'type': 'STATE_DELTA',
        'delta': [
          {'op': 'remove', 'path': '/nothing'},
        ],
      },
      {'type': 'CUSTOM', 'name': 'agentroute.input', 'value': 'broken'},
      {'type': 'CUSTOM', 'name': 'agentroute.subagent', 'value': null},
      {'type': 'THINKING_TEXT_MESSAGE_CONTENT', 'delta': 'x'},
      {'type': 'RAW', 'event': <String, dynamic>{}},
    ]) {
      expect(_json(reduce(state, AgUiEvent.fromJson(event))), _json(state), reason: '$event');
    }
  });

  test('a run ends, whatever is broken in its last event', () {
    for (final (event, status) in <(Json, RunStatus)>[
      ({'type': 'RUN_FINISHED', 'outcome': 'broken'}, RunStatus.succeeded),
      ({'type': 'RUN_ERROR'}, RunStatus.failed),
      ({'type': 'RUN_ERROR', 'message': 'no', 'code': 'cancelled'}, RunStatus.cancelled),
    ]) {
      final state = _reduced([
        {'type': 'RUN_STARTED', 'threadId': 't', 'runId': 'r'},
        {'type': 'TOOL_CALL_START', 'toolCallId': 'c', 'toolCallName': 'f'},
        event,
      ]);
      expect(state.status, status);
      expect(state.callStatus('c'), CallStatus.stopped);
    }
  });

  test('a cursor is behind another', () {
    for (final (cursor, last, expected) in [
      ('1-1', null, false),
      ('1-1', '1-1', true),
      ('1-9', '1-10', true),
      ('2-1', '1-10', false),
      ('3-17.2', '3-17', true),
      ('3-17.1', '3-17.2', false),
      ('3-17', '3-17.1', false),
      ('of the future', '1-1', false),
      ('${'9' * 40}-1', '1-1', false),
      ('1-1', '${'9' * 40}-1', false),
    ]) {
      expect(isBehind(cursor, last), expected, reason: '$cursor $last');
    }
  });
}

void _eachEvent(Vector vector) {
  var state = const ChatState();
  Object? expected = _json(state);
  for (final step in vector.steps) {
    if (step.holdsNothing) expected = _json(const ChatState());
    state = step.begin(state);
    expected = changed(expected, step.begins);
    expect(sameJson(_json(state), expected), isTrue, reason: '${step.name}: ${jsonEncode(state.toJson())}');
    for (final frame in step.stream) {
      final envelope = frame.envelope;
      if (envelope != null) state = receive(state, envelope);
      expected = changed(expected, frame.changes);
      expect(
        sameJson(_json(state), expected),
        isTrue,
        reason: '${envelope?.cursor} ${envelope?.event}: ${jsonEncode(state.toJson())}',
      );
    }
  }
}

void _history(Vector vector) {
  var state = const ChatState();
  for (final step in vector.steps) {
    state = _after(step.begin(state), _told(step));
    if (step.name != 'history') continue;
    final told = opened(step.answer);
    for (final member in ['threadId', 'messages', 'interrupts', 'sharedState']) {
      expect(sameJson(_json(state)[member], _json(told)[member]), isTrue, reason: '$member: ${state.toJson()[member]}');
    }
  }
  expect(vector.steps.last.name, 'history');
}

void _cuts(Vector vector) {
  var state = const ChatState();
  for (final step in vector.steps) {
    final before = step.begin(state);
    final told = _told(step);
    state = _after(before, told);
    for (var cut = 0; cut < told.length; cut++) {
      // What is told again behind a broken line: nothing, the last three events, or all of them.
      for (final again in {cut, cut < 3 ? 0 : cut - 3, 0}) {
        final resumed = _after(_after(before, told.sublist(0, cut)), told.sublist(again));
        expect(sameJson(_json(resumed), _json(state)), isTrue, reason: '${step.name}: $cut, again from $again');
      }
    }
  }
}

void _recorded(RecordedRun run) {
  // History has the conversation before; here a run alone is looked at.
  final own = run.told.where((each) => each.event is! MessagesSnapshotEvent).toList();
  final state = _after(const ChatState(), own);
  final messages = (_json(state)['messages'] as List<dynamic>).cast<Json>();

  expect(sameJson(_inOrder(messages), _inOrder(run.messages)), isTrue, reason: jsonEncode(messages));
  expect(sameJson(_json(_after(state, own)), _json(state)), isTrue);
}

/// The results of calls that are not there, whose place is anywhere; and the others.
List<List<Json>> _inOrder(List<Json> messages) {
  final calls = {
    for (final message in messages)
      for (final Object? call in message['toolCalls'] as List<dynamic>? ?? const <dynamic>[]) (call! as Json)['id'],
  };
  bool isOrphan(Json message) => message['role'] == 'tool' && !calls.contains(message['toolCallId']);
  return [
    messages.where(isOrphan).toList(),
    messages.where((message) => !isOrphan(message)).toList(),
  ];
}

List<AgUiEnvelope> _told(VectorStep step) {
  return [for (final frame in step.stream) frame.envelope].nonNulls.toList();
}

ChatState _after(ChatState state, List<AgUiEnvelope> told) => told.fold(state, receive);

ChatState _reduced(List<Json> events) {
  return events.fold(const ChatState(), (state, event) => reduce(state, AgUiEvent.fromJson(event)));
}

/// The state as a file has it.
Json _json(ChatState state) => jsonDecode(jsonEncode(state.toJson())) as Json;
