part of 'ag_ui_event.dart';

/// A message begins. One that is there already, after a connect, goes on.
final class TextMessageStartEvent extends AgUiEvent {
  const TextMessageStartEvent({required this.messageId, this.role = 'assistant', this.name, super.raw});

  factory TextMessageStartEvent._(JsonObject json) => TextMessageStartEvent(
        messageId: json.text('messageId'),
        role: json.textOrNull('role') ?? 'assistant',
        name: json.textOrNull('name'),
        raw: json.raw,
      );

  final String messageId;
  final String role;
  final String? name;

  @override
  String get type => 'TEXT_MESSAGE_START';
}

/// A piece of text.
final class TextMessageContentEvent extends AgUiEvent {
  const TextMessageContentEvent({required this.messageId, required this.delta, super.raw});

  factory TextMessageContentEvent._(JsonObject json) => TextMessageContentEvent(
        messageId: json.text('messageId'),
        delta: json.text('delta'),
        raw: json.raw,
      );

  final String messageId;
  final String delta;

  @override
  String get type => 'TEXT_MESSAGE_CONTENT';
}

/// A message is complete. Its [metadata] has model, tokens, cost and times.
final class TextMessageEndEvent extends AgUiEvent {
  const TextMessageEndEvent({required this.messageId, super.raw});

  factory TextMessageEndEvent._(JsonObject json) => TextMessageEndEvent(
        messageId: json.text('messageId'),
        raw: json.raw,
      );

  final String messageId;

  @override
  String get type => 'TEXT_MESSAGE_END';
}

/// Start, content and end in one: the first chunk has the id. AgentRoute sends none.
final class TextMessageChunkEvent extends AgUiEvent {
  const TextMessageChunkEvent({this.messageId, this.role, this.name, this.delta, super.raw});

  factory TextMessageChunkEvent._(JsonObject json) => TextMessageChunkEvent(
        messageId: json.textOrNull('messageId'),
        role: json.textOrNull('role'),
        name: json.textOrNull('name'),
        delta: json.textOrNull('delta'),
        raw: json.raw,
      );

  final String? messageId;
  final String? role;
  final String? name;
  final String? delta;

  @override
  String get type => 'TEXT_MESSAGE_CHUNK';
}

/// The model begins to think.
final class ReasoningStartEvent extends AgUiEvent {
  const ReasoningStartEvent({required this.messageId, super.raw});

  factory ReasoningStartEvent._(JsonObject json) => ReasoningStartEvent(
        messageId: json.text('messageId'),
        raw: json.raw,
      );

  final String messageId;

  @override
  String get type => 'REASONING_START';
}

/// A message of reasoning begins.
final class ReasoningMessageStartEvent extends AgUiEvent {
  const ReasoningMessageStartEvent({required this.messageId, this.role = 'reasoning', super.raw});

  factory ReasoningMessageStartEvent._(JsonObject json) => ReasoningMessageStartEvent(
        messageId: json.text('messageId'),
        role: json.textOrNull('role') ?? 'reasoning',
        raw: json.raw,
      );

  final String messageId;
  final String role;

  @override
  String get type => 'REASONING_MESSAGE_START';
}

/// A piece of reasoning.
final class ReasoningMessageContentEvent extends AgUiEvent {
  const ReasoningMessageContentEvent({required this.messageId, required this.delta, super.raw});

  factory ReasoningMessageContentEvent._(JsonObject json) => ReasoningMessageContentEvent(
        messageId: json.text('messageId'),
        delta: json.text('delta'),
        raw: json.raw,
      );

  final String messageId;
  final String delta;

  @override
  String get type => 'REASONING_MESSAGE_CONTENT';
}

/// A message of reasoning is complete.
final class ReasoningMessageEndEvent extends AgUiEvent {
  const ReasoningMessageEndEvent({required this.messageId, super.raw});

  factory ReasoningMessageEndEvent._(JsonObject json) => ReasoningMessageEndEvent(
        messageId: json.text('messageId'),
        raw: json.raw,
      );

