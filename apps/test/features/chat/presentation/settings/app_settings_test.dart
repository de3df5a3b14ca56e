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

  test('an address that was kept and cannot be used is left alone', () async {
    SharedPreferences.setMockInitialValues({'serverUrl': 'http://localhost:99999'});
    final settings = AppSettings(serverUrl: 'http://localhost:8000');
    await settings.load();
    expect(settings.serverUrl, 'http://localhost:8000');
  });

  test('what cannot stand in a header is no token', () {
    expect(tokenProblem(''), isNull);
    expect(tokenProblem(' eyJhbGciOi.J9_-~ '), isNull);
    for (final text in ['Bearer abc', 'two words', 'lin\ne', 'schlüssel']) {
      expect(tokenProblem(text), isNotNull, reason: text);
    }
  });

  test('settings that are saved without a change leave the conversation alone', () async {
    final settings = AppSettings(serverUrl: 'http://localhost:8000');
    var changes = 0;
    settings.addListener(() => changes++);
    await settings.change(serverUrl: 'http://localhost:8000/', token: ' ');
    expect(changes, 0);
    await settings.change(serverUrl: 'http://localhost:8000', token: 'other');
    expect(changes, 1);
  });
}
