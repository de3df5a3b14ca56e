import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// How a run ended that did not fail.
final class RunOutcome {
  const RunOutcome({this.type = success, this.interrupts = const [], this.pendingToolCallIds = const []});

  /// An absent outcome is a success. Throws a [FormatException] if it is none.
  factory RunOutcome.fromJson(Object? value) {
    if (value == null) return const RunOutcome();
    final json = JsonObject.of(value, 'an outcome');
    return RunOutcome(
      type: json.text('type'),
      interrupts: [for (final each in json.objects('interrupts')) Interrupt.fromJson(each.raw)],
      pendingToolCallIds: json.texts('pendingToolCallIds'),
    );
  }

  static const String success = 'success';
  static const String interrupt = 'interrupt';
  static const String cancelled = 'cancelled';

  /// [success], [interrupt] or [cancelled]; a later version may have more.
  final String type;

  /// With [interrupt]: the open questions.
  final List<Interrupt> interrupts;

  /// With [success]: calls of the app's own tools that wait for their results.
  final List<String> pendingToolCallIds;
}

/// Tokens of one model in one run.
final class TokenUsage {
  const TokenUsage({
    this.provider,
    this.model,
    this.inputTokens = 0,
    this.outputTokens = 0,
    this.totalTokens = 0,
    this.reasoningTokens = 0,
    this.cachedInputTokens = 0,
    this.cacheWriteInputTokens = 0,
  });

  /// Throws a [FormatException] if a member has another type.
  factory TokenUsage.fromJson(JsonObject json) {
    return TokenUsage(
      provider: json.textOrNull('provider'),
      model: json.textOrNull('model'),
      inputTokens: json.integerOrNull('inputTokens') ?? 0,
      outputTokens: json.integerOrNull('outputTokens') ?? 0,
      totalTokens: json.integerOrNull('totalTokens') ?? 0,
      reasoningTokens: json.integerOrNull('reasoningTokens') ?? 0,
      cachedInputTokens: json.integerOrNull('cachedInputTokens') ?? 0,
      cacheWriteInputTokens: json.integerOrNull('cacheWriteInputTokens') ?? 0,
    );
  }

  final String? provider;
  final String? model;
  final int inputTokens;
  final int outputTokens;
  final int totalTokens;
  final int reasoningTokens;
  final int cachedInputTokens;
  final int cacheWriteInputTokens;
}
