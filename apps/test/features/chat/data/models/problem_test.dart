import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('a problem document with everything', () {
    final problem = Problem.tryParse(
      422,
      '{"type":"/problems/invalid-request","title":"Invalid","status":422,"detail":"Look.","code":"invalid-request",'
      '"retryable":false,"requestId":"q-1","errors":[{"pointer":"/messages/0","message":"no id"},7]}',
      retryAfter: const Duration(seconds: 3),
    );
    expect(problem?.code, 'invalid-request');
    expect(problem?.status, 422);
    expect(problem?.message, 'Look.');
    expect(problem?.isRetryable, isFalse);
    expect(problem?.requestId, 'q-1');
    expect(problem?.retryAfter, const Duration(seconds: 3));
    expect(problem?.errors.single.pointer, '/messages/0');
  });

  test('the live run of a busy thread', () {
    expect(Problem.tryParse(409, '{"code":"run-active","runId":"r-3"}')?.activeRunId, 'r-3');
    expect(Problem.tryParse(409, '{"code":"run-finished","runId":"r-3"}')?.activeRunId, isNull);
  });

  test('a title is shown where there is no detail', () {
    final problem = Problem.tryParse(500, '{"code":"internal-error","title":"Oh","detail":7}');
    expect(problem?.message, 'Oh');
  });

  test('anything else is none', () {
    for (final body in ['', '<html>', '[]', 'null', '7', '{}', '{"code":7}']) {
      expect(Problem.tryParse(502, body), isNull, reason: body);
    }
  });
}
