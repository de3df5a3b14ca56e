import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/data/models/run_outcome.dart';

export 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
export 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
export 'package:agentroute_chat/features/chat/data/models/run_outcome.dart';

part 'ag_ui_event_run.dart';
part 'ag_ui_event_state.dart';
part 'ag_ui_event_text.dart';
part 'ag_ui_event_tools.dart';

/// One event of AG-UI 1.0, or of the vocabulary before it: one class a type.
///
/// The class of TEXT_MESSAGE_CONTENT is [TextMessageContentEvent], with the members of the wire.
sealed class AgUiEvent {
  const AgUiEvent({this.raw = const {}});

  /// Never throws. An unknown type, and a member that is missing or broken, become an [UnknownAgUiEvent].
  static AgUiEvent fromJson(Map<String, dynamic> json) {
    final reader = _readers[json['type']];
    if (reader == null) return UnknownAgUiEvent(raw: json);
    try {
      final object = JsonObject(json)
        ..numberOrNull('timestamp')
        ..textOrNull('subagentRunId')
        ..objectOrNull('metadata');
      return reader(object);
    } on FormatException {
      return UnknownAgUiEvent(raw: json);
    }
  }

  /// The event as it came, with all its members; empty for one that was made here.
  final Map<String, dynamic> raw;

  /// As AG-UI names it.
  String get type;

  /// Milliseconds since 1970.
  int? get timestamp {
    final Object? value = raw['timestamp'];
    return value is num && value.isFinite ? value.toInt() : null;
  }

  /// The subagent from which the event comes; null for the agent itself.
  String? get subagentRunId {
    final Object? value = raw['subagentRunId'];
    return value is String ? value : null;
  }

  Map<String, dynamic> get metadata => JsonObject.asObject(raw['metadata']) ?? const {};

  /// The last event of a run.
  bool get isTerminal => this is RunFinishedEvent || this is RunErrorEvent;

  @override
  String toString() => '$type $raw';
}

/// An event of a type that this version does not know, or in a form that it does not know.
final class UnknownAgUiEvent extends AgUiEvent {
  const UnknownAgUiEvent({required super.raw});

  @override
  String get type {
    final Object? type = raw['type'];
    return type is String ? type : '';
  }

  /// A last event whose other members are broken is still the last one.
  @override
  bool get isTerminal => type == 'RUN_FINISHED' || type == 'RUN_ERROR';
}

final Map<String, AgUiEvent Function(JsonObject)> _readers = {
  'RUN_STARTED': RunStartedEvent._,
  'RUN_FINISHED': RunFinishedEvent._,
  'RUN_ERROR': RunErrorEvent._,
  'STEP_STARTED': StepStartedEvent._,
  'STEP_FINISHED': StepFinishedEvent._,
  'SUBAGENT_STARTED': SubagentStartedEvent._,
  'SUBAGENT_FINISHED': SubagentFinishedEvent._,
  'SUBAGENT_ERROR': SubagentErrorEvent._,
  'TEXT_MESSAGE_START': TextMessageStartEvent._,
  'TEXT_MESSAGE_CONTENT': TextMessageContentEvent._,
  'TEXT_MESSAGE_END': TextMessageEndEvent._,
  'TEXT_MESSAGE_CHUNK': TextMessageChunkEvent._,
  'REASONING_START': ReasoningStartEvent._,
  'REASONING_MESSAGE_START': ReasoningMessageStartEvent._,
  'REASONING_MESSAGE_CONTENT': ReasoningMessageContentEvent._,
  'REASONING_MESSAGE_END': ReasoningMessageEndEvent._,
  'REASONING_MESSAGE_CHUNK': ReasoningMessageChunkEvent._,
  'REASONING_END': ReasoningEndEvent._,
  'REASONING_ENCRYPTED_VALUE': ReasoningEncryptedValueEvent._,
  'THINKING_START': ThinkingStartEvent._,
  'THINKING_TEXT_MESSAGE_START': ThinkingTextMessageStartEvent._,
  'THINKING_TEXT_MESSAGE_CONTENT': ThinkingTextMessageContentEvent._,
  'THINKING_TEXT_MESSAGE_END': ThinkingTextMessageEndEvent._,
  'THINKING_END': ThinkingEndEvent._,
  'TOOL_CALL_START': ToolCallStartEvent._,
  'TOOL_CALL_ARGS': ToolCallArgsEvent._,
  'TOOL_CALL_END': ToolCallEndEvent._,
  'TOOL_CALL_CHUNK': ToolCallChunkEvent._,
  'TOOL_CALL_RESULT': ToolCallResultEvent._,
  'STATE_SNAPSHOT': StateSnapshotEvent._,
  'STATE_DELTA': StateDeltaEvent._,
  'MESSAGES_SNAPSHOT': MessagesSnapshotEvent._,
  'ACTIVITY_SNAPSHOT': ActivitySnapshotEvent._,
  'ACTIVITY_DELTA': ActivityDeltaEvent._,
  'RAW': RawEvent._,
  'CUSTOM': CustomEvent._,
};
