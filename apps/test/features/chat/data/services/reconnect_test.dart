import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/contract.dart';

void main() {
  group('pauses:', () {
    for (final example in contractCases('sse/pauses.json')) {
      test('${example['name']}, ${example['failures']}', () {
        final drawn = (example['random'] as num).toDouble();
        final pause = Patience(random: () => drawn).pause(
          example['failures'] as int,
          base: Duration(milliseconds: example['baseMs'] as int),
          atLeast: Duration(milliseconds: example['atLeastMs'] as int),
        );
        expect(pause.inMilliseconds, example['pauseMs']);
      });
    }
  });

  group('Retry-After:', () {
    for (final example in contractCases('sse/retry_after.json')) {
      test('"${example['value']}"', () {
        final found = retryAfter(example['value'] as String, now: DateTime.parse(example['now'] as String));
        expect(found?.inMilliseconds, example['waitMs']);
      });
    }

    test('none', () => expect(retryAfter(null, now: DateTime.utc(2026)), isNull));
  });

  group('refusals:', () {
    for (final example in contractCases('sse/refusals.json')) {
      test('${example['name']}', () {
        final error = refusal(
          example['status'] as int,
          (example['headers'] as Map<String, dynamic>).cast<String, String>(),
          utf8.encode(example['body'] as String),
          now: DateTime.utc(2026, 11, 27, 18),
        );
        expect(error is ProblemException, example['kind'] == 'problem');
        expect(error is ProblemException ? error.code : null, example['code']);
        expect(mayPass(error), example['mayPass']);
        expect(namedWait(error).inMilliseconds, example['waitMs']);
      });
    }
  });

  test('a request is tried five times, and then its last error is told', () {
    final attempts = Attempts(Patience(random: () => 1));
    const error = ConnectionFailed('away');
    expect(
      [for (var n = 0; n < 4; n++) attempts.next(error).inMilliseconds],
      [500, 1000, 2000, 4000],
    );
    expect(() => attempts.next(error), throwsA(same(error)));
  });
}
