import 'dart:async';
import 'dart:convert';
import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/data/services/api_client.dart';
import 'package:agentroute_chat/features/chat/data/services/http_ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/fake_http.dart';

void main() {
  final pauses = <int>[];

  setUp(pauses.clear);

  HttpAgUiService serviceOf(
    FakeHttp http, {
    TokenProvider? token,
    Patience? patience,
    Clock clock = DateTime.now,
    Duration silence = const Duration(seconds: 45),
  }) {
    return HttpAgUiService(
      address: 'http://chat.test',
      token: token,
      patience: patience ?? Patience(random: () => 1),
      openClient: http.open,
      clock: clock,
      sleep: (pause) async => pauses.add(pause.inMilliseconds),
      silence: silence,
    );
  }

  group('a run', () {
    test('supports run/text/tool event sequence', () async {
      final events = [
        {'type': 'RUN_STARTED', 'threadId': 't-1', 'runId': 'r-1', 'protocolVersion': '1.0', 'timestamp': 1},
        {'type': 'STEP_STARTED', 'stepName': 'execution', 'timestamp': 2},
        {'type': 'TEXT_MESSAGE_START', 'messageId': 'm-2', 'role': 'assistant', 'timestamp': 3},
        {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'm-2', 'delta': 'Let me sée.', 'timestamp': 4},
        {'type': 'TOOL_CALL_START', 'toolCallId': 'c-1', 'toolCallName': 'add', 'parentMessageId': 'm-2'},
        {'type': 'TOOL_CALL_ARGS', 'toolCallId': 'c-1', 'delta': '{"a":1}'},
        {'type': 'TOOL_CALL_END', 'toolCallId': 'c-1'},
        {'type': 'TEXT_MESSAGE_END', 'messageId': 'm-2', 'metadata': {'model': 'demo', 'outputTokens': 7}},
        {'type': 'TOOL_CALL_RESULT', 'messageId': 'm-3', 'toolCallId': 'c-1', 'content': '42', 'role': 'tool'},
        {'type': 'STEP_FINISHED', 'stepName': 'execution'},
        {'type': 'RUN_FINISHED', 'threadId': 't-1', 'runId': 'r-1', 'outcome': {'type': 'success'}},
      ];
      final text = StringBuffer('retry: 2000\n\n');
      for (final (index, event) in events.indexed) {
        text
          ..write(frame('1-${index + 1}', event))
          ..write(': hb\n\n');
      }
      // Every size of pieces: the borders fall into the middle of frames, and of the é.
      for (final size in [1, 7, 64, 1 << 20]) {
        final http = FakeHttp([_accepted(), sse('$text', size: size)]);
        final links = <LinkState>[];
        final envelopes = await serviceOf(http).run(_hello(), onLink: links.add).toList();
        expect([for (final envelope in envelopes) envelope.event.type], [for (final event in events) event['type']]);
        expect([for (final envelope in envelopes) envelope.cursor], [for (var n = 1; n <= 11; n++) '1-$n']);
        expect((envelopes[3].event as TextMessageContentEvent).delta, 'Let me sée.');
        expect((envelopes[4].event as ToolCallStartEvent).parentMessageId, 'm-2');
        expect((envelopes[8].event as ToolCallResultEvent).content.text, '42');
        expect((envelopes[10].event as RunFinishedEvent).outcome.type, RunOutcome.success);
        expect(links, [LinkState.connecting, LinkState.live, LinkState.ended]);
        expect(http.requests[0].path, '/api/v1/agent/runs');
        expect(http.requests[0].headers['Content-Type'], startsWith('application/json'));
        expect(http.requests[1].url.queryParameters, {'threadId': 't-1', 'runId': 'r-1', 'cursor': '1-0'});
      }
    });

    test('is sent again with the same body after a lost answer', () async {
      final http = FakeHttp([noAnswer(), noAnswer(), _accepted()]);
      final accepted = await serviceOf(http).start(_hello());
      expect(accepted.runId, 'r-1');
      expect({for (final request in http.requests) request.body}, hasLength(1));
      expect(http.requests[0].json['runId'], 'r-1');
      expect(pauses, [500, 1000]);
    });

    test('with answers goes to /resume', () async {
      final http = FakeHttp([_accepted()]);
      final input = RunInput.answers(
        threadId: 't-1',
        runId: 'r-1',
        answers: [ResumeAnswer.approve('int-1', arguments: {'amount': 5}), const ResumeAnswer.decline('int-2')],
      );
      await serviceOf(http).start(input);
      expect(http.requests.single.path, '/api/v1/agent/resume');
      expect(http.requests.single.json['resume'], [
        {
          'interruptId': 'int-1',
          'status': 'resolved',
          'payload': {
            'approved': true,
            'input': {'amount': 5},
          },
        },
        {'interruptId': 'int-2', 'status': 'cancelled'},
      ]);
    });

    test('that is refused tells the problem, and is not sent again', () async {
      final http = FakeHttp([problem(409, 'run-active', retryable: true, headers: {'retry-after': '1'})]);
      await expectLater(serviceOf(http).start(_hello()), throwsA(_problem('run-active', 409)));
      expect(http.requests, hasLength(1));
    });

    test('that is refused ends its stream with the problem', () async {
      final http = FakeHttp([problem(409, 'interrupt-open')]);
      await expectLater(
        serviceOf(http).run(_hello()),
        emitsInOrder([emitsError(_problem('interrupt-open', 409)), emitsDone]),
      );
    });
  });

  group('a stream', () {
    test('that is closed in order without a last event goes on at its cursor', () async {
      final http = FakeHttp([sse('retry: 700\n\n${_text('1-1')}'), sse(_text('1-2') + _end('1-3'))]);
      final links = <LinkState>[];
      final stream = serviceOf(http).followRun(threadId: 't-1', runId: 'r-1', onLink: links.add);
      expect(await _cursors(stream), ['1-1', '1-2', '1-3']);
      expect(http.requests[0].url.queryParameters.containsKey('cursor'), isFalse);
      expect(http.requests[1].url.queryParameters['cursor'], '1-1');
      expect(pauses, [700]);
      expect(links, [
        LinkState.connecting,
        LinkState.live,
        LinkState.reconnecting,
        LinkState.live,
        LinkState.ended,
      ]);
    });

    test('that breaks in the middle of an event tells the event once', () async {
      final http = FakeHttp([
        sseThatBreaks('${_text('1-1')}id: 1-2\ndata: {"type":'),
        noAnswer(),
        sse(_text('1-1') + _text('1-2') + _end('1-3')),
      ]);
      final stream = serviceOf(http).followRun(threadId: 't-1', runId: 'r-1');
      expect(await _cursors(stream), ['1-1', '1-2', '1-3']);
      expect(pauses, [2000, 4000]);
    });

    test('that is silent counts as broken', () async {
      final silent = StreamController<List<int>>();
      addTearDown(silent.close);
      final http = FakeHttp([sseOf(silent), sse(_end('1-1'))]);
      final service = serviceOf(http, silence: const Duration(milliseconds: 20));
      expect(await _cursors(service.followRun(threadId: 't-1', runId: 'r-1')), ['1-1']);
    });

    test('waits for a service that restarts, for as long as it asks', () async {
      final http = FakeHttp([
        problem(503, 'overloaded', retryable: true, headers: {'retry-after': '3'}),
        json('Bad Gateway', status: 502),
        sse(_end('1-1')),
      ]);
      expect(await _cursors(serviceOf(http).followRun(threadId: 't-1', runId: 'r-1')), ['1-1']);
      expect(pauses, [5000, 4000]);
    });

    test('of a run that has ended already is empty', () async {
      final http = FakeHttp([json(null, status: 204)]);
      final stream = serviceOf(http).followRun(threadId: 't-1', runId: 'r-1', cursor: '1-9');
      expect(await _cursors(stream), isEmpty);
    });

    for (final (status, code) in [(404, 'not-found'), (410, 'events-expired'), (400, 'cursor-ahead')]) {
      test('that cannot go on ends with $code', () async {
        final http = FakeHttp([problem(status, code)]);
        await expectLater(
          serviceOf(http).followThread(threadId: 't-1', cursor: '1-1'),
          emitsInOrder([emitsError(_problem(code, status)), emitsDone]),
        );
      });
    }

    test('of a run gives up after five minutes; that of a thread does not', () async {
      var now = DateTime.utc(2026);
      DateTime clock() => now = now.add(const Duration(minutes: 2));
      final gaveUp = serviceOf(FakeHttp([]), clock: clock).followRun(threadId: 't-1', runId: 'r-1');
      await expectLater(gaveUp, emitsInOrder([emitsError(isA<ConnectionFailed>()), emitsDone]));
      final http = FakeHttp([for (var n = 0; n < 30; n++) noAnswer(), sse(_text('1-1'))]);
      final thread = serviceOf(http, clock: clock).followThread(threadId: 't-1', cursor: '1-0');
      expect((await thread.first).cursor, '1-1');
    });

    test('lets go of the line when nobody listens any more', () async {
      final letGo = Completer<void>();
      final body = StreamController<List<int>>(onCancel: letGo.complete);
      final http = FakeHttp([sseOf(body)]);
      final links = <LinkState>[];
      final first = Completer<AgUiEnvelope>();
      final stream = serviceOf(http).followThread(threadId: 't-1', cursor: '1-0', onLink: links.add);
      final subscription = stream.listen(first.complete);
      body.add(utf8.encode(_text('1-1')));
      expect((await first.future).cursor, '1-1');
      await subscription.cancel();
      await letGo.future;
      await pumpEventQueue();
      expect(http.requests, hasLength(1));
      expect(links.last, LinkState.live);
    });

    test('ends with a fault of the app itself, and not as if it were over', () async {
      final service = serviceOf(FakeHttp([]), token: ({required refresh}) => throw StateError('no login'));
      final stream = service.followThread(threadId: 't-1', cursor: '1-1');
      await expectLater(stream, emitsInOrder([emitsError(isA<StateError>()), emitsDone]));
    });

    test('hands an unknown and a broken event on', () async {
      final http = FakeHttp([
        sse(frame('1-1', {'type': 'NEW_TYPE'}) + frame('1-2', {'type': 'TEXT_MESSAGE_END'}) + _end('1-3')),
      ]);
      final envelopes = await serviceOf(http).followRun(threadId: 't-1', runId: 'r-1').toList();
      expect([for (final envelope in envelopes) envelope.event is UnknownAgUiEvent], [true, true, false]);
    });
  });

  group('a token', () {
    test('is on every request', () async {
      final http = FakeHttp([_accepted(), sse(_end('1-1'))]);
      await serviceOf(http, token: ({required refresh}) async => 'one').run(_hello()).drain<void>();
      expect([for (final request in http.requests) request.headers['Authorization']], ['Bearer one', 'Bearer one']);
    });

    test('that has ended is asked for anew, once', () async {
      final asked = <bool>[];
      Future<String?> token({required bool refresh}) async {
        asked.add(refresh);
        return refresh ? 'two' : 'one';
      }

      final http = FakeHttp([problem(401, 'unauthenticated'), _accepted()]);
      await serviceOf(http, token: token).start(_hello());
      expect(asked, [false, true]);
      expect(http.requests.last.headers['Authorization'], 'Bearer two');

      final refused = FakeHttp([problem(401, 'unauthenticated'), problem(401, 'unauthenticated')]);
      await expectLater(serviceOf(refused, token: token).start(_hello()), throwsA(_problem('unauthenticated', 401)));
      expect(pauses, isEmpty);
    });

    test('that has ended in the middle of a stream is asked for anew', () async {
      var current = 'one';
      Future<String?> token({required bool refresh}) async => current = refresh ? 'two' : current;
      final http = FakeHttp([sse(_text('1-1')), problem(401, 'unauthenticated'), sse(_end('1-2'))]);
      final stream = serviceOf(http, token: token).followRun(threadId: 't-1', runId: 'r-1');
      expect(await _cursors(stream), ['1-1', '1-2']);
      expect(http.requests.last.headers['Authorization'], 'Bearer two');
      expect(http.requests.last.url.queryParameters['cursor'], '1-1');
    });

    test('of which there is no other is not sent again', () async {
      final other = <TokenProvider>[
        ({required refresh}) async => 'one',
        ({required refresh}) async => refresh ? null : 'one',
        ({required refresh}) async => refresh ? throw Exception('not signed in') : 'one',
      ];
      for (final token in other) {
        final http = FakeHttp([problem(401, 'unauthenticated'), problem(401, 'unauthenticated')]);
        final service = serviceOf(http, token: token);
        await expectLater(service.history('t-1'), throwsA(_problem('unauthenticated', 401)));
        expect(http.requests, hasLength(1));
        final stream = service.followThread(threadId: 't-1', cursor: '1-1');
        await expectLater(stream, emitsInOrder([emitsError(_problem('unauthenticated', 401)), emitsDone]));
        expect(http.requests, hasLength(2));
      }
    });

    test('that no header takes is refused here, and not tried again', () async {
      for (final broken in ['two words', 'two\nlines', 'ümlaut']) {
        final http = FakeHttp([]);
        final service = serviceOf(http, token: ({required refresh}) async => broken);
        await expectLater(service.history('t-1'), throwsA(_problem('unauthenticated', 401)));
        final stream = service.followThread(threadId: 't-1', cursor: '1-1');
        await expectLater(stream, emitsInOrder([emitsError(_problem('unauthenticated', 401)), emitsDone]));
        expect(http.requests, isEmpty);
      }
      expect(pauses, isEmpty);
    });

    test('is not asked for where there is nobody to ask', () async {
      final http = FakeHttp([problem(401, 'unauthenticated')]);
      await expectLater(serviceOf(http).history('t-1'), throwsA(_problem('unauthenticated', 401)));
      expect(http.requests, hasLength(1));
    });
  });

  group('a request', () {
    test('that a passing problem refuses is sent again after the time that the service names', () async {
      final http = FakeHttp([
        problem(429, 'rate-limited', retryable: true, headers: {'retry-after': '2'}),
        json({'threads': <Object>[], 'nextBefore': null}),
      ]);
      expect((await serviceOf(http).threads()).threads, isEmpty);
      expect(pauses, [2500]);
    });

    test('without an answer is given up after five tries', () async {
      final http = FakeHttp([]);
      await expectLater(serviceOf(http).threads(), throwsA(isA<ConnectionFailed>()));
      expect(http.requests, hasLength(5));
    });

    test('uses a connection again, but none that has waited: the phone may have slept', () async {
      var now = DateTime.utc(2026);
      final page = json({'threads': <Object>[]});
      final http = FakeHttp([page, page, page]);
      final service = serviceOf(http, clock: () => now);
      await service.threads();
      now = now.add(const Duration(seconds: 9));
      await service.threads();
      expect(http.opened, 1);
      now = now.add(const Duration(seconds: 10));
      await service.threads();
      expect(http.opened, 2);
    });

    test('is not sent, and not tried again, when the app has let go of the service', () async {
      final http = FakeHttp([]);
      final service = serviceOf(http)..close();
      await expectLater(service.threads(), throwsA(isA<ConnectionFailed>()));
      expect((http.requests.length, pauses.length), (0, 0));
    });

    test('that something else than AgentRoute answers says so', () async {
      final http = FakeHttp([json('hello'), json({'threads': 7})]);
      final service = serviceOf(http);
      await expectLater(service.threads(), throwsA(isA<UnexpectedAnswer>()));
      await expectLater(service.threads(), throwsA(isA<UnexpectedAnswer>()));
    });

    test('reads a page of the history', () async {
      final http = FakeHttp([json(_history)]);
      final page = await serviceOf(http).history('t-1', limit: 2, before: 'm-9');
      expect(http.requests.single.url.queryParameters, {'threadId': 't-1', 'limit': '2', 'before': 'm-9'});
      expect(page.cursor, '3-17');
      expect([for (final message in page.messages) message.id], ['m-1', 'm-2']);
      expect(page.pendingInterrupts.single.isEditable, isTrue);
      expect(page.activeRun?.runId, 'r-9');
      expect(page.usage.cost, '0.25');
    });

    test('stops a run; one that has ended is no error', () async {
      final http = FakeHttp([json({'status': 'running'}, status: 202), problem(409, 'run-finished')]);
      final service = serviceOf(http);
      await service.cancel(threadId: 't-1', runId: 'r-1');
      await service.cancel(threadId: 't-1', runId: 'r-1');
      expect(http.requests[0].path, '/api/v1/agent/runs/r-1/cancel');
      expect(http.requests[0].json, {'threadId': 't-1'});
    });

    test('renames and deletes; what is gone is no error', () async {
      final http = FakeHttp([
        json({'threadId': 't-1', 'title': 'Sums'}),
        json(null, status: 204),
        problem(404, 'not-found'),
        problem(403, 'forbidden'),
      ]);
      final service = serviceOf(http);
      expect((await service.renameThread('t-1', 'Sums')).title, 'Sums');
      await service.deleteThread('t-1');
      await service.deleteThread('t-1');
      await expectLater(service.deleteThread('t-1'), throwsA(_problem('forbidden', 403)));
      expect([for (final request in http.requests) request.method], ['PATCH', 'DELETE', 'DELETE', 'DELETE']);
    });

    test('transcribes; sent again it has the same key', () async {
      final http = FakeHttp([noAnswer(), json({'text': 'hello', 'durationMs': 1500, 'model': 'whisper-1'})]);
      final service = serviceOf(http);
      final said = await service.transcribe(Uint8List.fromList([1, 2]), filename: 'speech.wav', language: 'en');
      expect(said.text, 'hello');
      expect(said.duration, const Duration(milliseconds: 1500));
      expect({for (final request in http.requests) request.headers['Idempotency-Key']}, hasLength(1));
      expect(http.requests.last.headers['content-type'], startsWith('multipart/form-data'));
      expect(http.requests.last.body, contains('name="file"; filename="speech.wav"'));
      expect(http.requests.last.body, contains('name="language"'));
      expect(http.requests.last.body, isNot(contains('name="prompt"')));
    });

    test('uploads a file; sent again it is the same one', () async {
      const stored = {'fileId': '5891', 'mediaType': 'application/pdf', 'bytes': 2, 'name': 'bill.pdf'};
      final http = FakeHttp([noAnswer(), json(stored, status: 201), problem(413, 'body-too-large')]);
      final service = serviceOf(http);
      final file = await service.upload(Uint8List.fromList([1, 2]), filename: 'bill.pdf');
      expect((file.fileId, file.mediaType, file.part.kind), ('5891', 'application/pdf', 'document'));
      expect({for (final request in http.requests) '${request.method} ${request.path}'}, {'POST /api/v1/agent/files'});
      expect(http.requests.last.headers['content-type'], startsWith('multipart/form-data'));
      expect(http.requests.last.body, contains('name="file"; filename="bill.pdf"'));
      await expectLater(
        service.upload(Uint8List.fromList([1, 2]), filename: 'bill.pdf'),
        throwsA(_problem('body-too-large', 413)),
      );
    });

    test('gives a token for a server', () async {
      final http = FakeHttp([json({'server': 'git/hub'})]);
      await serviceOf(http).connectServer('git/hub', 'secret');
      expect(http.requests.single.method, 'PUT');
      expect(http.requests.single.url.toString(), endsWith('/connections/git%2Fhub'));
      expect(http.requests.single.json, {'token': 'secret'});
    });
  });
}

