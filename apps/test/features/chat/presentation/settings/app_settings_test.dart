import 'package:agentroute_chat/features/chat/presentation/settings/app_settings.dart';
import 'package:flutter_test/flutter_test.dart';
import 'package:shared_preferences/shared_preferences.dart';

void main() {
  TestWidgetsFlutterBinding.ensureInitialized();

  setUp(() => SharedPreferences.setMockInitialValues({}));

  test('an address is kept, a token is not', () async {
    final settings = AppSettings(serverUrl: 'http://localhost:8000');
    await settings.change(serverUrl: ' https://chat.example.com/ ', token: ' secret ');
    expect((settings.serverUrl, settings.token), ('https://chat.example.com', 'secret'));
    final next = AppSettings();
    await next.load();
    expect((next.serverUrl, next.token), ('https://chat.example.com', ''));
  });

  test('the open conversation is found again, but not at another service', () async {
    final settings = AppSettings(serverUrl: 'http://localhost:8000');
    await settings.keepThread('t-1');
    final next = AppSettings();
    await next.load();
    expect(next.lastThreadId, 't-1');
    await next.change(serverUrl: 'https://chat.example.com', token: '');
    expect(next.lastThreadId, isNull);
  });

  test('what is no address is refused in words', () {
    expect(serverUrlProblem('https://chat.example.com'), isNull);
    expect(serverUrlProblem('http://10.0.2.2:8000/'), isNull);
    for (final text in ['', 'chat', 'ftp://chat.example.com', 'https://me@chat.example.com', 'https://a.b?c=d']) {
      expect(serverUrlProblem(text), isNotNull, reason: text);
    }
  });
}
