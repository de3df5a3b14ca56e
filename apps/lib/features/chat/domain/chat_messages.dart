import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';

// The order of messages, and how they change. Pure: each function returns a new list.

/// A message made of members in the form of the wire.
ChatMessage newMessage(String id, String role, Map<String, dynamic> members) {
  return ChatMessage.fromJson({'id': id, 'role': role, ...members});
}

/// A message with other members.
ChatMessage withMembers(ChatMessage message, Map<String, dynamic> members) {
  return ChatMessage.fromJson({...message.toJson(), ...members});
}

/// Whose event it is, as a message says it.
Map<String, dynamic> attribution(AgUiEvent event) {
  final subagent = event.subagentRunId;
  return {if (subagent != null) 'subagentRunId': subagent};
}

/// The messages before one; all, if it is not there.
List<ChatMessage> before(List<ChatMessage> messages, String id) {
  final place = messages.indexWhere((message) => message.id == id);
  return place < 0 ? messages : messages.sublist(0, place);
}

/// The messages with one more, if it is not there yet. A result goes behind its call.
List<ChatMessage> withNew(List<ChatMessage> messages, ChatMessage message) {
  if (messages.any((each) => each.id == message.id)) return messages;
  return message is ToolMessage ? withResult(messages, message, message.toolCallId) : [...messages, message];
}

/// The messages with one in place of its older form, or at the end.
List<ChatMessage> replaced(List<ChatMessage> messages, ChatMessage message) {
  if (messages.every((each) => each.id != message.id)) return [...messages, message];
  return [for (final each in messages) each.id == message.id ? message : each];
}

/// The messages with a result: behind the message of its call and the results that are there already.
List<ChatMessage> withResult(List<ChatMessage> messages, ChatMessage result, String callId) {
  if (messages.any((each) => each.id == result.id)) return replaced(messages, result);
  var place = messages.indexWhere((message) => _hasCall(message, callId));
  if (place < 0) return [...messages, result];
  place++;
  while (place < messages.length && messages[place].role == 'tool') {
    place++;
  }
  return [...messages.take(place), result, ...messages.skip(place)];
}

/// The messages with a new call: of its parent message, if that is one of the assistant's, or of a message of its own.
List<ChatMessage> withCall(
  List<ChatMessage> messages,
  ToolCall call,
  String? parentId,
  Map<String, dynamic> members,
) {
  final ownerId = parentId ?? call.id;
  final owner = messages.where((message) => message.id == ownerId).firstOrNull;
  if (owner is AssistantMessage) {
    return replaced(messages, owner.copyWith(toolCalls: [...owner.toolCalls, call]));
  }
  final id = owner == null ? ownerId : call.id;
  return [
    ...messages,
    newMessage(id, 'assistant', {
      'toolCalls': [call.toJson()],
      ...members,
    }),
  ];
}

/// The messages after a piece of text.
List<ChatMessage> grown(List<ChatMessage> messages, String id, String delta) {
  return [for (final message in messages) message.id == id ? _grownMessage(message, delta) : message];
}

ChatMessage _grownMessage(ChatMessage message, String delta) {
  return switch (message) {
    final AssistantMessage it => it.copyWith(content: it.content + delta),
    final ReasoningMessage it => it.copyWith(content: it.content + delta),
    UserMessage() || SystemMessage() => withMembers(message, {'content': message.text + delta}),
    ToolMessage() || ActivityMessage() || UnknownMessage() => message,
  };
}

/// The messages after a piece of a call's arguments.
List<ChatMessage> grownCall(List<ChatMessage> messages, String callId, String delta) {
  return _withChangedCall(messages, callId, (call) => call.copyWith(arguments: call.arguments + delta));
}

/// The messages with more metadata of one: members that come later win.
List<ChatMessage> withMetadata(List<ChatMessage> messages, String id, Map<String, dynamic> metadata) {
  if (metadata.isEmpty) return messages;
  return [
    for (final message in messages)
      message.id == id
          ? withMembers(message, {
              'metadata': {...message.metadata, ...metadata},
            })
          : message,
  ];
}

/// The messages with reasoning that only its provider can read; the app sends it back.
List<ChatMessage> encryptedMessage(List<ChatMessage> messages, String id, String value) {
  return [
    for (final message in messages) message.id == id ? withMembers(message, {'encryptedValue': value}) : message,
  ];
}

/// The same, of a call.
List<ChatMessage> encryptedCall(List<ChatMessage> messages, String callId, String value) {
  return _withChangedCall(messages, callId, (call) => call.copyWith(raw: {...call.raw, 'encryptedValue': value}));
}

List<ChatMessage> _withChangedCall(
  List<ChatMessage> messages,
  String callId,
  ToolCall Function(ToolCall call) change,
) {
  return [
    for (final message in messages)
      message is AssistantMessage && _hasCall(message, callId)
          ? message.copyWith(
              toolCalls: [for (final call in message.toolCalls) call.id == callId ? change(call) : call],
            )
          : message,
  ];
}

bool _hasCall(ChatMessage message, String callId) {
  return message is AssistantMessage && message.toolCalls.any((call) => call.id == callId);
}

/// Ids with one more, each once.
List<String> withId(List<String> ids, String id) => ids.contains(id) ? ids : [...ids, id];

/// Ids without one.
List<String> withoutId(List<String> ids, String id) {
  return [
    for (final each in ids)
      if (each != id) each,
  ];
}
