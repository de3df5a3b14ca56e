import 'package:flutter/foundation.dart';
import 'package:shared_preferences/shared_preferences.dart';

/// Where the service is, and who the user is.
///
/// The address is kept. A token is not: it lives until the app is closed, because preferences are no safe place for
/// it. An app with a login of its own hands its tokens to `AgUiService` and needs no token here.
class AppSettings extends ChangeNotifier {
  AppSettings({String? serverUrl}) : _serverUrl = serverUrl ?? defaultServerUrl;

  static const _urlKey = 'serverUrl';
  static const _threadKey = 'lastThreadId';

  /// Android's emulator reaches the machine that it runs on under 10.0.2.2; everywhere else that is localhost.
  static String get defaultServerUrl {
    final isAndroid = !kIsWeb && defaultTargetPlatform == TargetPlatform.android;
    return isAndroid ? 'http://10.0.2.2:8000' : 'http://localhost:8000';
  }

  String _serverUrl;
  String _token = '';
  String? _lastThreadId;

  /// The service without a path behind it and without a slash at its end.
  String get serverUrl => _serverUrl;

  /// The bearer token; empty where the service wants none.
  String get token => _token;

  /// The conversation that was open when the app was closed, or killed by the system.
  String? get lastThreadId => _lastThreadId;

  /// Reads what was kept. Without it the default stays, so an error is no reason to stop.
  Future<void> load() async {
    try {
      final preferences = await SharedPreferences.getInstance();
      final kept = preferences.getString(_urlKey);
      if (kept != null && serverUrlProblem(kept) == null) _serverUrl = kept;
      _lastThreadId = preferences.getString(_threadKey);
    } on Exception catch (error) {
      debugPrint('The settings could not be read: $error');
    }
    notifyListeners();
  }

  /// Takes another service or another token into use.
  Future<void> change({required String serverUrl, required String token}) async {
    final url = cleanServerUrl(serverUrl);
    // Another service has other conversations.
    if (url != _serverUrl) _lastThreadId = null;
    _serverUrl = url;
    _token = token.trim();
    notifyListeners();
    await _keep();
  }

  /// Remembers the open conversation.
  Future<void> keepThread(String threadId) async {
    if (threadId == _lastThreadId) return;
    _lastThreadId = threadId;
    await _keep();
  }

  Future<void> _keep() async {
    final threadId = _lastThreadId;
    try {
      final preferences = await SharedPreferences.getInstance();
      await preferences.setString(_urlKey, _serverUrl);
      if (threadId == null) {
        await preferences.remove(_threadKey);
      } else {
        await preferences.setString(_threadKey, threadId);
      }
    } on Exception catch (error) {
      debugPrint('The settings could not be kept: $error');
    }
  }
}

/// Says what is wrong with the address of a service; null if nothing is.
String? serverUrlProblem(String text) {
  final url = Uri.tryParse(text.trim());
  if (url == null || !url.hasScheme || url.host.isEmpty) return 'An address looks like https://chat.example.com.';
  if (url.scheme != 'http' && url.scheme != 'https') return 'The address has to begin with http:// or https://.';
  if (url.userInfo.isNotEmpty || url.hasQuery || url.hasFragment) {
    return 'Only the address, without anything behind it.';
  }
  return null;
}

/// The form in which an address is kept.
String cleanServerUrl(String text) => text.trim().replaceFirst(RegExp(r'/+$'), '');
