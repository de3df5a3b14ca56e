/// What the model call behind a message took. What nobody knows is null, which does not mean nothing.
final class MessageMetrics {
  const MessageMetrics({
    this.model,
    this.inputTokens,
    this.outputTokens,
    this.cachedInputTokens,
    this.reasoningTokens,
    this.cost,
    this.currency,
    this.ttft,
    this.latency,
    this.finishReason,
  });

  /// Reads the `metadata` of an assistant's message. Never throws: a broken member is unknown.
  factory MessageMetrics.fromMetadata(Map<String, dynamic> metadata) {
    String? text(String name) {
      final Object? value = metadata[name];
      return value is String ? value : null;
    }

    int? number(String name) {
      final Object? value = metadata[name];
      return value is num && value.isFinite ? value.toInt() : null;
    }

    Duration? time(String name) {
      final value = number(name);
      return value == null ? null : Duration(milliseconds: value);
    }

    return MessageMetrics(
      model: text('model'),
      inputTokens: number('inputTokens'),
      outputTokens: number('outputTokens'),
      cachedInputTokens: number('cachedInputTokens'),
      reasoningTokens: number('reasoningTokens'),
      cost: text('cost'),
      currency: text('currency'),
      ttft: time('ttftMs'),
      latency: time('latencyMs'),
      finishReason: text('finishReason'),
    );
  }

  final String? model;
  final int? inputTokens;
  final int? outputTokens;
  final int? cachedInputTokens;
  final int? reasoningTokens;

  /// A decimal as text, so that nothing is lost.
  final String? cost;
  final String? currency;

  /// Time to the first token.
  final Duration? ttft;
  final Duration? latency;
  final String? finishReason;

  bool get isEmpty => model == null && inputTokens == null && outputTokens == null && latency == null;
}
