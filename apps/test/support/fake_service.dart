import 'dart:async';
import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/data/models/accepted_run.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/data/models/stored_file.dart';
import 'package:agentroute_chat/features/chat/data/models/thread_summary.dart';
import 'package:agentroute_chat/features/chat/data/models/transcription.dart';
import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';

/// One line of a thread that a test speaks on.
class FakeLine {
  FakeLine({required this.cursor, required this.onLink});

  final String cursor;
  final LinkListener? onLink;
  final StreamController<AgUiEnvelope> _events = StreamController<AgUiEnvelope>();
  int _sequence = 0;

  /// Whether the app listens.
  bool isOpen = true;

  Stream<AgUiEnvelope> get events => _events.stream;

  /// Tells an event of the wire, as the next one of the first run of the thread.
  void tell(Map<String, dynamic> event) {
    _sequence++;
    _events.add(AgUiEnvelope('9-$_sequence', AgUiEvent.fromJson(event)));
  }

  /// Tells an event that is in no log.
  void mention(Map<String, dynamic> event) => _events.add(AgUiEnvelope(null, AgUiEvent.fromJson(event)));

  void fail(Object error) => _events.addError(error);

  void link(LinkState state) => onLink?.call(state);
}

/// A service in memory: it notes what it is asked, and tells what a test gives it.
class FakeService implements AgUiService {
  final List<RunInput> started = [];
  final List<String> cancelled = [];
  final List<String> deleted = [];
  final List<(String, String)> connected = [];
  final List<String?> searches = [];
  final List<FakeLine> lines = [];

  /// What the next starts answer with; an accepted run when there is nothing.
  final List<Object> refusals = [];

  /// What the answers of starts wait for.
  Completer<void>? acceptance;

  /// The history by the `before` that it is asked for.
  final Map<String?, HistoryPage> pages = {};

  List<AgentSummary> agentList = const [];
  List<ThreadSummary> summaries = const [];
  String said = 'what was said';
  Object? transcribeRefusal;
  int historyReads = 0;

  /// Whether nobody answers when the history is read.
  bool isSilent = false;

  FakeLine get line => lines.last;

  @override
  Future<AcceptedRun> start(RunInput input) async {
    started.add(input);
    if (refusals.isNotEmpty) throw refusals.removeAt(0);
    await acceptance?.future;
    return AcceptedRun(threadId: input.threadId, runId: input.runId, status: 'queued', cursor: '8-1');
  }

  @override
  Stream<AgUiEnvelope> followThread({required String threadId, required String cursor, LinkListener? onLink}) {
    final line = FakeLine(cursor: cursor, onLink: onLink);
    line._events.onCancel = () => line.isOpen = false;
    lines.add(line);
    onLink?.call(LinkState.live);
    return line.events;
  }

  @override
  Future<HistoryPage> history(String threadId, {int limit = 50, String? before}) async {
    historyReads++;
    if (isSilent) return Completer<HistoryPage>().future;
    return pages[before] ?? HistoryPage(threadId: threadId, cursor: '0-0');
  }

  @override
  Future<void> cancel({required String threadId, required String runId}) async => cancelled.add(runId);

  @override
  Future<List<AgentSummary>> agents() async => agentList;

  @override
  Future<ThreadPage> threads({String? query, int limit = 30, String? before}) async {
    searches.add(query);
    return ThreadPage(
      threads: [
        for (final thread in summaries)
          if (query == null || (thread.title ?? '').contains(query)) thread,
      ],
    );
  }

  @override
  Future<ThreadSummary> renameThread(String threadId, String title) async {
    return ThreadSummary(threadId: threadId, title: title);
  }

  @override
  Future<void> deleteThread(String threadId) async => deleted.add(threadId);

  @override
  Future<Transcription> transcribe(
    Uint8List audio, {
    required String filename,
    String? language,
    String? prompt,
  }) async {
    final refusal = transcribeRefusal;
    if (refusal != null) throw refusal;
    return Transcription(text: said);
  }

  @override
  Future<StoredFile> upload(Uint8List bytes, {required String filename}) async {
    return StoredFile(fileId: 'f-1', mediaType: 'text/plain', bytes: bytes.length, name: filename);
  }

  @override
  Future<void> connectServer(String server, String token) async => connected.add((server, token));

  @override
  Stream<AgUiEnvelope> run(RunInput input, {LinkListener? onLink}) => const Stream<AgUiEnvelope>.empty();

  @override
  Stream<AgUiEnvelope> followRun({
    required String threadId,
    required String runId,
    String? cursor,
    LinkListener? onLink,
  }) {
    return const Stream<AgUiEnvelope>.empty();
  }

  @override
  void close() {}
}

/// A refusal of the service.
ProblemException refusal(String code, {int status = 409, bool isRetryable = false}) {
  return ProblemException(
    Problem(
      status: status,
      code: code,
      title: 'A title',
      detail: 'The words of the service.',
      isRetryable: isRetryable,
    ),
  );
}

/// The events of a run that says [text], up to its end; without an end if [isOpen].
List<Map<String, dynamic>> answer(String runId, String text, {bool isOpen = false}) {
  return [
    started(runId),
    {'type': 'TEXT_MESSAGE_START', 'messageId': 'a-$runId', 'role': 'assistant'},
    {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'a-$runId', 'delta': text},
    if (!isOpen) {'type': 'TEXT_MESSAGE_END', 'messageId': 'a-$runId'},
    if (!isOpen) finished(runId),
  ];
}

Map<String, dynamic> started(String runId) => {'type': 'RUN_STARTED', 'threadId': 't-1', 'runId': runId};

/// What the thread is told that a run was asked.
Map<String, dynamic> asked(RunInput input) {
  return {
    'type': 'CUSTOM',
    'name': 'agentroute.input',
    'value': {
      'runId': input.runId,
      'messages': [for (final message in input.messages) message.toJson()],
    },
  };
}

Map<String, dynamic> finished(String runId, {Map<String, dynamic>? outcome}) {
  return {
    'type': 'RUN_FINISHED',
    'threadId': 't-1',
    'runId': runId,
    if (outcome != null) 'outcome': outcome,
  };
}

/// A call with its arguments.
List<Map<String, dynamic>> call(String id, String name, String arguments) {
  return [
    {'type': 'TOOL_CALL_START', 'toolCallId': id, 'toolCallName': name, 'parentMessageId': 'a-$id'},
    {'type': 'TOOL_CALL_ARGS', 'toolCallId': id, 'delta': arguments},
    {'type': 'TOOL_CALL_END', 'toolCallId': id},
  ];
}

/// A question whether a call may be made, with arguments that may be changed.
Map<String, dynamic> approval(String id, String callId) {
  return {
    'type': 'interrupt',
    'interrupts': [
      {
        'id': id,
        'reason': 'tool_approval',
        'message': 'May I send the mail?',
        'toolCallId': callId,
        'responseSchema': {
          'type': 'object',
          'properties': {
            'approved': {'type': 'boolean'},
            'input': {
              'type': 'object',
              'properties': {
                'to': {'type': 'string', 'title': 'To'},
              },
            },
          },
          'required': ['approved'],
        },
      },
    ],
  };
}
