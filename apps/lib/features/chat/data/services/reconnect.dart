// When something is tried again, and when its caller is told. No I/O. The rules are those of the Python client.

import 'dart:convert';
import 'dart:math';

import 'package:agentroute_chat/features/chat/data/models/problem.dart';

/// Returns the present time.
typedef Clock = DateTime Function();

/// Waits; tests do not.
typedef Sleep = Future<void> Function(Duration pause);

/// Returns a number from 0 to 1.
typedef RandomNumber = double Function();

/// If the service names a longer time, the caller is told instead of kept waiting.
const Duration longestWait = Duration(seconds: 120);

final Random _random = Random();

double _anyNumber() => _random.nextDouble();

/// How long a client tries.
final class Patience {
  const Patience({
    this.maxRetries = 4,
    this.reconnectFor = const Duration(minutes: 5),
    this.maxPause = const Duration(seconds: 30),
    this.random = _anyNumber,
  });

  /// Of a request; the waits add up to at most 7.5 seconds, unless the service names longer ones.
  final int maxRetries;

  /// How long a stream of one run tries to come back; null is for ever.
  final Duration? reconnectFor;

  /// The longest wait at random.
  final Duration maxPause;
  final RandomNumber random;

  /// The same for a stream without an end, which tries for ever.
  Patience get endless => Patience(maxRetries: maxRetries, reconnectFor: null, maxPause: maxPause, random: random);

  /// Returns how long to wait after a number of failures in a row, at random ("full jitter").
  ///
  /// All clients of a process that ends are cut off in the same moment. At random, they do not come back in one.
  ///
  /// [failures] is 1 for the first. [base] is the longest wait after it, and doubles with each further one. The wait at
  /// random is added to [atLeast], the time that the server named.
  Duration pause(int failures, {required Duration base, Duration atLeast = Duration.zero}) {
    // Cut before it grows, too: what a server names (`retry:`) may be so long that doubling it leaves the range of
    // numbers, and comes out below zero.
    final first = base < maxPause ? base : maxPause;
    final grown = first * pow(2, min(failures - 1, 16)).toInt();
    final longest = grown < maxPause ? grown : maxPause;
    return atLeast + longest * random();
  }
}

/// Counts the attempts of one request.
final class Attempts {
  Attempts(this._patience);

  static const Duration _firstPause = Duration(milliseconds: 500);

  final Patience _patience;
  int _failures = 0;

  /// How many failed.
  int get failures => _failures;

  /// Notes a failure, and returns how long to wait before the next attempt. Throws [error] if there is none.
  Duration next(AgentRouteException error) {
    _failures++;
    if (_failures > _patience.maxRetries) throw error;
    return _patience.pause(_failures, base: _firstPause, atLeast: namedWait(error));
  }
}

/// Says whether the same request may succeed a little later, without anybody's doing.
bool mayPass(AgentRouteException error) {
  if (error is UnexpectedAnswer) return _isOfProxies(error.status);
  if (error is! ProblemException) return true;
  // 409 `run-active` is retryable, too, but the user chooses between waiting and stopping the run.
  final isPassing = error.status == 429 || _isOfProxies(error.status);
  return isPassing && error.problem.isRetryable && namedWait(error) <= longestWait;
}

/// Returns how long the service asks to wait; nothing if it does not say.
Duration namedWait(AgentRouteException error) {
  return error is ProblemException ? error.problem.retryAfter ?? Duration.zero : Duration.zero;
}

// What a proxy says while the service behind it restarts.
bool _isOfProxies(int? status) => status == 502 || status == 503 || status == 504;

/// Returns what an answer that is no success means.
AgentRouteException refusal(int status, Map<String, String> headers, List<int> body, {required DateTime now}) {
  final text = utf8.decode(body, allowMalformed: true);
  final problem = Problem.tryParse(status, text, retryAfter: retryAfter(headers['retry-after'], now: now));
  if (problem != null) return ProblemException(problem);
  final words = text.split(_blank).where((word) => word.isNotEmpty).join(' ');
  final excerpt = words.length > 120 ? words.substring(0, 120) : words;
  return UnexpectedAnswer(
    'HTTP $status, without a problem document: ${excerpt.isEmpty ? 'empty' : excerpt}',
    status: status,
  );
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). Null if it is absent or neither.
Duration? retryAfter(String? value, {required DateTime now}) {
  final text = value?.trim() ?? '';
  if (_digits.hasMatch(text)) return Duration(seconds: int.parse(text));
  final date = _date.firstMatch(text);
  final month = date == null ? -1 : _months.indexOf(date.group(2) ?? '');
  if (date == null || month < 0) return null;
  int number(int group) => int.parse(date.group(group) ?? '0');
  final at = DateTime.utc(number(3), month + 1, number(1), number(4), number(5), number(6));
  final wait = at.difference(now);
  return wait.isNegative ? Duration.zero : wait;
}

final RegExp _blank = RegExp(r'\s+');
final RegExp _digits = RegExp(r'^[0-9]{1,9}$');
final RegExp _date = RegExp(
  r'^[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT$',
);
const List<String> _months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
