import 'dart:async';

import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/data/services/http_ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/presentation/screens/chat_home.dart';
import 'package:agentroute_chat/features/chat/presentation/settings/app_settings.dart';
import 'package:agentroute_chat/features/chat/presentation/settings/settings_screen.dart';
import 'package:agentroute_chat/features/chat/presentation/theme.dart';
import 'package:flutter/material.dart';

Future<void> main() async {
  WidgetsFlutterBinding.ensureInitialized();
  final settings = AppSettings();
  await settings.load();
  runApp(ChatApp(settings: settings));
}

/// Makes the service for the settings. An app with a login of its own gives its tokens here.
typedef ServiceOf = AgUiService Function(AppSettings settings);

AgUiService _httpService(AppSettings settings) {
  return HttpAgUiService(
    address: settings.serverUrl,
    // There is no other token to be had: a refused one is asked for in the settings.
    token: ({required refresh}) async => settings.token.isEmpty ? null : settings.token,
  );
}

/// The app: one service, chosen in the settings, and its conversations.
class ChatApp extends StatefulWidget {
  const ChatApp({required this.settings, this.serviceOf = _httpService, super.key});

  final AppSettings settings;
  final ServiceOf serviceOf;

  @override
  State<ChatApp> createState() => _ChatAppState();
}

class _ChatAppState extends State<ChatApp> {
  final GlobalKey<NavigatorState> _navigator = GlobalKey<NavigatorState>();
  late final ValueNotifier<AgUiService> _service = ValueNotifier(widget.serviceOf(widget.settings));

  @override
  void initState() {
    super.initState();
    widget.settings.addListener(_changed);
  }

  @override
  void dispose() {
    widget.settings.removeListener(_changed);
    _service.value.close();
    _service.dispose();
    super.dispose();
  }

  /// Another service has other conversations: everything of the one before goes.
  void _changed() {
    final before = _service.value;
    _service.value = widget.serviceOf(widget.settings);
    WidgetsBinding.instance.addPostFrameCallback((_) => before.close());
  }

  void _openSettings() {
    final route = MaterialPageRoute<void>(builder: (context) => SettingsScreen(settings: widget.settings));
    unawaited(_navigator.currentState?.push(route));
  }

  @override
  Widget build(BuildContext context) {
    return MaterialApp(
      title: 'AgentRoute',
      navigatorKey: _navigator,
      theme: chatTheme(Brightness.light),
      darkTheme: chatTheme(Brightness.dark),
      home: ValueListenableBuilder<AgUiService>(
        valueListenable: _service,
        builder: (context, service, _) => ChatHome(
          key: ObjectKey(service),
          service: service,
          firstThreadId: widget.settings.lastThreadId,
          onThread: (threadId) => unawaited(widget.settings.keepThread(threadId)),
          onSettings: _openSettings,
        ),
      ),
    );
  }
}
