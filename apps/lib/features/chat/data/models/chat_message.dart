import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/data/models/message_content.dart';
import 'package:agentroute_chat/features/chat/data/models/message_metrics.dart';

export 'package:agentroute_chat/features/chat/data/models/message_content.dart';
export 'package:agentroute_chat/features/chat/data/models/message_metrics.dart';

/// A message of a thread, as history and `MESSAGES_SNAPSHOT` tell it.
sealed class ChatMessage {
  const ChatMessage({required this.id, this.metadata = const {}, this.raw = const {}});

  /// Never throws: a message of an unknown role, or in an unknown form, becomes an [UnknownMessage].
  static ChatMessage fromJson(Object? value) {
    try {
      final json = JsonObject.of(value, 'a message');
      final id = json.text('id');
      final metadata = json.objectOrNull('metadata')?.raw ?? const <String, dynamic>{};
      return switch (json.text('role')) {
        'user' => UserMessage(
            id: id,
            content: MessageContent.fromJson(json.raw['content']),
            metadata: metadata,
            raw: json.raw,
          ),
        'assistant' => AssistantMessage(
            id: id,
            content: json.textOrNull('content') ?? '',
            toolCalls: [for (final call in json.objects('toolCalls')) ToolCall._(call)],
            metadata: metadata,
            raw: json.raw,
          ),
        'tool' => ToolMessage(
            id: id,
            toolCallId: json.text('toolCallId'),
            content: MessageContent.fromJson(json.raw['content']),
            error: json.textOrNull('error'),
            metadata: metadata,
            raw: json.raw,
          ),
        'reasoning' => ReasoningMessage(
            id: id,
            content: json.textOrNull('content') ?? '',
            metadata: metadata,
            raw: json.raw,
          ),
        'activity' => ActivityMessage(
            id: id,
            activityType: json.text('activityType'),
            content: json.object('content').raw,
            metadata: metadata,
            raw: json.raw,
          ),
        'system' || 'developer' => SystemMessage(
            id: id,
            content: json.text('content'),
            role: json.text('role'),
            metadata: metadata,
            raw: json.raw,
          ),
        _ => UnknownMessage(raw: json.raw),
      };
    } on FormatException {
      return UnknownMessage(raw: JsonObject.asObject(value) ?? {'value': value});
    }
  }

  final String id;
  final Map<String, dynamic> metadata;

  /// As it came; empty for a message that was made here. A changed message keeps what it does not know.
  final Map<String, dynamic> raw;

  String get role;

  /// What a person reads.
  String get text;

  /// The form on the wire.
  Map<String, dynamic> toJson() {
    return {
      ...raw,
      'id': id,
      'role': role,
      if (metadata.isNotEmpty) 'metadata': metadata,
    };
  }
}

final class UserMessage extends ChatMessage {
  const UserMessage({required super.id, required this.content, super.metadata, super.raw});

  /// A message that is a plain text.
  UserMessage.ofText({required super.id, required String text}) : content = MessageContent.ofText(text);

  final MessageContent content;

  @override
  String get role => 'user';

  @override
  String get text => content.text;

  @override
  Map<String, dynamic> toJson() => {...super.toJson(), 'content': content.toJson()};
}

final class AssistantMessage extends ChatMessage {
  const AssistantMessage({
    required super.id,
    this.content = '',
    this.toolCalls = const [],
    super.metadata,
    super.raw,
  });

  final String content;
  final List<ToolCall> toolCalls;

  @override
  String get role => 'assistant';

  @override
  String get text => content;

  /// Tokens, cost and times of the model call.
  MessageMetrics get metrics => MessageMetrics.fromMetadata(metadata);

  /// The message was broken off: its run was cancelled, or failed.
  bool get isIncomplete => metadata['incomplete'] == true;

  AssistantMessage copyWith({
    String? content,
    List<ToolCall>? toolCalls,
    Map<String, dynamic>? metadata,
  }) {
    return AssistantMessage(
      id: id,
      content: content ?? this.content,
      toolCalls: toolCalls ?? this.toolCalls,
      metadata: metadata ?? this.metadata,
      raw: raw,
    );
  }

