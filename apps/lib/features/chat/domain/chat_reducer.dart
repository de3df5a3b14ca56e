import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/data/models/agent_route_value.dart';
import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/domain/chat_cursor.dart';
import 'package:agentroute_chat/features/chat/domain/chat_messages.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/domain/json_patch.dart';

// The rules of a client:
//
// 1. `receive` takes what a stream brings, and drops what came before: events have places. `reduce` takes an event alone.
// 2. The order and the content of messages are those of `GET /history`, after every event.
// 3. What is not known, and what does not fit, changes nothing.
//
// `backend/tests/support/chat_reducer.py` has the same functions in the same order. A change here is a change there.

/// The state of a thread whose history was read. Go on with `GET /events` from its cursor.
ChatState opened(HistoryPage page) {
  final run = page.activeRun;
  return ChatState(
    threadId: page.threadId,
    runId: run?.runId,
    cursor: page.cursor,
    status: run != null
        ? RunStatus.running
        : page.pendingInterrupts.isNotEmpty
            ? RunStatus.interrupted
            : RunStatus.idle,
    messages: page.messages,
    interrupts: page.pendingInterrupts,
    sharedState: page.state,
    nextBefore: page.hasMore ? page.nextBefore : null,
  );
}

/// The state with a page of older messages in front.
ChatState withOlder(ChatState state, HistoryPage page) {
  final older = [
    for (final message in page.messages)
      if (state.message(message.id) == null) message,
  ];
  return state.copyWith(
    messages: [...older, ...state.messages],
    nextBefore: () => page.hasMore ? page.nextBefore : null,
  );
}

/// The state when a run is asked something: first [regenerateFrom] goes, with everything after it, then [messages] come.
/// Without a new message, the message is answered once more, and stays.
///
/// For what the app itself sends, and for what other devices have sent.
ChatState asked(ChatState state, List<ChatMessage> messages, {String? regenerateFrom}) {
  var kept = state.messages;
  var asks = messages;
  if (regenerateFrom != null) {
    final again = state.message(regenerateFrom);
    if (messages.isEmpty && again != null) asks = [again];
    kept = before(kept, regenerateFrom);
  }
  for (final message in asks) {
    kept = withNew(kept, message);
  }
  return state.copyWith(messages: kept);
}

/// The state after what a stream brought. What came before changes nothing, so streams may overlap.
ChatState receive(ChatState state, AgUiEnvelope envelope) {
  final cursor = envelope.cursor;
  if (cursor == null) return reduce(state, envelope.event);
  if (isBehind(cursor, state.cursor)) return state;
  return reduce(state, envelope.event).copyWith(cursor: cursor);
}

/// The state after an event.
ChatState reduce(ChatState state, AgUiEvent event) {
  return switch (event) {
    final RunStartedEvent it => _runStarted(state, it),
    final RunFinishedEvent it => _runFinished(state, it),
    final RunErrorEvent it => _runError(state, it),
    final StepStartedEvent it => _stepStarted(state, it),
    final StepFinishedEvent it => _stepFinished(state, it),
    final SubagentStartedEvent it => _subagentStarted(state, it),
    final SubagentFinishedEvent it => _subagentFinished(state, it),
    final SubagentErrorEvent it => _subagentError(state, it),
    final TextMessageStartEvent it => _textMessageStart(state, it),
    final TextMessageContentEvent it => _textMessageContent(state, it),
    final TextMessageEndEvent it => _textMessageEnd(state, it),
    final TextMessageChunkEvent it => _textMessageChunk(state, it),
    final ReasoningMessageStartEvent it => _reasoningMessageStart(state, it),
    final ReasoningMessageContentEvent it => _reasoningMessageContent(state, it),
    final ReasoningMessageEndEvent it => _reasoningMessageEnd(state, it),
    final ReasoningMessageChunkEvent it => _reasoningMessageChunk(state, it),
    final ReasoningEncryptedValueEvent it => _reasoningEncryptedValue(state, it),
    final ToolCallStartEvent it => _toolCallStart(state, it),
    final ToolCallArgsEvent it => _toolCallArgs(state, it),
    final ToolCallEndEvent it => _toolCallEnd(state, it),
    final ToolCallChunkEvent it => _toolCallChunk(state, it),
    final ToolCallResultEvent it => _toolCallResult(state, it),
    final StateSnapshotEvent it => _stateSnapshot(state, it),
    final StateDeltaEvent it => _stateDelta(state, it),
    final MessagesSnapshotEvent it => _messagesSnapshot(state, it),
    final ActivitySnapshotEvent it => _activitySnapshot(state, it),
    final ActivityDeltaEvent it => _activityDelta(state, it),
    final CustomEvent it => _custom(state, it),
    // A span of reasoning has no content of its own. The older names of reasoning have no ids: nobody sends them here.
    ReasoningStartEvent() || ReasoningEndEvent() => state,
    ThinkingStartEvent() || ThinkingTextMessageStartEvent() || ThinkingTextMessageContentEvent() => state,
    ThinkingTextMessageEndEvent() || ThinkingEndEvent() => state,
    RawEvent() => state,
    final UnknownAgUiEvent it => _unknown(state, it),
  };
}

