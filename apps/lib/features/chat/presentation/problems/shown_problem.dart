import 'package:agentroute_chat/features/chat/data/models/problem.dart';

/// A refusal or a broken line, in the form in which it is shown.
class ShownProblem {
  const ShownProblem({
    required this.code,
    required this.message,
    this.isRetryable = true,
    this.requestId,
    this.retryAt,
    this.errors = const [],
  });

  /// Reads what was thrown. A fault of the app itself may be tried again.
  factory ShownProblem.of(Object error, {DateTime? now}) {
    return switch (error) {
      ProblemException(:final problem) => ShownProblem(
          code: problem.code,
          message: problem.message,
          isRetryable: problem.isRetryable,
          requestId: problem.requestId.isEmpty ? null : problem.requestId,
          retryAt: problem.retryAfter == null ? null : (now ?? DateTime.now()).add(problem.retryAfter!),
          errors: problem.errors,
        ),
      ConnectionFailed(:final message) => ShownProblem(code: network, message: message),
      UnexpectedAnswer(:final message, :final status) => ShownProblem(
          code: status == null ? 'unexpected-answer' : 'http-$status',
          message: message,
        ),
      _ => ShownProblem(code: 'internal-error', message: '$error'),
    };
  }

  static const network = 'network';

  /// A stable code of docs/problems.md, or one of this app.
  final String code;
  final String message;
  final bool isRetryable;
  final String? requestId;

  /// Before this time another try is refused again.
  final DateTime? retryAt;
  final List<InvalidPlace> errors;
}

/// What went wrong with an answer to a question, in words.
String resumeWords(ShownProblem problem) {
  final known = _over[problem.code] ?? _resume[problem.code];
  if (known != null) return known;
  final details = problem.errors.map((error) => error.message).where((message) => message.isNotEmpty);
  return details.isEmpty ? problem.message : '${problem.message} ${details.join('; ')}.';
}

/// Why the result of a tool of this app does not count, if another one does; null for every other refusal.
String? resultWords(ShownProblem problem) {
  final isAnswered = problem.errors.any((error) => error.pointer.endsWith('/toolCallId'));
  return problem.code == ProblemCode.runActive || isAnswered
      ? 'Another device was faster: this result does not count.'
      : null;
}

/// Whether the question is over: it cannot be answered here any more.
bool isQuestionOver(ShownProblem problem) => _over.containsKey(problem.code);

const _over = {
  'interrupt-resolved': 'This was answered on another device.',
  'run-finished': 'The run has ended in the meantime.',
  'not-found': 'This question does not exist any more.',
};

const _resume = {
  'interrupt-expired': 'The time for this answer has run out. Lay the question aside to go on.',
  'interrupt-uncovered': 'Another question has come up in the meantime. Answer all of them.',
  'run-active': 'The assistant is at work already. Wait a moment, then answer again.',
  ShownProblem.network: 'No connection: your answer was not sent. Try again.',
};
