import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/services/api_urls.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';
import 'package:http/http.dart' as http;

/// Returns the user's token, or null if the service wants none.
///
/// Asked before each request, so it should remember the token. With [refresh] the service has just refused the token:
/// get another one. The same one, none, or an exception mean that there is no other.
typedef TokenProvider = Future<String?> Function({required bool refresh});

/// Opens what sends requests.
typedef OpenClient = http.Client Function();

/// Sends single requests, and sends them again.
///
/// Every request of the app may be sent again: reads change nothing, a run and a transcription have an id of their own,
/// and what renames or deletes has the same effect the second time.
final class ApiClient {
  ApiClient({
    required this.urls,
    TokenProvider? token,
    OpenClient open = http.Client.new,
    this.patience = const Patience(),
    this.clock = DateTime.now,
    this.sleep = Future<void>.delayed,
    this.silence = const Duration(seconds: 45),
  })  : _token = token,
        openClient = open;

  static const Duration _answerWithin = Duration(seconds: 30);

  // What servers and phones keep open without a request is dead soon after, and looks open.
  static const Duration _keptFor = Duration(seconds: 10);
  static final RegExp _visible = RegExp(r'^[\x21-\x7e]+$');

  final ApiUrls urls;
  final OpenClient openClient;
  final Patience patience;
  final Clock clock;
  final Sleep sleep;

  /// A stream that says less is dead, whatever the phone thinks of it: the service sends a heartbeat every 15 s.
  final Duration silence;
  final TokenProvider? _token;
  http.Client? _client;
  int _underWay = 0;
  DateTime? _usedAt;
  bool _isClosed = false;

  /// Sends a request, made by [make] for each attempt, until there is an answer that stays.
  ///
  /// Throws an [AgentRouteException] for an answer that is no success, and if there is none.
  Future<http.Response> send(http.BaseRequest Function() make, {Duration within = _answerWithin}) async {
    final attempts = Attempts(patience);
    var mayRefresh = true;
    String? fresh;
    while (true) {
      AgentRouteException error;
      try {
        final token = fresh ?? await presentToken();
        fresh = null;
        final response = await _answer(make(), token, within);
        if (response.statusCode >= 200 && response.statusCode < 300) return response;
        if (response.statusCode == 401 && mayRefresh) {
          mayRefresh = false;
          fresh = await otherToken(token);
          if (fresh != null) continue;
        }
        error = refusal(response.statusCode, response.headers, response.bodyBytes, now: clock());
      } on Exception catch (failure) {
        error = unreachable(failure);
      }
      // Nobody waits any more: what the closed connections say is no reason to try again.
      if (_isClosed || !mayPass(error)) throw error;
      await sleep(attempts.next(error));
    }
  }

  /// Sends a request over a connection that is not dead from waiting, and reads the answer to its end.
  Future<http.Response> _answer(http.BaseRequest request, String? token, Duration within) async {
    final client = _present();
    _underWay++;
    try {
      final streamed = await sendOnce(client, request, token).timeout(within);
      return await http.Response.fromStream(streamed).timeout(within);
    } finally {
      _underWay--;
      _usedAt = clock();
    }
  }

  /// The client of single requests: another one after a pause. The phone may have slept, or changed its network.
  http.Client _present() {
    if (_isClosed) throw ConnectionFailed('The app uses the service at ${urls.service} no more.');
    final usedAt = _usedAt;
    final isOld = usedAt != null && clock().difference(usedAt) >= _keptFor;
    if (isOld && _underWay == 0) {
      _client?.close();
      _client = null;
    }
    return _client ??= openClient();
  }

  /// Returns the user's token.
  Future<String?> presentToken() async {
    return await _token?.call(refresh: false);
  }

  /// Returns another token than the one that was [refused]; null if there is none.
  Future<String?> otherToken(String? refused) async {
    try {
      final fresh = await _token?.call(refresh: true);
      return fresh == refused ? null : fresh;
    } on Exception {
      return null;
    }
  }

  /// Sends a request over [client], and returns the head of the answer.
  Future<http.StreamedResponse> sendOnce(http.Client client, http.BaseRequest request, String? token) {
    if (token != null && token.isNotEmpty) {
      // No header takes it, and no other try would: a token that was cut or copied wrongly is one that is refused.
      if (!_visible.hasMatch(token)) throw ProblemException(_brokenToken);
      request.headers['Authorization'] = 'Bearer $token';
    }
    request.headers.putIfAbsent('Accept', () => 'application/json');
    return client.send(request);
  }

  static const Problem _brokenToken = Problem(
    status: 401,
    code: ProblemCode.unauthenticated,
    title: 'The token cannot be sent.',
    detail: 'The token has characters that no token has. Copy it again, whole and without anything else.',
  );

  /// Returns the error for a service that cannot be reached.
  AgentRouteException unreachable(Object cause) {
    if (cause is AgentRouteException) return cause;
    return ConnectionFailed('The service at ${urls.service} cannot be reached.', cause: cause);
  }

  /// Returns a request whose body is JSON.
  static http.Request jsonRequest(String method, Uri url, Object? body, {Map<String, String> headers = const {}}) {
    return http.Request(method, url)
      ..headers.addAll({...headers, 'Content-Type': 'application/json'})
      ..bodyBytes = utf8.encode(jsonEncode(body));
  }

  /// Reads the body of a success. Throws an [UnexpectedAnswer] if [read] cannot.
  static T read<T>(http.Response response, T Function(Object? value) read) {
    try {
      return read(jsonDecode(utf8.decode(response.bodyBytes, allowMalformed: true)));
    } on FormatException catch (error) {
      throw UnexpectedAnswer(
        'The answer is not one of AgentRoute: ${error.message}',
        status: response.statusCode,
      );
    }
  }

  /// Lets go of the connections of single requests. What is under way fails, and is not sent again.
  void close() {
    _isClosed = true;
    _client?.close();
  }
}
