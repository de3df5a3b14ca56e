part of 'ag_ui_event.dart';

/// The whole shared state.
final class StateSnapshotEvent extends AgUiEvent {
  const StateSnapshotEvent({required this.snapshot, super.raw});

  factory StateSnapshotEvent._(JsonObject json) => StateSnapshotEvent(
        snapshot: json.any('snapshot'),
        raw: json.raw,
      );

  final Object? snapshot;

  @override
  String get type => 'STATE_SNAPSHOT';
}

/// A change of the shared state: operations of JSON Patch (RFC 6902).
final class StateDeltaEvent extends AgUiEvent {
  const StateDeltaEvent({required this.delta, super.raw});

  factory StateDeltaEvent._(JsonObject json) => StateDeltaEvent(
        delta: _operations(json, 'delta'),
        raw: json.raw,
      );

  final List<Map<String, dynamic>> delta;

  @override
  String get type => 'STATE_DELTA';
}

/// The messages of the thread, oldest first. They replace those that the app holds.
final class MessagesSnapshotEvent extends AgUiEvent {
  const MessagesSnapshotEvent({required this.messages, super.raw});

  factory MessagesSnapshotEvent._(JsonObject json) => MessagesSnapshotEvent(
        messages: [for (final Object? each in json.list('messages')) ChatMessage.fromJson(each)],
        raw: json.raw,
      );

  final List<ChatMessage> messages;

  @override
  String get type => 'MESSAGES_SNAPSHOT';
}

/// A message for the interface alone.
final class ActivitySnapshotEvent extends AgUiEvent {
  const ActivitySnapshotEvent({
    required this.messageId,
    required this.activityType,
    required this.content,
    this.replace = true,
    super.raw,
  });

  factory ActivitySnapshotEvent._(JsonObject json) => ActivitySnapshotEvent(
        messageId: json.text('messageId'),
        activityType: json.text('activityType'),
        content: json.object('content').raw,
        replace: json.flagOrNull('replace') ?? true,
        raw: json.raw,
      );

  final String messageId;
  final String activityType;
  final Map<String, dynamic> content;
  final bool replace;

  @override
  String get type => 'ACTIVITY_SNAPSHOT';
}

/// A change of such a message: operations of JSON Patch (RFC 6902).
final class ActivityDeltaEvent extends AgUiEvent {
  const ActivityDeltaEvent({
    required this.messageId,
    required this.activityType,
    required this.patch,
    super.raw,
  });

  factory ActivityDeltaEvent._(JsonObject json) => ActivityDeltaEvent(
        messageId: json.text('messageId'),
        activityType: json.text('activityType'),
        patch: _operations(json, 'patch'),
        raw: json.raw,
      );

  final String messageId;
  final String activityType;
  final List<Map<String, dynamic>> patch;

  @override
  String get type => 'ACTIVITY_DELTA';
}

/// An event of another system.
final class RawEvent extends AgUiEvent {
  const RawEvent({required this.event, this.source, super.raw});

  factory RawEvent._(JsonObject json) => RawEvent(
        event: json.any('event'),
        source: json.textOrNull('source'),
        raw: json.raw,
      );

  final Object? event;
  final String? source;

  @override
  String get type => 'RAW';
}

/// Anything else. `AgentRouteValue.of` reads those whose name begins with `agentroute.`.
final class CustomEvent extends AgUiEvent {
  const CustomEvent({required this.name, required this.value, super.raw});

  factory CustomEvent._(JsonObject json) => CustomEvent(
        name: json.text('name'),
        value: json.any('value'),
        raw: json.raw,
      );

  final String name;
  final Object? value;

  @override
  String get type => 'CUSTOM';
}

List<Map<String, dynamic>> _operations(JsonObject json, String name) {
  if (!json.has(name)) throw FormatException('$name is missing');
  return [for (final each in json.objects(name)) each.raw];
}
