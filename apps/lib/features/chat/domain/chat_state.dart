import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/data/models/agent_route_value.dart';

/// How the newest run of the thread is.
enum RunStatus { idle, running, interrupted, succeeded, cancelled, failed }

/// How a tool call is.
enum CallStatus {
  /// The model writes its arguments.
  writing,

  /// The service makes it.
  running,

  /// The user has to allow it, or to answer another question about it.
  asking,

  /// It is a call of the app's own tool, which has to send the result.
  waiting,
  done,
  failed,

  /// The user did not allow it.
  denied,

  /// Its run ended before the result came.
  stopped,
}

/// How a subagent is.
enum SubagentStatus { running, done, failed, stopped }

/// A stage of the newest run: `intent`, `execution`, `report`, or a step of the agent.
final class Stage {
  const Stage({required this.name, this.isOpen = true, this.subagentRunId});

  final String name;
  final bool isOpen;
  final String? subagentRunId;

  Map<String, dynamic> toJson() => {'name': name, 'isOpen': isOpen, 'subagentRunId': subagentRunId};
}

/// A subagent of the newest run.
final class SubagentRun {
  const SubagentRun({
    required this.id,
    required this.name,
    this.parentToolCallId,
    this.status = SubagentStatus.running,
  });

  final String id;
  final String name;

  /// The call that it answers.
  final String? parentToolCallId;
  final SubagentStatus status;

  Map<String, dynamic> toJson() {
    return {'id': id, 'name': name, 'parentToolCallId': parentToolCallId, 'status': status.name};
  }
}

/// Why the newest run failed.
final class RunFailure {
  const RunFailure({required this.code, required this.message});

  final String code;
  final String message;

  Map<String, dynamic> toJson() => {'code': code, 'message': message};
}

/// Everything that a chat screen shows of one thread. It never changes: `chat_reducer.dart` makes the next one.
///
/// `backend/tests/support/chat_state.py` is the same in Python. Both are tested on the streams of `contract/`.
final class ChatState {
  const ChatState({
    this.threadId,
    this.runId,
    this.cursor,
    this.status = RunStatus.idle,
    this.stages = const [],
    this.messages = const [],
    this.open = const [],
    this.interrupts = const [],
    this.pendingToolCallIds = const [],
    this.sharedState,
    this.error,
    this.usage = const [],
    this.retrying,
    this.progress = const {},
    this.subagents = const [],
    this.sources = const [],
    this.media = const [],
    this.nextBefore,
    this.isIncomplete = false,
    this.inputRunId,
    this.suggestions = const [],
  });

  final String? threadId;

  /// The newest run.
  final String? runId;

  /// The place of the last event. `Last-Event-ID` of the next connection.
  final String? cursor;
  final RunStatus status;

  /// Stages of the newest run, in their order.
  final List<Stage> stages;

  /// Messages of the thread, in their order. The result of a call is a [ToolMessage] behind the call's message.
  final List<ChatMessage> messages;

  /// The ids of the messages and calls that are being written.
  final List<String> open;

  /// The open questions of the thread.
  final List<Interrupt> interrupts;

  /// Calls of the app's own tools that wait for their results.
  final List<String> pendingToolCallIds;

  /// The state that the agent shares with the app: any JSON value.
  final Object? sharedState;

  /// Why the newest run failed; null if it did not.
  final RunFailure? error;

  /// Tokens of the newest run, by model. What one message took is in its `metrics`.
  final List<TokenUsage> usage;

  /// The model did not answer and is asked again; null if it is not so.
  final RetryingValue? retrying;

  /// How far calls are, by their ids.
  final Map<String, ToolProgressValue> progress;
  final List<SubagentRun> subagents;

  /// What searches of the newest run found.
  final List<SourcesValue> sources;

  /// Media that the model made in the newest run.
  final List<MediaValue> media;

  /// `before` of the page with older messages; null if there is none.
  final String? nextBefore;

  /// A snapshot was too large for an event: `GET /history` has what is missing.
  final bool isIncomplete;

  /// The run whose input was told last (`agentroute.input`).
  final String? inputRunId;

  /// First messages that the app may offer; from the agent's capabilities, not from events.
  final List<String> suggestions;

  bool get isRunning => status == RunStatus.running;

  bool get hasOlder => nextBefore != null;

  bool isWriting(String id) => open.contains(id);

  ChatMessage? message(String id) {
    for (final message in messages) {
      if (message.id == id) return message;
    }
    return null;
  }

  ToolCall? toolCall(String id) {
    for (final call in calls) {
      if (call.id == id) return call;
    }
    return null;
  }