// --- runs -------------------------------------------------------------------------

ChatState _runStarted(ChatState state, RunStartedEvent event) {
  return state.copyWith(
    threadId: event.threadId,
    runId: event.runId,
    status: RunStatus.running,
    stages: const [],
    // A run begins when all questions are answered, or given up.
    interrupts: const [],
    pendingToolCallIds: const [],
    error: () => null,
    usage: const [],
    retrying: () => null,
    progress: const {},
    subagents: const [],
    sources: const [],
    media: const [],
  );
}

ChatState _runFinished(ChatState state, RunFinishedEvent event) {
  final outcome = event.outcome;
  final status = switch (outcome.type) {
    RunOutcome.interrupt => RunStatus.interrupted,
    RunOutcome.cancelled => RunStatus.cancelled,
    _ => RunStatus.succeeded,
  };
  return _ended(state, status, event.usage)
      .copyWith(interrupts: outcome.interrupts, pendingToolCallIds: outcome.pendingToolCallIds);
}

ChatState _runError(ChatState state, RunErrorEvent event) {
  // The words for a stopped run before AG-UI 1.0.
  if (event.code == 'cancelled') return _ended(state, RunStatus.cancelled, event.usage);
  final error = RunFailure(code: event.code ?? 'internal-error', message: event.message);
  return _ended(state, RunStatus.failed, event.usage).copyWith(error: () => error);
}

/// Whatever else is broken in the last event of a run, the run has ended.
ChatState _unknown(ChatState state, UnknownAgUiEvent event) {
  return switch (event.type) {
    'RUN_FINISHED' => _ended(state, RunStatus.succeeded, const []),
    'RUN_ERROR' => _ended(state, RunStatus.failed, const []),
    _ => state,
  };
}

/// Nothing goes on after the end of a run.
ChatState _ended(ChatState state, RunStatus status, List<TokenUsage> usage) {
  return state.copyWith(
    status: status,
    stages: [
      for (final stage in state.stages) Stage(name: stage.name, isOpen: false, subagentRunId: stage.subagentRunId),
    ],
    open: const [],
    usage: usage,
    retrying: () => null,
    progress: const {},
    subagents: [
      for (final subagent in state.subagents)
        subagent.status == SubagentStatus.running ? _withStatus(subagent, SubagentStatus.stopped) : subagent,
    ],
  );
}

ChatState _stepStarted(ChatState state, StepStartedEvent event) {
  final isThere = state.stages.any((stage) => _isStage(stage, event.stepName, event.subagentRunId));
  if (isThere) return state;
  final stage = Stage(name: event.stepName, subagentRunId: event.subagentRunId);
  return state.copyWith(stages: [...state.stages, stage]);
}

ChatState _stepFinished(ChatState state, StepFinishedEvent event) {
  return state.copyWith(
    stages: [
      for (final stage in state.stages)
        _isStage(stage, event.stepName, event.subagentRunId)
            ? Stage(name: stage.name, isOpen: false, subagentRunId: stage.subagentRunId)
            : stage,
    ],
  );
}

bool _isStage(Stage stage, String name, String? subagentRunId) {
  return stage.isOpen && stage.name == name && stage.subagentRunId == subagentRunId;
}

// --- subagents --------------------------------------------------------------------

ChatState _subagentStarted(ChatState state, SubagentStartedEvent event) {
  final id = event.subagentRunId;
  if (state.subagents.any((subagent) => subagent.id == id)) return state;
  final subagent = SubagentRun(id: id, name: event.name, parentToolCallId: event.parentToolCallId);
  return state.copyWith(subagents: [...state.subagents, subagent]);
}

ChatState _subagentFinished(ChatState state, SubagentFinishedEvent event) {
  return _withSubagent(state, event.subagentRunId, SubagentStatus.done);
}

