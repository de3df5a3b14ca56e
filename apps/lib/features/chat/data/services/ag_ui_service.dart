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
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';

/// What the app asks of an AgentRoute service. `HttpAgUiService` is the real one; tests have one of their own.
///
/// Every method throws an [AgentRouteException], and every stream ends with one, if the service refuses for good or
/// cannot be reached for too long. What passes by itself (a restart, a dead spot) is waited for.
abstract interface class AgUiService {
  /// Stores a run; it is executed, whatever becomes of this app.
  ///
  /// The same [input] may be sent again: it is never executed twice. An [input] with answers goes to `POST /resume`.
  Future<AcceptedRun> start(RunInput input);

  /// Starts a run and follows it to its last event. Leaving the stream does not stop the run.
  Stream<AgUiEnvelope> run(RunInput input, {LinkListener? onLink});

  /// Follows a run from [cursor], or from its first event, to its last.
  Stream<AgUiEnvelope> followRun({
    required String threadId,
    required String runId,
    String? cursor,
    LinkListener? onLink,
  });

  /// Follows every run of a thread, those of other devices too, from the `cursor` of its history on. It has no end.
  Stream<AgUiEnvelope> followThread({required String threadId, required String cursor, LinkListener? onLink});

  /// Reads the newest messages of a thread, or those before [before].
  Future<HistoryPage> history(String threadId, {int limit = 50, String? before});

  /// Asks a run to stop. Its last event comes when it has. A run that has ended already is no error.
  Future<void> cancel({required String threadId, required String runId});

  /// Lists the agents that a new thread may have, the default one first.
  Future<List<AgentSummary>> agents();

  /// Lists threads, newest activity first; with [query] those whose title or messages have its words.
  Future<ThreadPage> threads({String? query, int limit = 30, String? before});

  Future<ThreadSummary> renameThread(String threadId, String title);

  /// Deletes a thread with its messages. One that is gone already is no error.
  Future<void> deleteThread(String threadId);

  /// Turns speech into text: wav, mp3, flac, ogg, webm or m4a.
  Future<Transcription> transcribe(Uint8List audio, {required String filename, String? language, String? prompt});

  /// Stores a file for messages, which name it by its `part`. The same bytes again are the same file.
  Future<StoredFile> upload(Uint8List bytes, {required String filename});

  /// Gives the user's own token for a server that a question of the reason `connection_required` names.
  Future<void> connectServer(String server, String token);

  /// Lets go of the connections of single requests. A stream lets go of its own when nobody listens any more.
  void close();
}
