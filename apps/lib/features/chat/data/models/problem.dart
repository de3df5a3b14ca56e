import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// Why the service refused a request (RFC 9457). docs/problems.md has every [code].
final class Problem {
  const Problem({
    required this.status,
    required this.code,
    this.title = '',
    this.detail = '',
    this.isRetryable = false,
    this.requestId = '',
    this.retryAfter,
    this.errors = const [],
    this.raw = const {},
  });

  /// Reads an answer that is no success. Null if it is no problem document: a proxy may have answered. Never throws.
  static Problem? tryParse(int status, String body, {Duration? retryAfter}) {
    final Object? value;
    try {
      value = jsonDecode(body);
    } on FormatException {
      return null;
    }
    final raw = JsonObject.asObject(value);
    final Object? code = raw?['code'];
    if (raw == null || code is! String) return null;
    String text(String name) {
      final Object? found = raw[name];
      return found is String ? found : '';
    }

    final Object? errors = raw['errors'];
    return Problem(
      status: status,
      code: code,
      title: text('title'),
      detail: text('detail'),
      isRetryable: raw['retryable'] == true,
      requestId: text('requestId'),
      retryAfter: retryAfter,
      errors: [
        if (errors is List<Object?>)
          for (final each in errors)
            if (JsonObject.asObject(each) case final Map<String, dynamic> place)
              InvalidPlace('${place['pointer'] ?? ''}', '${place['message'] ?? ''}'),
      ],
      raw: raw,
    );
  }

  /// HTTP status.
  final int status;

  /// Stable, for example `run-active`.
  final String code;
  final String title;
  final String detail;

  /// Whether the same request may succeed later.
  final bool isRetryable;

  /// Finds the request in the log of the service.
  final String requestId;

  /// When to come back, if the service says so.
  final Duration? retryAfter;

  /// The invalid places of the request.
  final List<InvalidPlace> errors;

  /// The whole document; some codes have more members.
  final Map<String, dynamic> raw;

  /// What was wrong and what to do, for the user.
  String get message => detail.isNotEmpty ? detail : title;

  /// With `run-active`: the live run of the thread.
  String? get activeRunId {
    final Object? runId = raw['runId'];
    return code == ProblemCode.runActive && runId is String ? runId : null;
  }
}

/// One invalid place in a request.
final class InvalidPlace {
  const InvalidPlace(this.pointer, this.message);

  /// JSON pointer into the body, or `/query/…`, `/path/…`, `/header/…`.
  final String pointer;
  final String message;
}

/// The codes that an app acts on.
abstract final class ProblemCode {
  static const String cursorAhead = 'cursor-ahead';
  static const String eventsExpired = 'events-expired';
  static const String interruptOpen = 'interrupt-open';
  static const String interruptResolved = 'interrupt-resolved';
  static const String notFound = 'not-found';
  static const String runActive = 'run-active';
  static const String runFinished = 'run-finished';
  static const String unauthenticated = 'unauthenticated';
}

/// What goes wrong in a request or a stream; [message] is for the user.
sealed class AgentRouteException implements Exception {
  const AgentRouteException(this.message);

  final String message;

  @override
  String toString() => message;
}

/// The service did not answer, not even after the retries. A request may have arrived all the same: send it again.
final class ConnectionFailed extends AgentRouteException {
  const ConnectionFailed(super.message, {this.cause});

  /// What the platform says of it.
  final Object? cause;
}

/// The service refused, and said why.
final class ProblemException extends AgentRouteException {
  ProblemException(this.problem) : super(problem.message);

  final Problem problem;

  String get code => problem.code;

  int get status => problem.status;
}

/// The answer is none of AgentRoute: a wrong address, or a proxy in between.
final class UnexpectedAnswer extends AgentRouteException {
  const UnexpectedAnswer(super.message, {this.status});

  final int? status;
}
