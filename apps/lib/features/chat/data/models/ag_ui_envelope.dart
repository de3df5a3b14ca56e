import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';

/// One event of a stream, and its place.
final class AgUiEnvelope {
  const AgUiEnvelope(this.cursor, this.event);

  /// The thread goes on behind this place. Null for an event that is in no log (`agentroute.input`).
  final String? cursor;
  final AgUiEvent event;
}