  @override
  Map<String, dynamic> toJson() {
    return {
      ...super.toJson(),
      if (content.isNotEmpty || raw.containsKey('content')) 'content': content,
      if (toolCalls.isNotEmpty) 'toolCalls': [for (final call in toolCalls) call.toJson()],
    };
  }
}

final class ToolMessage extends ChatMessage {
  const ToolMessage({
    required super.id,
    required this.toolCallId,
    required this.content,
    this.error,
    super.metadata,
    super.raw,
  });

  final String toolCallId;
  final MessageContent content;
  final String? error;

  /// How the call went: `success`, or for example `error`, `denied`, `cancelled`.
  String get state {
    final Object? state = metadata['state'];
    return state is String ? state : 'success';
  }

  @override
  String get role => 'tool';

  @override
  String get text => content.text;

  @override
  Map<String, dynamic> toJson() {
    return {
      ...super.toJson(),
      'toolCallId': toolCallId,
      'content': content.toJson(),
      if (error != null) 'error': error,
    };
  }
}

final class ReasoningMessage extends ChatMessage {
  const ReasoningMessage({required super.id, this.content = '', super.metadata, super.raw});

  final String content;

  @override
  String get role => 'reasoning';

  @override
  String get text => content;

  ReasoningMessage copyWith({String? content, Map<String, dynamic>? metadata}) {
    return ReasoningMessage(
      id: id,
      content: content ?? this.content,
      metadata: metadata ?? this.metadata,
      raw: raw,
    );
  }

  @override
  Map<String, dynamic> toJson() => {...super.toJson(), 'content': content};
}

/// A message for the interface alone, such as a plan.
final class ActivityMessage extends ChatMessage {
  const ActivityMessage({
    required super.id,
    required this.activityType,
    required this.content,
    super.metadata,
    super.raw,
  });

  final String activityType;
  final Map<String, dynamic> content;

  @override
  String get role => 'activity';

  @override
  String get text => '';

  @override
  Map<String, dynamic> toJson() => {...super.toJson(), 'activityType': activityType, 'content': content};
}

/// A message of the role `system` or `developer`.
final class SystemMessage extends ChatMessage {
  const SystemMessage({
    required super.id,
    required this.content,
    this.role = 'system',
    super.metadata,
    super.raw,
  });

  final String content;

  @override
  final String role;

  @override
  String get text => content;

  @override
  Map<String, dynamic> toJson() => {...super.toJson(), 'content': content};
}

/// A message of a role, or in a form, that this version does not know.
final class UnknownMessage extends ChatMessage {
  UnknownMessage({required super.raw}) : super(id: _text(raw, 'id'));

  @override
  String get role => _text(raw, 'role');

  @override
  String get text => _text(raw, 'content');

  @override
  Map<String, dynamic> toJson() => raw;

  static String _text(Map<String, dynamic> raw, String name) {
    final Object? value = raw[name];
    return value is String ? value : '';
  }
}

/// A call that an assistant's message makes.
final class ToolCall {
  const ToolCall({required this.id, required this.name, this.arguments = '', this.raw = const {}});

  factory ToolCall._(JsonObject json) {
    final function = json.object('function');
    return ToolCall(
      id: json.text('id'),
      name: function.text('name'),
      arguments: function.text('arguments'),
      raw: json.raw,
    );
  }

  final String id;
  final String name;

  /// JSON text; perhaps only its beginning while the model writes it.
  final String arguments;
  final Map<String, dynamic> raw;

  ToolCall copyWith({String? arguments, Map<String, dynamic>? raw}) {
    return ToolCall(id: id, name: name, arguments: arguments ?? this.arguments, raw: raw ?? this.raw);
  }

  Map<String, dynamic> toJson() {
    return {
      ...raw,
      'id': id,
      'type': 'function',
      'function': {'name': name, 'arguments': arguments},
    };
  }
}
