part of 'ag_ui_event.dart';

/// The first event of a run.
final class RunStartedEvent extends AgUiEvent {
  const RunStartedEvent({
    required this.threadId,
    required this.runId,
    this.protocolVersion,
    this.parentRunId,
    this.input,
    super.raw,
  });

  factory RunStartedEvent._(JsonObject json) => RunStartedEvent(
        threadId: json.text('threadId'),
        runId: json.text('runId'),
        protocolVersion: json.textOrNull('protocolVersion'),
        parentRunId: json.textOrNull('parentRunId'),
        input: json.objectOrNull('input')?.raw,
        raw: json.raw,
      );

  final String threadId;
  final String runId;
  final String? protocolVersion;
  final String? parentRunId;
  final Map<String, dynamic>? input;

  @override
  String get type => 'RUN_STARTED';
}

/// The last event of a run that did not fail.
final class RunFinishedEvent extends AgUiEvent {
  const RunFinishedEvent({
    required this.threadId,
    required this.runId,
    this.outcome = const RunOutcome(),
    this.usage = const [],
    this.result,
    super.raw,
  });

  factory RunFinishedEvent._(JsonObject json) => RunFinishedEvent(
        threadId: json.text('threadId'),
        runId: json.text('runId'),
        outcome: RunOutcome.fromJson(json.raw['outcome']),
        usage: [for (final each in json.objects('usage')) TokenUsage.fromJson(each)],
        result: json.raw['result'],
        raw: json.raw,
      );

  final String threadId;
  final String runId;
  final RunOutcome outcome;
  final List<TokenUsage> usage;
  final Object? result;

  @override
  String get type => 'RUN_FINISHED';
}

/// The last event of a run that failed. A stopped run of the old vocabulary has the code `cancelled`.
final class RunErrorEvent extends AgUiEvent {
  const RunErrorEvent({required this.message, this.code, this.usage = const [], super.raw});

  factory RunErrorEvent._(JsonObject json) => RunErrorEvent(
        message: json.text('message'),
        code: json.textOrNull('code'),
        usage: [for (final each in json.objects('usage')) TokenUsage.fromJson(each)],
        raw: json.raw,
      );

  final String message;
  final String? code;
  final List<TokenUsage> usage;

  @override
  String get type => 'RUN_ERROR';
}

/// A stage begins.
final class StepStartedEvent extends AgUiEvent {
  const StepStartedEvent({required this.stepName, super.raw});

  factory StepStartedEvent._(JsonObject json) => StepStartedEvent(
        stepName: json.text('stepName'),
        raw: json.raw,
      );

  final String stepName;

  @override
  String get type => 'STEP_STARTED';
}

/// A stage ends.
final class StepFinishedEvent extends AgUiEvent {
  const StepFinishedEvent({required this.stepName, super.raw});

  factory StepFinishedEvent._(JsonObject json) => StepFinishedEvent(
        stepName: json.text('stepName'),
        raw: json.raw,
      );

  final String stepName;

  @override
  String get type => 'STEP_FINISHED';
}

/// A tool call was handed to a subagent, whose events have its [subagentRunId].
final class SubagentStartedEvent extends AgUiEvent {
  const SubagentStartedEvent({
    required this.subagentRunId,
    required this.name,
    this.description,
    this.parentSubagentRunId,
    this.parentToolCallId,
    this.parentMessageId,
    super.raw,
  });

  factory SubagentStartedEvent._(JsonObject json) => SubagentStartedEvent(
        subagentRunId: json.text('subagentRunId'),
        name: json.text('name'),
        description: json.textOrNull('description'),
        parentSubagentRunId: json.textOrNull('parentSubagentRunId'),
        parentToolCallId: json.textOrNull('parentToolCallId'),
        parentMessageId: json.textOrNull('parentMessageId'),
        raw: json.raw,
      );

  @override
  final String subagentRunId;

  final String name;
  final String? description;
  final String? parentSubagentRunId;
  final String? parentToolCallId;
  final String? parentMessageId;

  @override
  String get type => 'SUBAGENT_STARTED';
}

/// A subagent has answered.
final class SubagentFinishedEvent extends AgUiEvent {
  const SubagentFinishedEvent({required this.subagentRunId, this.result, this.outcome, super.raw});

  factory SubagentFinishedEvent._(JsonObject json) => SubagentFinishedEvent(
        subagentRunId: json.text('subagentRunId'),
        result: json.raw['result'],
        outcome: json.objectOrNull('outcome')?.raw,
        raw: json.raw,
      );

  @override
  final String subagentRunId;

  final Object? result;
  final Map<String, dynamic>? outcome;

  @override
  String get type => 'SUBAGENT_FINISHED';
}

/// A subagent ended without an answer.
final class SubagentErrorEvent extends AgUiEvent {
  const SubagentErrorEvent({required this.subagentRunId, required this.message, this.code, super.raw});

  factory SubagentErrorEvent._(JsonObject json) => SubagentErrorEvent(
        subagentRunId: json.text('subagentRunId'),
        message: json.text('message'),
        code: json.textOrNull('code'),
        raw: json.raw,
      );

  @override
  final String subagentRunId;

  final String message;
  final String? code;

  @override
  String get type => 'SUBAGENT_ERROR';
}