  final String messageId;

  @override
  String get type => 'REASONING_MESSAGE_END';
}

/// Start, content and end in one. AgentRoute sends none.
final class ReasoningMessageChunkEvent extends AgUiEvent {
  const ReasoningMessageChunkEvent({this.messageId, this.delta, super.raw});

  factory ReasoningMessageChunkEvent._(JsonObject json) => ReasoningMessageChunkEvent(
        messageId: json.textOrNull('messageId'),
        delta: json.textOrNull('delta'),
        raw: json.raw,
      );

  final String? messageId;
  final String? delta;

  @override
  String get type => 'REASONING_MESSAGE_CHUNK';
}

/// The model has finished thinking.
final class ReasoningEndEvent extends AgUiEvent {
  const ReasoningEndEvent({required this.messageId, super.raw});

  factory ReasoningEndEvent._(JsonObject json) => ReasoningEndEvent(
        messageId: json.text('messageId'),
        raw: json.raw,
      );

  final String messageId;

  @override
  String get type => 'REASONING_END';
}

/// Reasoning that only its provider can read.
final class ReasoningEncryptedValueEvent extends AgUiEvent {
  const ReasoningEncryptedValueEvent({
    required this.subtype,
    required this.entityId,
    required this.encryptedValue,
    super.raw,
  });

  factory ReasoningEncryptedValueEvent._(JsonObject json) => ReasoningEncryptedValueEvent(
        subtype: json.text('subtype'),
        entityId: json.text('entityId'),
        encryptedValue: json.text('encryptedValue'),
        raw: json.raw,
      );

  final String subtype;
  final String entityId;
  final String encryptedValue;

  @override
  String get type => 'REASONING_ENCRYPTED_VALUE';
}

/// Vocabulary before 1.0: `REASONING_START` without an id.
final class ThinkingStartEvent extends AgUiEvent {
  const ThinkingStartEvent({this.title, super.raw});

  factory ThinkingStartEvent._(JsonObject json) => ThinkingStartEvent(
        title: json.textOrNull('title'),
        raw: json.raw,
      );

  final String? title;

  @override
  String get type => 'THINKING_START';
}

/// Vocabulary before 1.0: `REASONING_MESSAGE_START` without an id.
final class ThinkingTextMessageStartEvent extends AgUiEvent {
  const ThinkingTextMessageStartEvent({super.raw});

  factory ThinkingTextMessageStartEvent._(JsonObject json) => ThinkingTextMessageStartEvent(
        raw: json.raw,
      );

  @override
  String get type => 'THINKING_TEXT_MESSAGE_START';
}

/// Vocabulary before 1.0: `REASONING_MESSAGE_CONTENT` without an id.
final class ThinkingTextMessageContentEvent extends AgUiEvent {
  const ThinkingTextMessageContentEvent({required this.delta, super.raw});

  factory ThinkingTextMessageContentEvent._(JsonObject json) => ThinkingTextMessageContentEvent(
        delta: json.text('delta'),
        raw: json.raw,
      );

  final String delta;

  @override
  String get type => 'THINKING_TEXT_MESSAGE_CONTENT';
}

/// Vocabulary before 1.0: `REASONING_MESSAGE_END` without an id.
final class ThinkingTextMessageEndEvent extends AgUiEvent {
  const ThinkingTextMessageEndEvent({super.raw});

  factory ThinkingTextMessageEndEvent._(JsonObject json) => ThinkingTextMessageEndEvent(
        raw: json.raw,
      );

  @override
  String get type => 'THINKING_TEXT_MESSAGE_END';
}

/// Vocabulary before 1.0: `REASONING_END` without an id.
final class ThinkingEndEvent extends AgUiEvent {
  const ThinkingEndEvent({super.raw});

  factory ThinkingEndEvent._(JsonObject json) => ThinkingEndEvent(
        raw: json.raw,
      );

  @override
  String get type => 'THINKING_END';
}
