import 'dart:async';
import 'dart:convert';

import 'package:http/http.dart' as http;
import 'package:http/testing.dart';

/// One request as the service got it.
final class SentRequest {
  const SentRequest(this.method, this.url, this.headers, this.body);

  final String method;
  final Uri url;
  final Map<String, String> headers;
  final String body;

  String get path => url.path;

  Map<String, dynamic> get json => jsonDecode(body) as Map<String, dynamic>;
}

/// Answers one request.
typedef Answer = FutureOr<http.StreamedResponse> Function(SentRequest request);

/// A service that answers one request after the other, as it is told to.
final class FakeHttp {
  FakeHttp(List<Answer> answers) : _answers = [...answers];

  final List<Answer> _answers;
  final List<SentRequest> requests = [];

  /// How many clients were opened.
  int opened = 0;

  http.Client open() {
    opened++;
    return MockClient.streaming((request, body) async {
      final sent = SentRequest(request.method, request.url, request.headers, await body.bytesToString());
      requests.add(sent);
      if (_answers.isEmpty) throw http.ClientException('nobody answers', request.url);
      return _answers.removeAt(0)(sent);
    });
  }
}

/// A JSON answer.
Answer json(Object? body, {int status = 200, Map<String, String> headers = const {}}) {
  return (request) => http.StreamedResponse(
        Stream.value(utf8.encode(jsonEncode(body))),
        status,
        headers: {'content-type': 'application/json', ...headers},
      );
}

/// A refusal in the service's form.
Answer problem(int status, String code, {bool retryable = false, Map<String, String> headers = const {}}) {
  return json(
    {
      'type': '/problems/$code',
      'title': code,
      'status': status,
      'detail': 'Why.',
      'code': code,
      'retryable': retryable,
    },
    status: status,
    headers: headers,
  );
}

/// A stream that says [text], in pieces of [size] bytes, and ends in order.
Answer sse(String text, {int size = 1 << 20}) {
  return (request) => http.StreamedResponse(Stream.fromIterable(_pieces(text, size)), 200, headers: _streamHeaders);
}

/// A stream that says [text] and breaks.
Answer sseThatBreaks(String text) {
  Stream<List<int>> body(Uri url) async* {
    yield utf8.encode(text);
    throw http.ClientException('the line broke', url);
  }

  return (request) => http.StreamedResponse(body(request.url), 200, headers: _streamHeaders);
}

/// A stream that says what [body] adds.
Answer sseOf(StreamController<List<int>> body) {
  return (request) => http.StreamedResponse(body.stream, 200, headers: _streamHeaders);
}

/// No answer at all.
Answer noAnswer() {
  return (request) => throw http.ClientException('no route to host', request.url);
}

/// A frame of the service.
String frame(String cursor, Map<String, dynamic> event) => 'id: $cursor\ndata: ${jsonEncode(event)}\n\n';

const Map<String, String> _streamHeaders = {'content-type': 'text/event-stream'};

Iterable<List<int>> _pieces(String text, int size) sync* {
  final bytes = utf8.encode(text);
  for (var start = 0; start < bytes.length; start += size) {
    final end = start + size < bytes.length ? start + size : bytes.length;
    yield bytes.sublist(start, end);
  }
}
