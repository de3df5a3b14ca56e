import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// A run that is stored: it will be executed, whatever becomes of this app.
final class AcceptedRun {
  const AcceptedRun({required this.threadId, required this.runId, required this.status, this.taskId, this.cursor});

  /// Throws a [FormatException] if it is no accepted run.
  factory AcceptedRun.fromJson(Object? value) {
    final json = JsonObject.of(value, 'an accepted run');
    return AcceptedRun(
      threadId: json.text('threadId'),
      runId: json.text('runId'),
      status: json.textOrNull('status') ?? '',
      taskId: json.textOrNull('taskId'),
      cursor: json.textOrNull('cursor'),
    );
  }

  final String threadId;
  final String runId;
  final String status;
  final String? taskId;

  /// The place before the run's first event; null while the run waits behind another one.
  final String? cursor;
}
