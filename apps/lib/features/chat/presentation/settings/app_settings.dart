import 'package:agentroute_chat/features/chat/data/services/api_urls.dart';
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
      if (kept != null && ApiUrls.problemOf(kept) == null) _serverUrl = kept;
      _lastThreadId = preferences.getString(_threadKey);
    } on Exception catch (error) {
      debugPrint('The settings could not be read: $error');
    }
    notifyListeners();
  }

  /// Takes another service or another token into use.
  Future<void> change({required String serverUrl, required String token}) async {
    final url = cleanServerUrl(serverUrl);
    final secret = token.trim();
    // Nothing is new: the open conversation stays, with what is written in it.
    if (url == _serverUrl && secret == _token) return;
    // Another service has other conversations.
    if (url != _serverUrl) _lastThreadId = null;
    _serverUrl = url;
    _token = secret;
    notifyListeners();
    await _keep();
  }

  /// Remembers the open conversation; null forgets it.
  Future<void> keepThread(String? threadId) async {
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

/// Says what is wrong with a token; null if nothing is, or if there is none.
String? tokenProblem(String text) {
  final token = text.trim();
  if (token.toLowerCase().startsWith('bearer ')) return 'Only the token, without the word before it.';
  return RegExp(r'^[\x21-\x7e]*$').hasMatch(token) ? null : 'A token has no blanks and no special characters.';
}

/// The form in which an address is kept.
String cleanServerUrl(String text) => text.trim().replaceFirst(RegExp(r'/+$'), '');
