part of 'ag_ui_event.dart';

/// The model begins to write a call.
final class ToolCallStartEvent extends AgUiEvent {
  const ToolCallStartEvent({
    required this.toolCallId,
    required this.toolCallName,
    this.parentMessageId,
    super.raw,
  });

  factory ToolCallStartEvent._(JsonObject json) => ToolCallStartEvent(
        toolCallId: json.text('toolCallId'),
        toolCallName: json.text('toolCallName'),
        parentMessageId: json.textOrNull('parentMessageId'),
        raw: json.raw,
      );

  final String toolCallId;
  final String toolCallName;
  final String? parentMessageId;

  @override
  String get type => 'TOOL_CALL_START';
}

/// A piece of the arguments, which are JSON text.
final class ToolCallArgsEvent extends AgUiEvent {
  const ToolCallArgsEvent({required this.toolCallId, required this.delta, super.raw});

  factory ToolCallArgsEvent._(JsonObject json) => ToolCallArgsEvent(
        toolCallId: json.text('toolCallId'),
        delta: json.text('delta'),
        raw: json.raw,
      );

  final String toolCallId;
  final String delta;

  @override
  String get type => 'TOOL_CALL_ARGS';
}

/// The arguments are complete.
final class ToolCallEndEvent extends AgUiEvent {
  const ToolCallEndEvent({required this.toolCallId, super.raw});

  factory ToolCallEndEvent._(JsonObject json) => ToolCallEndEvent(
        toolCallId: json.text('toolCallId'),
        raw: json.raw,
      );

  final String toolCallId;

  @override
  String get type => 'TOOL_CALL_END';
}

/// Start, arguments and end in one. AgentRoute sends none.
final class ToolCallChunkEvent extends AgUiEvent {
  const ToolCallChunkEvent({this.toolCallId, this.toolCallName, this.parentMessageId, this.delta, super.raw});

  factory ToolCallChunkEvent._(JsonObject json) => ToolCallChunkEvent(
        toolCallId: json.textOrNull('toolCallId'),
        toolCallName: json.textOrNull('toolCallName'),
        parentMessageId: json.textOrNull('parentMessageId'),
        delta: json.textOrNull('delta'),
        raw: json.raw,
      );

  final String? toolCallId;
  final String? toolCallName;
  final String? parentMessageId;
  final String? delta;

  @override
  String get type => 'TOOL_CALL_CHUNK';
}

/// What a tool answered. `metadata.state` says how the call went; absent is a success.
final class ToolCallResultEvent extends AgUiEvent {
  const ToolCallResultEvent({
    required this.messageId,
    required this.toolCallId,
    required this.content,
    this.role = 'tool',
    super.raw,
  });

  factory ToolCallResultEvent._(JsonObject json) => ToolCallResultEvent(
        messageId: json.text('messageId'),
        toolCallId: json.text('toolCallId'),
        content: MessageContent.fromJson(json.raw['content']),
        role: json.textOrNull('role') ?? 'tool',
        raw: json.raw,
      );

  final String messageId;
  final String toolCallId;
  final MessageContent content;
  final String role;

  @override
  String get type => 'TOOL_CALL_RESULT';
}
