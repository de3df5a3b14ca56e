// `flutter create` makes a file of this name for an app of its own, unless there is one.
import 'package:agentroute_chat/features/chat/presentation/settings/app_settings.dart';
import 'package:agentroute_chat/main.dart';
import 'package:flutter_test/flutter_test.dart';
import 'package:shared_preferences/shared_preferences.dart';

import 'support/chat_app.dart';
import 'support/fake_service.dart';

void main() {
  testWidgets('the app starts, and takes another service into use', (tester) async {
    SharedPreferences.setMockInitialValues({});
    final settings = AppSettings(serverUrl: 'http://localhost:8000');
    final made = <String>[];
    await tester.pumpWidget(
      ChatApp(
        settings: settings,
        serviceOf: (settings) {
          made.add(settings.serverUrl);
          return FakeService();
        },
      ),
    );
    await settle(tester);
    expect(words('Ask something to begin.'), findsOneWidget);
    await settings.change(serverUrl: 'https://chat.example.com', token: '');
    await settle(tester);
    expect(made, ['http://localhost:8000', 'https://chat.example.com']);
    expect(words('Ask something to begin.'), findsOneWidget);
  });
}
