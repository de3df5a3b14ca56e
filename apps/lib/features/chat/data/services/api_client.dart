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

  final ApiUrls urls;
  final OpenClient openClient;
  final Patience patience;
  final Clock clock;
  final Sleep sleep;

  /// A stream that says less is dead, whatever the phone thinks of it: the service sends a heartbeat every 15 s.
  final Duration silence;
  final TokenProvider? _token;
  late final http.Client _client = openClient();

  /// Sends a request, made by [make] for each attempt, until there is an answer that stays.
  ///
  /// Throws an [AgentRouteException] for an answer that is no success, and if there is none.
  Future<http.Response> send(http.BaseRequest Function() make, {Duration within = _answerWithin}) async {
    final attempts = Attempts(patience);
    var mayRefresh = true;
    String? fresh;
    while (true) {
      final AgentRouteException error;
      try {
        final token = fresh ?? await presentToken();
        fresh = null;
        final streamed = await sendOnce(_client, make(), token).timeout(within);
        final response = await http.Response.fromStream(streamed).timeout(within);
        if (response.statusCode >= 200 && response.statusCode < 300) return response;
        if (response.statusCode == 401 && mayRefresh) {
          mayRefresh = false;
          fresh = await otherToken(token);
          if (fresh != null) continue;
        }
        error = refusal(response.statusCode, response.headers, response.bodyBytes, now: clock());
      } on AgentRouteException {
        rethrow;
      } on Exception catch (failure) {
        await sleep(attempts.next(unreachable(failure)));
        continue;
      }
      if (!mayPass(error)) throw error;
      await sleep(attempts.next(error));
    }
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
    if (token != null && token.isNotEmpty) request.headers['Authorization'] = 'Bearer $token';
    request.headers.putIfAbsent('Accept', () => 'application/json');
    return client.send(request);
  }

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

  /// Lets go of the connections of single requests.
  void close() => _client.close();
}