ChatState _subagentError(ChatState state, SubagentErrorEvent event) {
  return _withSubagent(state, event.subagentRunId, SubagentStatus.failed);
}

ChatState _withSubagent(ChatState state, String? id, SubagentStatus status) {
  return state.copyWith(
    subagents: [
      for (final subagent in state.subagents) subagent.id == id ? _withStatus(subagent, status) : subagent,
    ],
  );
}

SubagentRun _withStatus(SubagentRun subagent, SubagentStatus status) {
  return SubagentRun(
    id: subagent.id,
    name: subagent.name,
    parentToolCallId: subagent.parentToolCallId,
    status: status,
  );
}

// --- text and reasoning -----------------------------------------------------------

ChatState _textMessageStart(ChatState state, TextMessageStartEvent event) {
  return _begin(state, event.messageId, event.role, event);
}

ChatState _textMessageContent(ChatState state, TextMessageContentEvent event) {
  return _grow(state, event.messageId, event.delta);
}

ChatState _textMessageEnd(ChatState state, TextMessageEndEvent event) {
  return _end(state, event.messageId, event);
}

ChatState _textMessageChunk(ChatState state, TextMessageChunkEvent event) {
  final id = event.messageId ?? _lastOpen(state, 'assistant');
  if (id == null) return state;
  return _grow(_begin(state, id, event.role ?? 'assistant', event), id, event.delta ?? '');
}

ChatState _reasoningMessageStart(ChatState state, ReasoningMessageStartEvent event) {
  return _begin(state, event.messageId, 'reasoning', event);
}

ChatState _reasoningMessageContent(ChatState state, ReasoningMessageContentEvent event) {
  return _grow(state, event.messageId, event.delta);
}

ChatState _reasoningMessageEnd(ChatState state, ReasoningMessageEndEvent event) {
  return _end(state, event.messageId, event);
}

ChatState _reasoningMessageChunk(ChatState state, ReasoningMessageChunkEvent event) {
  final id = event.messageId ?? _lastOpen(state, 'reasoning');
  if (id == null) return state;
  return _grow(_begin(state, id, 'reasoning', event), id, event.delta ?? '');
}

ChatState _reasoningEncryptedValue(ChatState state, ReasoningEncryptedValueEvent event) {
  final change = event.subtype == 'message' ? encryptedMessage : encryptedCall;
  return state.copyWith(messages: change(state.messages, event.entityId, event.encryptedValue));
}

/// A message begins. One that is there already goes on: a stream that connects opens it again.
ChatState _begin(ChatState state, String id, String role, AgUiEvent event) {
  final messages = state.message(id) == null
      ? withNew(state.messages, newMessage(id, role, {'content': '', ...attribution(event)}))
      : state.messages;
  return state.copyWith(
    messages: withMetadata(messages, id, event.metadata),
    open: withId(state.open, id),
    retrying: () => null,
  );
}

ChatState _grow(ChatState state, String id, String delta) {
  if (state.message(id) == null) return state;
  // A message that history told in the middle of its writing was never begun here.
  return state.copyWith(messages: grown(state.messages, id, delta), open: withId(state.open, id));
}

ChatState _end(ChatState state, String id, AgUiEvent event) {
  return state.copyWith(
    messages: withMetadata(state.messages, id, event.metadata),
    open: withoutId(state.open, id),
  );
}

/// The message to which a chunk without an id belongs.
String? _lastOpen(ChatState state, String role) {
  for (final message in state.messages.reversed) {
    if (message.role == role && state.open.contains(message.id)) return message.id;
  }
  return null;
}

// --- tool calls -------------------------------------------------------------------

ChatState _toolCallStart(ChatState state, ToolCallStartEvent event) {
  return _beginCall(state, event.toolCallId, event.toolCallName, event.parentMessageId, event);
}

ChatState _toolCallArgs(ChatState state, ToolCallArgsEvent event) {
  return _growCall(state, event.toolCallId, event.delta);
}

ChatState _toolCallEnd(ChatState state, ToolCallEndEvent event) {
  return state.copyWith(open: withoutId(state.open, event.toolCallId));
}

ChatState _toolCallChunk(ChatState state, ToolCallChunkEvent event) {
  final id = event.toolCallId ?? _lastOpenCall(state);
  if (id == null) return state;
  final name = event.toolCallName ?? state.toolCall(id)?.name;
  if (name == null) return state;
  return _growCall(_beginCall(state, id, name, event.parentMessageId, event), id, event.delta ?? '');
}

