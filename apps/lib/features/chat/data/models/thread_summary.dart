import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// The live run of a thread.
final class ActiveRun {
  const ActiveRun({required this.runId, required this.status});

  factory ActiveRun.fromJson(JsonObject json) {
    return ActiveRun(runId: json.text('runId'), status: json.textOrNull('status') ?? '');
  }

  final String runId;
  final String status;
}

/// Sums over the model calls of a thread.
final class TokenTotals {
  const TokenTotals({
    this.inputTokens = 0,
    this.outputTokens = 0,
    this.cachedInputTokens = 0,
    this.reasoningTokens = 0,
    this.cost,
    this.isCostComplete = true,
    this.currency = 'USD',
  });

  factory TokenTotals.fromJson(JsonObject? json) {
    if (json == null) return const TokenTotals();
    return TokenTotals(
      inputTokens: json.integerOrNull('inputTokens') ?? 0,
      outputTokens: json.integerOrNull('outputTokens') ?? 0,
      cachedInputTokens: json.integerOrNull('cachedInputTokens') ?? 0,
      reasoningTokens: json.integerOrNull('reasoningTokens') ?? 0,
      cost: json.textOrNull('cost'),
      isCostComplete: json.flagOrNull('costComplete') ?? true,
      currency: json.textOrNull('currency') ?? 'USD',
    );
  }

  final int inputTokens;
  final int outputTokens;
  final int cachedInputTokens;
  final int reasoningTokens;

  /// A decimal as text; null is unknown, which does not mean free.
  final String? cost;

  /// False if the cost of at least one call is unknown.
  final bool isCostComplete;
  final String currency;
}

/// A thread as lists show it.
final class ThreadSummary {
  const ThreadSummary({
    required this.threadId,
    this.agentId,
    this.title,
    this.createdAt,
    this.updatedAt,
    this.messageCount = 0,
    this.activeRun,
    this.pendingInterrupts = 0,
    this.usage = const TokenTotals(),
  });

  /// Throws a [FormatException] if it is no thread.
  factory ThreadSummary.fromJson(Object? value) {
    final json = JsonObject.of(value, 'a thread');
    final activeRun = json.objectOrNull('activeRun');
    return ThreadSummary(
      threadId: json.text('threadId'),
      agentId: json.textOrNull('agentId'),
      title: json.textOrNull('title'),
      createdAt: json.timeOrNull('createdAt'),
      updatedAt: json.timeOrNull('updatedAt'),
      messageCount: json.integerOrNull('messageCount') ?? 0,
      activeRun: activeRun == null ? null : ActiveRun.fromJson(activeRun),
      pendingInterrupts: json.integerOrNull('pendingInterrupts') ?? 0,
      usage: TokenTotals.fromJson(json.objectOrNull('usage')),
    );
  }

  final String threadId;
  final String? agentId;
  final String? title;
  final DateTime? createdAt;
  final DateTime? updatedAt;
  final int messageCount;
  final ActiveRun? activeRun;

  /// How many questions are open.
  final int pendingInterrupts;
  final TokenTotals usage;
}

/// Threads, newest activity first.
final class ThreadPage {
  const ThreadPage({this.threads = const [], this.nextBefore});

  /// Throws a [FormatException] if it is no page.
  factory ThreadPage.fromJson(Object? value) {
    final json = JsonObject.of(value, 'a page of threads');
    return ThreadPage(
      threads: [for (final Object? each in json.list('threads')) ThreadSummary.fromJson(each)],
      nextBefore: json.textOrNull('nextBefore'),
    );
  }

  final List<ThreadSummary> threads;

  /// `before` of the next page; null on the last one.
  final String? nextBefore;
}