  /// All calls of all messages.
  Iterable<ToolCall> get calls => messages.whereType<AssistantMessage>().expand((message) => message.toolCalls);

  /// The result of a call; null if there is none yet.
  ToolMessage? resultOf(String callId) {
    for (final message in messages.whereType<ToolMessage>()) {
      if (message.toolCallId == callId) return message;
    }
    return null;
  }

  /// The open question about a call; null if there is none.
  Interrupt? interruptOf(String callId) {
    for (final interrupt in interrupts) {
      if (interrupt.toolCallId == callId) return interrupt;
    }
    return null;
  }

  /// How a call is. The first line that fits decides.
  CallStatus callStatus(String callId) {
    final result = resultOf(callId);
    if (result != null) return _statusOf(result);
    if (open.contains(callId)) return CallStatus.writing;
    if (interruptOf(callId) != null) return CallStatus.asking;
    if (pendingToolCallIds.contains(callId)) return CallStatus.waiting;
    return isRunning ? CallStatus.running : CallStatus.stopped;
  }

  static CallStatus _statusOf(ToolMessage result) {
    if (result.error != null) return CallStatus.failed;
    return switch (result.metadata['state']) {
      null || 'success' => CallStatus.done,
      'denied' => CallStatus.denied,
      'interrupted' => CallStatus.stopped,
      _ => CallStatus.failed,
    };
  }

  /// What can be null is given as a function: `error: () => null` forgets the error.
  ChatState copyWith({
    String? threadId,
    String? runId,
    String? cursor,
    RunStatus? status,
    List<Stage>? stages,
    List<ChatMessage>? messages,
    List<String>? open,
    List<Interrupt>? interrupts,
    List<String>? pendingToolCallIds,
    Object? Function()? sharedState,
    RunFailure? Function()? error,
    List<TokenUsage>? usage,
    RetryingValue? Function()? retrying,
    Map<String, ToolProgressValue>? progress,
    List<SubagentRun>? subagents,
    List<SourcesValue>? sources,
    List<MediaValue>? media,
    String? Function()? nextBefore,
    bool? isIncomplete,
    String? inputRunId,
    List<String>? suggestions,
  }) {
    return ChatState(
      threadId: threadId ?? this.threadId,
      runId: runId ?? this.runId,
      cursor: cursor ?? this.cursor,
      status: status ?? this.status,
      stages: stages ?? this.stages,
      messages: messages ?? this.messages,
      open: open ?? this.open,
      interrupts: interrupts ?? this.interrupts,
      pendingToolCallIds: pendingToolCallIds ?? this.pendingToolCallIds,
      sharedState: sharedState == null ? this.sharedState : sharedState(),
      error: error == null ? this.error : error(),
      usage: usage ?? this.usage,
      retrying: retrying == null ? this.retrying : retrying(),
      progress: progress ?? this.progress,
      subagents: subagents ?? this.subagents,
      sources: sources ?? this.sources,
      media: media ?? this.media,
      nextBefore: nextBefore == null ? this.nextBefore : nextBefore(),
      isIncomplete: isIncomplete ?? this.isIncomplete,
      inputRunId: inputRunId ?? this.inputRunId,
      suggestions: suggestions ?? this.suggestions,
    );
  }

  /// The form in which `contract/` has states.
  Map<String, dynamic> toJson() {
    return {
      'threadId': threadId,
      'runId': runId,
      'cursor': cursor,
      'status': status.name,
      'stages': [for (final stage in stages) stage.toJson()],
      'messages': [for (final message in messages) message.toJson()],
      'open': open,
      'calls': {for (final call in calls) call.id: callStatus(call.id).name},
      'interrupts': [for (final interrupt in interrupts) interrupt.toJson()],
      'pendingToolCallIds': pendingToolCallIds,
      'sharedState': sharedState,
      'error': error?.toJson(),
      'usage': [for (final each in usage) _usageJson(each)],
      'retrying': retrying?.attempt,
      'progress': {for (final entry in progress.entries) entry.key: entry.value.message},
      'subagents': [for (final subagent in subagents) subagent.toJson()],
      'sources': [for (final each in sources) each.query],
      'media': [for (final each in media) each.mediaType],
      'nextBefore': nextBefore,
      'isIncomplete': isIncomplete,
      'inputRunId': inputRunId,
    };
  }

  static Map<String, dynamic> _usageJson(TokenUsage usage) {
    return {'model': usage.model, 'inputTokens': usage.inputTokens, 'outputTokens': usage.outputTokens};
  }
}