ChatState _toolCallResult(ChatState state, ToolCallResultEvent event) {
  final message = newMessage(event.messageId, 'tool', {
    'toolCallId': event.toolCallId,
    'content': event.content.toJson(),
    ...attribution(event),
    if (event.metadata.isNotEmpty) 'metadata': event.metadata,
  });
  return state.copyWith(
    messages: withResult(state.messages, message, event.toolCallId),
    open: withoutId(state.open, event.toolCallId),
    pendingToolCallIds: withoutId(state.pendingToolCallIds, event.toolCallId),
    progress: {...state.progress}..remove(event.toolCallId),
  );
}

/// A call begins. One that is there already goes on: a stream that connects opens it again.
ChatState _beginCall(ChatState state, String id, String name, String? parentId, AgUiEvent event) {
  final messages = state.toolCall(id) == null
      ? withCall(state.messages, ToolCall(id: id, name: name), parentId, attribution(event))
      : state.messages;
  return state.copyWith(messages: messages, open: withId(state.open, id), retrying: () => null);
}

ChatState _growCall(ChatState state, String id, String delta) {
  if (state.toolCall(id) == null) return state;
  return state.copyWith(messages: grownCall(state.messages, id, delta), open: withId(state.open, id));
}

String? _lastOpenCall(ChatState state) {
  String? last;
  for (final call in state.calls) {
    if (state.open.contains(call.id)) last = call.id;
  }
  return last;
}

// --- snapshots, the shared state, activities --------------------------------------

ChatState _stateSnapshot(ChatState state, StateSnapshotEvent event) {
  return state.copyWith(sharedState: () => event.snapshot);
}

ChatState _stateDelta(ChatState state, StateDeltaEvent event) {
  try {
    final changed = applyPatch(state.sharedState, event.delta);
    return state.copyWith(sharedState: () => changed);
  } on PatchException {
    // As the official client does: a patch that does not fit changes nothing.
    return state;
  }
}

ChatState _messagesSnapshot(ChatState state, MessagesSnapshotEvent event) {
  return state.copyWith(messages: event.messages);
}

ChatState _activitySnapshot(ChatState state, ActivitySnapshotEvent event) {
  if (state.message(event.messageId) != null && !event.replace) return state;
  final members = <String, dynamic>{
    'activityType': event.activityType,
    'content': event.content,
    ...attribution(event),
  };
  return state.copyWith(messages: replaced(state.messages, newMessage(event.messageId, 'activity', members)));
}

ChatState _activityDelta(ChatState state, ActivityDeltaEvent event) {
  final message = state.message(event.messageId);
  if (message is! ActivityMessage) return state;
  try {
    final content = applyPatch(message.content, event.patch);
    return state.copyWith(messages: replaced(state.messages, withMembers(message, {'content': content})));
  } on PatchException {
    return state;
  }
}

// --- what is AgentRoute's own -----------------------------------------------------

ChatState _custom(ChatState state, CustomEvent event) {
  return switch (AgentRouteValue.of(event)) {
    final RunInputValue it => _input(state, it),
    final OlderMessagesValue it => _history(state, it),
    final RetryingValue it => state.copyWith(retrying: () => it),
    final ToolProgressValue it => state.copyWith(progress: {...state.progress, it.toolCallId: it}),
    final SourcesValue it => state.copyWith(sources: [...state.sources, it]),
    final MediaValue it => state.copyWith(media: [...state.media, it]),
    _ => _other(state, event),
  };
}

ChatState _input(ChatState state, RunInputValue value) {
  // Told again, with the events of an older run: what came of it is there.
  if (value.runId != state.runId) return state;
  // Told again behind a broken line: what was asked to be replaced is replaced.
  final from = value.runId == state.inputRunId ? null : value.regenerateFrom;
  return asked(state, value.messages, regenerateFrom: from).copyWith(inputRunId: value.runId);
}

ChatState _history(ChatState state, OlderMessagesValue value) {
  return state.copyWith(nextBefore: () => value.hasMore ? value.nextBefore : null);
}

ChatState _other(ChatState state, CustomEvent event) {
  switch (event.name) {
    case 'agentroute.messages-snapshot-omitted' || 'agentroute.state-snapshot-omitted':
      return state.copyWith(isIncomplete: true);
    case 'agentroute.subagent':
      // The words for SUBAGENT_* before AG-UI 1.0: the value is the event.
      final value = JsonObject.asObject(event.value);
      return value == null ? state : reduce(state, AgUiEvent.fromJson(value));
    default:
      return state;
  }
}
