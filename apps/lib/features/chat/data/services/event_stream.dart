import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/services/api_client.dart';
import 'package:agentroute_chat/features/chat/data/services/following.dart';
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';
import 'package:http/http.dart' as http;

/// Events, in order, each one once, across broken lines and restarts of the service.
///
/// The stream is a `StreamController`'s, not an `async*` function's: such a function would notice a cancelled
/// subscription at its next event alone, and hold the connection until then. Here the connection goes at once.
final class EventStream {
  /// [begin] is asked once, when somebody listens, where to read.
  EventStream(this._api, this._begin, {LinkListener? onLink}) : _onLink = onLink {
    _events
      ..onListen = () {
        unawaited(_run());
      }
      ..onPause = () {
        _body?.pause();
      }
      ..onResume = () {
        _body?.resume();
      }
      ..onCancel = _stop;
  }

  static const Duration _headWithin = Duration(seconds: 30);

  final ApiClient _api;
  final Future<Following> Function() _begin;
  final LinkListener? _onLink;
  final StreamController<AgUiEnvelope> _events = StreamController<AgUiEnvelope>();
  final Completer<void> _stopped = Completer<void>();

  http.Client? _client;
  StreamSubscription<List<int>>? _body;
  void Function()? _finishBody;
  LinkState? _link;

  /// The events. Listening opens the line, and cancelling lets go of it.
  Stream<AgUiEnvelope> get events => _events.stream;

  bool get _isStopped => _stopped.isCompleted;

  Future<void> _run() async {
    try {
      _say(LinkState.connecting);
      final following = await _begin();
      while (!_isStopped && !following.isOver) {
        final error = await _attempt(following);
        if (_isStopped || following.isOver) break;
        final pause = following.lost(error);
        _say(LinkState.reconnecting);
        await Future.any<void>([_api.sleep(pause), _stopped.future]);
      }
    } on Object catch (error, trace) {
      // A fault of the app, too: a stream that ended without a word would be taken for one that is over.
      if (!_isStopped) _events.addError(error is Exception ? _api.unreachable(error) : error, trace);
    } finally {
      _say(LinkState.ended);
      unawaited(_events.close());
    }
  }

  /// Reads one connection to its end. Returns why it ended; null if in order. Throws what does not pass by itself.
  Future<AgentRouteException?> _attempt(Following following) async {
    // A connection of its own: after a sleep of the phone, those that are kept open are dead.
    final client = _api.openClient();
    _client = client;
    try {
      final http.StreamedResponse response;
      try {
        response = await _answer(client, following);
      } on Exception catch (failure) {
        final error = _api.unreachable(failure);
        if (!mayPass(error)) throw error;
        return error;
      }
      if (_isStopped) return null;
      final isStream = response.statusCode == 200;
      final body = isStream ? const <int>[] : await _bytes(response);
      final error = following.opened(response.statusCode, response.headers, body: body);
      if (error != null || following.isOver) return error;
      _say(LinkState.live);
      return await _read(response.stream, following);
    } finally {
      client.close();
      _client = null;
    }
  }

  /// Sends the request, and once more with another token after a 401.
  Future<http.StreamedResponse> _answer(http.Client client, Following following) async {
    http.Request make() => http.Request('GET', _api.urls.events(following.query))..headers.addAll(following.headers);
    final token = await _api.presentToken();
    final response = await _api.sendOnce(client, make(), token).timeout(_headWithin);
    if (response.statusCode != 401 || _isStopped) return response;
    final fresh = await _api.otherToken(token);
    if (fresh == null) return response;
    await _bytes(response);
    return _api.sendOnce(client, make(), fresh).timeout(_headWithin);
  }

  /// The body of a refusal. One that breaks off says as much as an empty one.
  static Future<List<int>> _bytes(http.StreamedResponse response) async {
    try {
      return await response.stream.toBytes().timeout(_headWithin);
    } on Exception {
      return const [];
    }
  }

  Future<AgentRouteException?> _read(Stream<List<int>> body, Following following) {
    final end = Completer<AgentRouteException?>();
    void finish([AgentRouteException? error]) {
      if (!end.isCompleted) end.complete(error);
    }

    void fail(Object error, StackTrace trace) {
      if (!end.isCompleted) end.completeError(error, trace);
    }

    _body = body.timeout(_api.silence).listen(
      (chunk) {
        if (_isStopped || end.isCompleted) return;
        try {
          following.receive(chunk).forEach(_events.add);
        } on Object catch (error, trace) {
          fail(error, trace);
        }
        if (following.isOver) finish();
      },
      onError: (Object error) => finish(_api.unreachable(error)),
      onDone: finish,
      cancelOnError: true,
    );
    _finishBody = finish;
    if (_events.isPaused) _body?.pause();
    return end.future.whenComplete(() {
      unawaited(_body?.cancel());
      _body = null;
      _finishBody = null;
    });
  }

  void _stop() {
    if (!_isStopped) _stopped.complete();
    _finishBody?.call();
    _client?.close();
  }

  void _say(LinkState state) {
    if (_link == state || _isStopped) return;
    _link = state;
    _onLink?.call(state);
  }
}
