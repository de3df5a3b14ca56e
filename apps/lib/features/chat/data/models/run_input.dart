import 'dart:math';

import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';

export 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
export 'package:agentroute_chat/features/chat/data/models/interrupt.dart';

/// The body of `POST /runs` and `POST /resume`.
///
/// Its ids are made here. So the same input, sent again after a lost answer, means the same run.
final class RunInput {
  const RunInput({
    required this.threadId,
    required this.runId,
    this.messages = const [],
    this.tools = const [],
    this.context = const [],
    this.resume = const [],
    this.state,
    this.options = const RunOptions(),
  });

  /// A new message of the user.
  RunInput.message({
    required String threadId,
    required MessageContent content,
    String? messageId,
    String? runId,
    List<ClientTool> tools = const [],
    RunOptions options = const RunOptions(),
  }) : this(
          threadId: threadId,
          runId: runId ?? newId('run'),
          messages: [UserMessage(id: messageId ?? newId('msg'), content: content)],
          tools: tools,
          options: options,
        );

  /// The answers to all open questions of a thread.
  RunInput.answers({
    required String threadId,
    required List<ResumeAnswer> answers,
    String? runId,
    List<ClientTool> tools = const [],
  }) : this(threadId: threadId, runId: runId ?? newId('run'), resume: answers, tools: tools);

  /// The results of calls of the app's own tools: the text of a result by the id of its call.
  RunInput.toolResults({
    required String threadId,
    required Map<String, String> results,
    String? runId,
    List<ClientTool> tools = const [],
  }) : this(
          threadId: threadId,
          runId: runId ?? newId('run'),
          messages: [
            for (final entry in results.entries)
              ToolMessage(id: newId('msg'), toolCallId: entry.key, content: MessageContent.ofText(entry.value)),
          ],
          tools: tools,
        );

  /// A new answer to a message of the user; everything after that message goes.
  RunInput.regenerate({
    required String threadId,
    required String messageId,
    String? runId,
    List<ClientTool> tools = const [],
  }) : this(
          threadId: threadId,
          runId: runId ?? newId('run'),
          tools: tools,
          options: RunOptions(regenerateFrom: messageId),
        );

  final String threadId;
  final String runId;

  /// The new messages alone: the service has the others.
  final List<ChatMessage> messages;
  final List<ClientTool> tools;

  /// Each has `description` and `value`.
  final List<Map<String, String>> context;
  final List<ResumeAnswer> resume;

  /// The shared state; absent if null.
  final Object? state;
  final RunOptions options;

  Map<String, dynamic> toJson() {
    return {
      'threadId': threadId,
      'runId': runId,
      'protocolVersion': '1.0',
      'messages': [for (final message in messages) message.toJson()],
      'tools': [for (final tool in tools) tool.toJson()],
      'context': context,
      'forwardedProps': options.toJson(),
      if (state != null) 'state': state,
      if (resume.isNotEmpty) 'resume': [for (final answer in resume) answer.toJson()],
    };
  }
}

/// A tool that the app itself runs.
final class ClientTool {
  const ClientTool({required this.name, this.description = '', this.parameters = const {}});

  final String name;
  final String description;

  /// JSON Schema of the arguments.
  final Map<String, dynamic> parameters;

  Map<String, dynamic> toJson() => {'name': name, 'description': description, 'parameters': parameters};
}

/// `forwardedProps`. What is null is the service's default.
final class RunOptions {
  const RunOptions({
    this.onBusy,
    this.onInterrupt,
    this.regenerateFrom,
    this.agentId,
    this.switchAgent,
    this.messagesSnapshot = 'never',
  });

  /// If the thread has a live run: `reject` (the default), `enqueue` or `supersede`.
  final String? onBusy;

  /// If the thread has an open question: `refuse` (the default) or `cancel`.
  final String? onInterrupt;
  final String? regenerateFrom;
  final String? agentId;
  final bool? switchAgent;

  /// A run has its new messages alone. A snapshot of the others would be told, and stored, with every run.
  final String? messagesSnapshot;

  Map<String, dynamic> toJson() {
    return {
      if (onBusy != null) 'onBusy': onBusy,
      if (onInterrupt != null) 'onInterrupt': onInterrupt,
      if (regenerateFrom != null) 'regenerateFrom': regenerateFrom,
      if (agentId != null) 'agentId': agentId,
      if (switchAgent != null) 'switchAgent': switchAgent,
      if (messagesSnapshot != null) 'messagesSnapshot': messagesSnapshot,
    };
  }
}

final Random _random = Random.secure();

/// Returns an id that nobody has used: 128 random bits.
String newId(String kind, {Random? random}) {
  final source = random ?? _random;
  final text = StringBuffer('$kind-');
  for (var i = 0; i < 16; i++) {
    text.write(source.nextInt(256).toRadixString(16).padLeft(2, '0'));
  }
  return text.toString();
}
