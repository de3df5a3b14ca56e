import 'package:agentroute_chat/features/chat/data/services/api_urls.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('an address is taken with or without the path of the API', () {
    for (final (address, runs) in [
      ('http://localhost:8000', 'http://localhost:8000/api/v1/agent/runs'),
      ('http://localhost:8000/', 'http://localhost:8000/api/v1/agent/runs'),
      (' https://chat.example.com/api/v1/agent/ ', 'https://chat.example.com/api/v1/agent/runs'),
      ('https://example.com/chat', 'https://example.com/chat/api/v1/agent/runs'),
      ('https://example.com/chat/api/v1/agent', 'https://example.com/chat/api/v1/agent/runs'),
      ('http://[::1]:8000', 'http://[::1]:8000/api/v1/agent/runs'),
    ]) {
      expect(ApiUrls(address).runs.toString(), runs);
    }
  });

  test('what is no address is refused in words', () {
    for (final address in [
      ...['', 'localhost:8000', 'ftp://example.com', 'https://', '::', 'https://h/%ff'],
      ...['http://my host', 'http://h!', 'https://me@chat.example.com', 'https://a.b?c=d', 'https://a.b/#c'],
    ]) {
      expect(() => ApiUrls(address), throwsFormatException, reason: address);
      expect(ApiUrls.problemOf(address), isNotNull, reason: address);
    }
    expect(ApiUrls.problemOf('https://chat.example.com/api/v1/agent'), isNull);
  });

  test('a port is a number that a port can be', () {
    for (final port in ['1', '8000', '08000', '65535']) {
      expect(ApiUrls.problemOf('http://h:$port/x'), isNull, reason: port);
      expect(ApiUrls('http://[::1]:$port').runs.port, int.parse(port), reason: port);
    }
    for (final port in ['0', '65536', '99999', '123456', '9' * 30, '80a', '-1', '8:0', '%38']) {
      for (final address in ['http://h:$port', 'https://h:$port/x', 'http://[::1]:$port/']) {
        expect(() => ApiUrls(address), throwsFormatException, reason: address);
        expect(ApiUrls.problemOf(address), contains('65535'), reason: address);
      }
    }
    expect(ApiUrls('http://h:').runs.toString(), 'http://h/api/v1/agent/runs', reason: 'a colon alone says nothing');
    expect(ApiUrls.problemOf('http://h/a:b'), isNull, reason: 'that colon is in the path');
  });

  test('an id is one part of a path, whatever is in it', () {
    final urls = ApiUrls('http://h');
    expect(urls.thread('a/b?c d').toString(), 'http://h/api/v1/agent/threads/a%2Fb%3Fc%20d');
    expect(urls.cancel('r-1').path, '/api/v1/agent/runs/r-1/cancel');
  });

  test('a query has what is asked, and nothing that is not', () {
    final urls = ApiUrls('http://h');
    expect(urls.threads(limit: 30).queryParameters, {'limit': '30'});
    expect(
      urls.threads(limit: 30, query: ' tea & milk ', before: 'b=').queryParameters,
      {'limit': '30', 'q': 'tea & milk', 'before': 'b='},
    );
    expect(urls.history(threadId: 't', limit: 5).queryParameters, {'threadId': 't', 'limit': '5'});
    expect(urls.events({'threadId': 't', 'cursor': '3-17'}).queryParameters, {'threadId': 't', 'cursor': '3-17'});
  });

  test('a path of the service is resolved', () {
    expect(ApiUrls('https://h/x').resolve('/api/v1/agent/files/f').toString(), 'https://h/api/v1/agent/files/f');
  });
}
