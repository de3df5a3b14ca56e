import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';
import 'package:agentroute_chat/features/chat/data/services/sse_parser.dart';

/// A reader's place in the events of a thread: what to ask for, what has come, when to come back. No I/O.
///
/// - The last event of a run ends the stream of that run. A body that ends without it was cut off, or reached its
///   greatest age: the reader comes back with the cursor of its last event, and misses and repeats nothing.
/// - The stream of a thread (no run) has no end.
/// - 204 says that nothing is left.
/// - What will pass by itself (a service that restarts) is waited for. Any other refusal is the caller's.
///
/// The same as `following.py` of the Python client.
final class Following {
  Following({
    required this.threadId,
    this.runId,
    String? cursor,
    this.patience = const Patience(),
    Clock clock = DateTime.now,
  })  : _cursor = cursor,
        _clock = clock;

  // Until the service names its own time (`retry:`).
  static const Duration _firstRetry = Duration(seconds: 2);
  // A stream that lasted so long was no failure, even if it brought nothing.
  static const Duration _steady = Duration(seconds: 10);
  static final RegExp _place = RegExp(r'^([0-9]{1,15})-([0-9]{1,15})$');

  final String threadId;

  /// Null for every run of the thread.
  final String? runId;
  final Patience patience;
  final Clock _clock;

  String? _cursor;
  bool _isOver = false;
  SseParser _parser = SseParser();
  Duration _retry = _firstRetry;
  Duration _atLeast = Duration.zero;
  int _failures = 0;
  DateTime? _openedAt;
  DateTime? _lostAt;

  /// The place of the last event.
  String? get cursor => _cursor;

  /// Nothing more will come.
  bool get isOver => _isOver;

  /// The query of the next `GET /events`.
  Map<String, String> get query {
    final run = runId;
    final place = _cursor;
    return {
      'threadId': threadId,
      if (run != null) 'runId': run,
      if (place != null) 'cursor': place,
    };
  }

  /// The headers of the next `GET /events`.
  ///
  /// With two types the request is none of an `EventSource`, which would be told of no 503.
  Map<String, String> get headers => const {'Accept': 'text/event-stream, application/problem+json'};

  /// Notes the head of an answer; [body] is that of an answer that is no stream.
  ///
  /// Returns what will pass by itself; null if the body is to be read, or if nothing is left ([isOver]). Throws an
  /// [AgentRouteException] if the stream cannot go on.
  AgentRouteException? opened(int status, Map<String, String> headers, {List<int> body = const []}) {
    if (status == 204) {
      _isOver = true;
      return null;
    }
    if (status != 200) {
      final error = refusal(status, headers, body, now: _clock());
      if (!mayPass(error)) throw error;
      _atLeast = namedWait(error);
      return error;
    }
    if (!(headers['content-type'] ?? '').startsWith('text/event-stream')) {
      throw UnexpectedAnswer('The answer is no event stream: is the address that of an AgentRoute?', status: status);
    }
    _parser = SseParser();
    _openedAt = _clock();
    _lostAt = null;
    return null;
  }

  /// Takes in bytes, and yields the events that they complete, each event of the stream once.
  ///
  /// Throws an [UnexpectedAnswer] at an event that is no JSON object. Whoever does not iterate takes nothing in.
  Iterable<AgUiEnvelope> receive(List<int> chunk) sync* {
    final frames = _parser.feed(chunk);
    _retry = _parser.retry ?? _retry;
    for (final frame in frames) {
      if (_isOver) return;
      final place = frame.id.isEmpty ? null : frame.id;
      if (_isSeen(place)) continue;
      final envelope = AgUiEnvelope(place, AgUiEvent.fromJson(_object(frame.data)));
      _failures = 0;
      _cursor = place ?? _cursor;
      _isOver = runId != null && envelope.event.isTerminal;
      yield envelope;
    }
  }

  /// Notes that the body ended, or never came. Returns how long to wait before the next request.
  ///
  /// [error] is null if the body ended in order; it is thrown if the stream has tried for long enough.
  Duration lost(AgentRouteException? error) {
    final now = _clock();
    final openedAt = _openedAt;
    if (openedAt != null && now.difference(openedAt) >= _steady) _failures = 0;
    _openedAt = null;
    final lostAt = _lostAt ?? now;
    _lostAt = lostAt;
    final allowed = patience.reconnectFor;
    if (error != null && allowed != null && now.difference(lostAt) >= allowed) throw error;
    _failures++;
    final pause = patience.pause(_failures, base: _retry, atLeast: _atLeast);
    _atLeast = Duration.zero;
    return pause;
  }

  /// Says whether an event is told again. Nothing that is not a cursor counts as seen.
  bool _isSeen(String? place) {
    final here = _place.firstMatch(place ?? '');
    final last = _place.firstMatch(_cursor ?? '');
    if (here == null || last == null) return false;
    final runs = _number(here, 1) - _number(last, 1);
    return runs < 0 || (runs == 0 && _number(here, 2) <= _number(last, 2));
  }

  static int _number(RegExpMatch match, int group) => int.parse(match.group(group) ?? '0');

  static Map<String, dynamic> _object(String data) {
    try {
      return JsonObject.of(jsonDecode(data), 'the event').raw;
    } on FormatException catch (error) {
      throw UnexpectedAnswer('An event of the stream cannot be read: ${error.message}');
    }
  }
}
