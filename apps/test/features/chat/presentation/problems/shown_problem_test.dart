import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_words.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/fake_service.dart';

void main() {
  test('every refusal and every broken line has words', () {
    expect(ShownProblem.of(refusal('run-active')).code, 'run-active');
    expect(ShownProblem.of(const ConnectionFailed('no route')).code, 'network');
    expect(ShownProblem.of(const UnexpectedAnswer('a proxy', status: 502)).code, 'http-502');
    expect(ShownProblem.of(StateError('a fault')).code, 'internal-error');
    expect(wordsOf('network', '').title, 'The service cannot be reached.');
    expect(wordsOf('http-502', '').remedy, Remedy.again);
    expect(wordsOf('new-code', 'Words of the service.').title, 'Words of the service.');
    expect(wordsOf('new-code', 'Words.', retryable: false).remedy, Remedy.none);
    expect(wordsOf('new-code', '').title, 'Something went wrong.');
  });

  test('a refusal says when to come back', () {
    final now = DateTime.utc(2026);
    const problem = Problem(status: 429, code: 'rate-limited', retryAfter: Duration(seconds: 7));
    expect(ShownProblem.of(ProblemException(problem), now: now).retryAt, now.add(const Duration(seconds: 7)));
  });

  test('what went wrong with an answer is told with its complaints', () {
    const problem = ShownProblem(
      code: 'invalid-request',
      message: 'The answer does not fit.',
      errors: [InvalidPlace('/resume/0/payload/input/to', 'is too long')],
    );
    expect(resumeWords(problem), 'The answer does not fit. is too long.');
    expect(isQuestionOver(problem), isFalse);
    expect(isQuestionOver(const ShownProblem(code: 'interrupt-resolved', message: '')), isTrue);
  });
}
