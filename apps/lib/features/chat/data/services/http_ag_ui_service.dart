import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/data/models/accepted_run.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/data/models/stored_file.dart';
import 'package:agentroute_chat/features/chat/data/models/thread_summary.dart';
import 'package:agentroute_chat/features/chat/data/models/transcription.dart';
import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/data/services/api_client.dart';
import 'package:agentroute_chat/features/chat/data/services/api_urls.dart';
import 'package:agentroute_chat/features/chat/data/services/event_stream.dart';
import 'package:agentroute_chat/features/chat/data/services/following.dart';
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';
import 'package:http/http.dart' as http;

/// The service over HTTP.
final class HttpAgUiService implements AgUiService {
  /// [address] is that of the service, with or without `/api/v1/agent`. The arguments behind [patience] are for tests.
  ///
  /// Throws a [FormatException] that says what is wrong with the address.
  HttpAgUiService({
    required String address,
    TokenProvider? token,
    Patience patience = const Patience(),
    OpenClient openClient = http.Client.new,
    Clock clock = DateTime.now,
    Sleep sleep = Future<void>.delayed,
    Duration silence = const Duration(seconds: 45),
  }) : _api = ApiClient(
          urls: ApiUrls(address),
          token: token,
          open: openClient,
          patience: patience,
          clock: clock,
          sleep: sleep,
          silence: silence,
        );

  // A model transcribes ten minutes of speech in less.
  static const Duration _transcribeWithin = Duration(minutes: 5);

  // A phone sends the largest file that the service takes, 32 MiB, at one megabit a second.
  static const Duration _uploadWithin = Duration(minutes: 5);

  final ApiClient _api;

  @override
  Future<AcceptedRun> start(RunInput input) async {
    final body = input.toJson();
    final url = input.resume.isEmpty ? _api.urls.runs : _api.urls.resume;
    final response = await _api.send(() => ApiClient.jsonRequest('POST', url, body));
    return ApiClient.read(response, AcceptedRun.fromJson);
  }

  @override
  Stream<AgUiEnvelope> run(RunInput input, {LinkListener? onLink}) {
    return _stream(() async {
      final accepted = await start(input);
      return _place(accepted.threadId, accepted.runId, accepted.cursor, _api.patience);
    }, onLink);
  }

  @override
  Stream<AgUiEnvelope> followRun({
    required String threadId,
    required String runId,
    String? cursor,
    LinkListener? onLink,
  }) {
    return _stream(() async => _place(threadId, runId, cursor, _api.patience), onLink);
  }

  @override
  Stream<AgUiEnvelope> followThread({required String threadId, required String cursor, LinkListener? onLink}) {
    return _stream(() async => _place(threadId, null, cursor, _api.patience.endless), onLink);
  }

  @override
  Future<HistoryPage> history(String threadId, {int limit = 50, String? before}) async {
    final url = _api.urls.history(threadId: threadId, limit: limit, before: before);
    final response = await _api.send(() => http.Request('GET', url));
    return ApiClient.read(response, HistoryPage.fromJson);
  }

  @override
  Future<void> cancel({required String threadId, required String runId}) async {
    final url = _api.urls.cancel(runId);
    try {
      await _api.send(() => ApiClient.jsonRequest('POST', url, {'threadId': threadId}));
    } on ProblemException catch (error) {
      if (error.code != ProblemCode.runFinished) rethrow;
    }
  }

  @override
  Future<List<AgentSummary>> agents() async {
    final response = await _api.send(() => http.Request('GET', _api.urls.agents));
    return ApiClient.read(response, AgentSummary.listFromJson);
  }

  @override
  Future<ThreadPage> threads({String? query, int limit = 30, String? before}) async {
    final url = _api.urls.threads(query: query, limit: limit, before: before);
    final response = await _api.send(() => http.Request('GET', url));
    return ApiClient.read(response, ThreadPage.fromJson);
  }

  @override
  Future<ThreadSummary> renameThread(String threadId, String title) async {
    final url = _api.urls.thread(threadId);
    final response = await _api.send(() => ApiClient.jsonRequest('PATCH', url, {'title': title}));
    return ApiClient.read(response, ThreadSummary.fromJson);
  }

  @override
  Future<void> deleteThread(String threadId) async {
    final url = _api.urls.thread(threadId);
    try {
      await _api.send(() => http.Request('DELETE', url));
    } on ProblemException catch (error) {
      if (error.status != 404) rethrow;
    }
  }

  @override
  Future<Transcription> transcribe(
    Uint8List audio, {
    required String filename,
    String? language,
    String? prompt,
  }) async {
    // Sent again with the same key, it is not paid for twice.
    final key = newId('speech');
    final response = await _api.send(
      () => http.MultipartRequest('POST', _api.urls.transcribe)
        ..headers['Idempotency-Key'] = key
        ..fields.addAll({if (language != null) 'language': language, if (prompt != null) 'prompt': prompt})
        ..files.add(http.MultipartFile.fromBytes('file', audio, filename: filename)),
      within: _transcribeWithin,
    );
    return ApiClient.read(response, Transcription.fromJson);
  }

  @override
  Future<StoredFile> upload(Uint8List bytes, {required String filename}) async {
    final response = await _api.send(
      () => http.MultipartRequest('POST', _api.urls.files)
        ..files.add(http.MultipartFile.fromBytes('file', bytes, filename: filename)),
      within: _uploadWithin,
    );
    return ApiClient.read(response, StoredFile.fromJson);
  }

  @override
  Future<void> connectServer(String server, String token) async {
    final url = _api.urls.connection(server);
    await _api.send(() => ApiClient.jsonRequest('PUT', url, {'token': token}));
  }

  @override
  void close() => _api.close();

  Following _place(String threadId, String? runId, String? cursor, Patience patience) {
    return Following(threadId: threadId, runId: runId, cursor: cursor, patience: patience, clock: _api.clock);
  }

  Stream<AgUiEnvelope> _stream(Future<Following> Function() begin, LinkListener? onLink) {
    return EventStream(_api, begin, onLink: onLink).events;
  }
}