const Map<String, dynamic> _history = {
  'threadId': 't-1',
  'agentId': 'default',
  'title': 'Sums',
  'messages': [
    {'id': 'm-1', 'role': 'user', 'content': 'what is 6*7'},
    {'id': 'm-2', 'role': 'assistant', 'content': '42'},
  ],
  'state': null,
  'pendingInterrupts': [
    {
      'id': 'int-1',
      'reason': 'tool_approval',
      'message': 'Allow it?',
      'responseSchema': {
        'properties': {'approved': <String, dynamic>{}, 'input': <String, dynamic>{}},
      },
      'expiresAt': '2026-12-01T08:30:00.250000Z',
    },
  ],
  'activeRun': {'runId': 'r-9', 'status': 'running', 'eventsUrl': '/e'},
  'cursor': '3-17',
  'hasMore': false,
  'nextBefore': null,
  'usage': {'inputTokens': 1, 'outputTokens': 2, 'cost': '0.25', 'costComplete': true, 'currency': 'USD'},
};

RunInput _hello() {
  return RunInput.message(
    threadId: 't-1',
    runId: 'r-1',
    messageId: 'm-1',
    content: const MessageContent.ofText('hello'),
  );
}

Answer _accepted() {
  return json({'taskId': 'k', 'threadId': 't-1', 'runId': 'r-1', 'status': 'queued', 'cursor': '1-0'}, status: 202);
}

String _text(String cursor) => frame(cursor, {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'm-2', 'delta': cursor});

String _end(String cursor) => frame(cursor, {'type': 'RUN_FINISHED', 'threadId': 't-1', 'runId': 'r-1'});

Future<List<String?>> _cursors(Stream<AgUiEnvelope> stream) => stream.map((envelope) => envelope.cursor).toList();

Matcher _problem(String code, int status) {
  return isA<ProblemException>()
      .having((error) => error.code, 'code', code)
      .having((error) => error.status, 'status', status);
}
