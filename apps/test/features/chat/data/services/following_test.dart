import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/services/following.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/contract.dart';

void main() {
  group('the life of a stream:', () {
    for (final example in contractCases('sse/following.json')) {
      test('${example['name']}', () {
        final life = _Life(example);
        for (final step in (example['steps'] as List<dynamic>).cast<Map<String, dynamic>>()) {
          life.step(step);
        }
      });
    }
  });

  group('whatever is cut, every event comes once:', () {
    for (final MapEntry(key: name, value: frames) in recordedStreams().entries) {
      test(name, () {
        final all = [for (final frame in frames) _idOf(frame)];
        final bytes = utf8.encode(frames.join());
        // Not every byte: a long stream has thousands.
        final step = bytes.length ~/ 60 + 1;
        for (var cut = 0; cut < bytes.length; cut += step) {
          final place = Following(threadId: 't-1', runId: 'r-1');
          expect(place.opened(200, _stream), isNull);
          final seen = [for (final envelope in place.receive(bytes.sublist(0, cut))) envelope.cursor];
          if (!place.isOver) {
            place.lost(null);
            place.opened(200, _stream);
            final left = frames.sublist(place.cursor == null ? 0 : all.indexOf(place.cursor!) + 1);
            seen.addAll([for (final envelope in place.receive(utf8.encode(left.join()))) envelope.cursor]);
          }
          expect(seen, all);
        }
      });
    }
  });
}

const Map<String, String> _stream = {'content-type': 'text/event-stream'};

String _idOf(String frame) => frame.split('\n').first.substring('id: '.length);

class _Life {
  _Life(Map<String, dynamic> example) {
    final reconnect = example['reconnectMs'] as int?;
    _place = Following(
      threadId: example['threadId'] as String,
      runId: example['runId'] as String?,
      cursor: example['cursor'] as String?,
      patience: Patience(
        reconnectFor: reconnect == null ? null : Duration(milliseconds: reconnect),
        random: () => 1,
      ),
      clock: () => _now,
    );
  }

  static final DateTime _begin = DateTime.utc(2026, 11, 27, 18);

  late final Following _place;
  DateTime _now = _begin;
  AgentRouteException? _last;

  void step(Map<String, dynamic> step) {
    switch (step['do']) {
      case 'at':
        _now = _begin.add(Duration(milliseconds: step['ms'] as int));
      case 'query':
        expect(_place.query, step['query']);
      case 'opened':
        _opened(step);
      case 'receive':
        _receive(step);
      case 'lost':
        _lost(step);
      default:
        fail('an unknown step: $step');
    }
  }

  void _opened(Map<String, dynamic> step) {
    final headers = (step['headers'] as Map<String, dynamic>).cast<String, String>();
    try {
      _last = _place.opened(step['status'] as int, headers, body: utf8.encode(step['body'] as String));
    } on AgentRouteException catch (error) {
      expect(step['result'], 'throw');
      expect(error is ProblemException ? error.code : null, step['code']);
      return;
    }
    expect(_place.isOver ? 'over' : (_last == null ? 'read' : 'wait'), step['result']);
  }

  void _receive(Map<String, dynamic> step) {
    final chunk = utf8.encode(step['text'] as String);
    if (step['cursors'] == null) {
      expect(() => _place.receive(chunk).toList(), throwsA(isA<UnexpectedAnswer>()));
      return;
    }
    expect([for (final envelope in _place.receive(chunk)) envelope.cursor], step['cursors']);
    expect(_place.isOver, step['isOver']);
  }

  void _lost(Map<String, dynamic> step) {
    final error = switch (step['error']) {
      'connection' => const ConnectionFailed('the line broke'),
      'last' => _last,
      _ => null,
    };
    if (step['pauseMs'] == null) {
      expect(() => _place.lost(error), throwsA(same(error)));
      return;
    }
    expect(_place.lost(error).inMilliseconds, step['pauseMs']);
  }
}
