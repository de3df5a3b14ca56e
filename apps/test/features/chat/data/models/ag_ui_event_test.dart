import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/data/models/agent_route_value.dart';
import 'package:agentroute_chat/features/chat/data/services/sse_parser.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/contract.dart';

void main() {
  group('every event of a recorded stream is known:', () {
    for (final entry in recordedStreams().entries) {
      test(entry.key, () {
        final frames = SseParser().feed(utf8.encode(entry.value.join()));
        for (final frame in frames) {
          final json = jsonDecode(frame.data) as Map<String, dynamic>;
          final event = AgUiEvent.fromJson(json);
          expect(event, isNot(isA<UnknownAgUiEvent>()), reason: frame.data);
          expect(event.type, json['type']);
          expect(event.timestamp, json['timestamp']);
          expect(event.raw, same(json));
        }
      });
    }
  });

  test('an event with all its members', () {
    final event = AgUiEvent.fromJson({
      'type': 'TOOL_CALL_START',
      'toolCallId': 'c-1',
      'toolCallName': 'add',
      'parentMessageId': 'm-1',
      'subagentRunId': 's-1',
      'metadata': {'a': 1},
      'timestamp': 1795363125074.0,
      'later': 'a member of a later version',
    });
    expect(event, isA<ToolCallStartEvent>());
    expect(event.timestamp, 1795363125074);
    expect(event.subagentRunId, 's-1');
    expect(event.metadata, {'a': 1});
    expect(event.raw['later'], isNotNull);
  });

  test('an optional member may be absent or null', () {
    for (final more in [<String, dynamic>{}, <String, dynamic>{'parentMessageId': null, 'metadata': null}]) {
      final event = AgUiEvent.fromJson({'type': 'TOOL_CALL_START', 'toolCallId': 'c', 'toolCallName': 'n', ...more});
      expect((event as ToolCallStartEvent).parentMessageId, isNull);
      expect(event.metadata, isEmpty);
    }
    final start = AgUiEvent.fromJson({'type': 'TEXT_MESSAGE_START', 'messageId': 'm'});
    expect((start as TextMessageStartEvent).role, 'assistant');
  });

  group('is unknown, with its JSON, and nothing is thrown:', () {
    const broken = <String, Map<String, dynamic>>{
      'an unknown type': {'type': 'SOMETHING_NEW', 'value': 1},
      'no type': {'messageId': 'm'},
      'a type that is no text': {'type': 7},
      'a type that is null': {'type': null},
      'a required member that is missing': {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'm'},
      'a required member that is null': {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'm', 'delta': null},
      'a member of another type': {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'm', 'delta': 7},
      'an optional member of another type': {'type': 'TEXT_MESSAGE_START', 'messageId': 'm', 'role': <String>[]},
      'a time that is a text': {'type': 'TEXT_MESSAGE_END', 'messageId': 'm', 'timestamp': 'now'},
      'metadata that are no object': {'type': 'TEXT_MESSAGE_END', 'messageId': 'm', 'metadata': 1},
      'a subagent that is no text': {'type': 'TEXT_MESSAGE_END', 'messageId': 'm', 'subagentRunId': 1},
      'a snapshot that is missing': {'type': 'STATE_SNAPSHOT'},
      'messages that are no list': {'type': 'MESSAGES_SNAPSHOT', 'messages': 'none'},
      'an operation that is no object': {
        'type': 'STATE_DELTA',
        'delta': ['add'],
      },
      'operations that are missing': {'type': 'STATE_DELTA'},
      'content that is a number': {'type': 'TOOL_CALL_RESULT', 'messageId': 'm', 'toolCallId': 'c', 'content': 7},
      'a number without an end': {
        'type': 'RUN_FINISHED',
        'threadId': 't',
        'runId': 'r',
        'usage': [
          {'inputTokens': double.infinity},
        ],
      },
      'a subagent without its id': {'type': 'SUBAGENT_STARTED', 'name': 'n'},
      'a question without an id': {
        'type': 'RUN_FINISHED',
        'threadId': 't',
        'runId': 'r',
        'outcome': {
          'type': 'interrupt',
          'interrupts': [
            {'reason': 'tool_approval'},
          ],
        },
      },
    };
    for (final entry in broken.entries) {
      test(entry.key, () {
        final event = AgUiEvent.fromJson(entry.value);
        expect(event, isA<UnknownAgUiEvent>());
        expect(event.raw, same(entry.value));
        expect(event.isTerminal, entry.value['type'] == 'RUN_FINISHED');
      });
    }
  });

  test('a null is a value of a state and of a custom event', () {
    final snapshot = AgUiEvent.fromJson({'type': 'STATE_SNAPSHOT', 'snapshot': null});
    expect((snapshot as StateSnapshotEvent).snapshot, isNull);
    final custom = AgUiEvent.fromJson({'type': 'CUSTOM', 'name': 'n', 'value': null});
    expect((custom as CustomEvent).value, isNull);
  });

  group('the end of a run:', () {
    RunFinishedEvent finished(Map<String, dynamic> more) {
      final json = {'type': 'RUN_FINISHED', 'threadId': 't', 'runId': 'r', ...more};
      return AgUiEvent.fromJson(json) as RunFinishedEvent;
    }

    test('an absent outcome is a success', () {
      expect(finished({}).outcome.type, RunOutcome.success);
      expect(finished({}).isTerminal, isTrue);
    });

    test('cancelled', () {
      expect(finished({'outcome': {'type': 'cancelled'}}).outcome.type, RunOutcome.cancelled);
    });

    test('cancelled, in the old vocabulary', () {
      final event = AgUiEvent.fromJson({'type': 'RUN_ERROR', 'message': 'Cancelled.', 'code': 'cancelled'});
      expect((event as RunErrorEvent).code, 'cancelled');
      expect(event.isTerminal, isTrue);
    });

    test('client tools wait', () {
      final outcome = finished({
        'outcome': {
          'type': 'success',
          'pendingToolCallIds': ['c-1', 'c-2'],
        },
      }).outcome;
      expect(outcome.pendingToolCallIds, ['c-1', 'c-2']);
    });

    test('an outcome of a later version is kept', () {
      expect(finished({'outcome': {'type': 'paused'}}).outcome.type, 'paused');
    });

    test('questions', () {
      final outcome = finished({
        'outcome': {
          'type': 'interrupt',
          'interrupts': [_approval, _connection],
        },
        'usage': [
          {'provider': 'there', 'model': 'large', 'inputTokens': 101, 'outputTokens': 11, 'totalTokens': 112},
        ],
      }).outcome;
      final [approval, connection] = outcome.interrupts;
      expect(approval.asksApproval, isTrue);
      expect(approval.isEditable, isFalse);
      expect(approval.expiresAt, DateTime.utc(2026, 12, 1, 8, 30, 0, 250));
      expect(approval.isExpired(DateTime.utc(2026, 12, 1, 8, 30)), isFalse);
      expect(approval.isExpired(DateTime.utc(2026, 12, 1, 8, 31)), isTrue);
      expect(connection.asksConnection, isTrue);
      expect(connection.asksApproval, isFalse);
      expect(connection.server, 'github');
      expect(connection.auth, 'oauth');
      expect(connection.url, 'https://login.test');
      expect(connection.toJson(), same(_connection));
    });

    test('tokens', () {
      final usage = finished({
        'usage': [
          {'provider': 'there', 'model': 'large', 'inputTokens': 101, 'outputTokens': 11, 'totalTokens': 112},
        ],
      }).usage.single;
      expect((usage.model, usage.inputTokens, usage.outputTokens, usage.totalTokens), ('large', 101, 11, 112));
    });
  });

  test('the vocabulary before 1.0', () {
    final types = [
      for (final json in <Map<String, dynamic>>[
        {'type': 'THINKING_START', 'title': 'Hm'},
        {'type': 'THINKING_TEXT_MESSAGE_START'},
        {'type': 'THINKING_TEXT_MESSAGE_CONTENT', 'delta': 'x'},
        {'type': 'THINKING_TEXT_MESSAGE_END'},
        {'type': 'THINKING_END'},
      ])
        AgUiEvent.fromJson(json).runtimeType,
    ];
    expect(types, [
      ThinkingStartEvent,
      ThinkingTextMessageStartEvent,
      ThinkingTextMessageContentEvent,
      ThinkingTextMessageEndEvent,
      ThinkingEndEvent,
    ]);
  });

  group('values of AgentRoute\'s own:', () {
    AgentRouteValue? value(String name, Object? value) {
      return AgentRouteValue.of(CustomEvent(name: 'agentroute.$name', value: value));
    }

    test('what a run was asked', () {
      final input = value('input', {
        'runId': 'r-2',
        'messages': [
          {'id': 'm-3', 'role': 'user', 'content': 'what is 6*8'},
        ],
        'regenerateFrom': 'm-2',
      });
      expect((input! as RunInputValue).messages.single.text, 'what is 6*8');
      expect((input as RunInputValue).regenerateFrom, 'm-2');
    });

    test('older messages', () {
      final older = value('history', {'hasMore': true, 'nextBefore': 'm-1'});
      expect((older! as OlderMessagesValue).nextBefore, 'm-1');
    });

    test('the model is asked again', () {
      final retrying = value('retrying', {'attempt': 1, 'delayMs': 500, 'code': 'model-timeout'});
      expect((retrying! as RetryingValue).delay, const Duration(milliseconds: 500));
    });

    test('how far a call is', () {
      final progress = value('tool-progress', {'toolCallId': 'c', 'progress': 3, 'total': 4});
      expect((progress! as ToolProgressValue).fraction, 0.75);
      final without = value('tool-progress', {'toolCallId': 'c', 'message': 'soon'});
      expect((without! as ToolProgressValue).fraction, isNull);
      for (final (part, all, fraction) in <(num, num, double?)>[
        (double.infinity, double.infinity, null),
        (double.infinity, 4, 1),
        (-1, 4, 0),
        (1, 0, null),
      ]) {
        final told = ToolProgressValue(toolCallId: 'c', progress: part, total: all);
        expect(told.fraction, fraction, reason: '$part of $all');
      }
    });

    test('what a search found', () {
      final sources = value('sources', {
        'query': 'return shoes',
        'toolCallId': 'call-1',
        'sources': [
          {'number': 1, 'title': 'Returns', 'url': '/help/returns', 'score': 2.0, 'snippet': 'You can.'},
        ],
      });
      expect((sources! as SourcesValue).sources.single.title, 'Returns');
      final failed = value('sources', {
        'query': 'q',
        'sources': <Object>[],
        'error': {'code': 'retrieval-failed', 'message': 'Away.'},
      });
      expect((failed! as SourcesValue).errorCode, 'retrieval-failed');
    });

    test('media, in pieces that are base64 each', () {
      final media = value('data', {
        'mediaType': 'image/png',
        'data': [
          base64.encode([1]),
          base64.encode([2, 3]),
        ],
      });
      expect((media! as MediaValue).bytes, [1, 2, 3]);
      final broken = value('data', {
        'mediaType': 'image/png',
        'data': ['?'],
      });
      expect((broken! as MediaValue).bytes, isNull);
      final large = value('data', {'mediaType': 'image/png', 'omittedBytes': 9});
      expect((large! as MediaValue).omittedBytes, 9);
    });

    test('what is not known is null', () {
      expect(value('later', <String, dynamic>{}), isNull);
      expect(value('input', 'no object'), isNull);
      expect(value('tool-progress', <String, dynamic>{}), isNull);
      expect(AgentRouteValue.of(const CustomEvent(name: 'mine', value: 1)), isNull);
    });
  });
}

const Map<String, dynamic> _approval = {
  'id': 'int-1',
  'reason': 'tool_approval',
  'message': 'Run pay?',
  'toolCallId': 'c-1',
  'responseSchema': {
    'type': 'object',
    'properties': {
      'approved': {'type': 'boolean'},
    },
  },
  'expiresAt': '2026-12-01T08:30:00.250000Z',
};

const Map<String, dynamic> _connection = {
  'id': 'int-2',
  'reason': 'connection_required',
  'message': 'Connect your account.',
  'metadata': {'server': 'github', 'auth': 'oauth', 'url': 'https://login.test'},
};
