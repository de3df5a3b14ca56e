import 'package:agentroute_chat/features/chat/data/models/message_metrics.dart';
import 'package:agentroute_chat/features/chat/presentation/format/format.dart';

/// What the model call of a message took: one short line, and everything by name.
class MessageFacts {
  const MessageFacts({required this.line, required this.details});

  final String line;
  final List<(String, String)> details;
}

/// Returns the words for the metrics of an assistant's message. Null for a message that says nothing of its cost, such
/// as one that is still being written.
MessageFacts? messageFacts(MessageMetrics metrics) {
  final MessageMetrics(:model, :inputTokens, :outputTokens, :cost, :latency, :ttft) = metrics;
  if (inputTokens == null && outputTokens == null && latency == null) return null;
  final price = money(cost, currency: metrics.currency ?? 'USD');
  final all = <(String, String?)>[
    ('Model', model),
    ('Input', inputTokens == null ? null : plural(inputTokens, 'token')),
    ('of them cached', _amount(metrics.cachedInputTokens)),
    ('Output', outputTokens == null ? null : plural(outputTokens, 'token')),
    ('of them reasoning', _amount(metrics.reasoningTokens)),
    ('Cost', price),
    ('First token after', ttft == null ? null : duration(ttft.inMilliseconds)),
    ('Complete after', latency == null ? null : duration(latency.inMilliseconds)),
    ('Finish reason', metrics.finishReason),
  ];
  return MessageFacts(
    line: facts([
      model,
      plural((inputTokens ?? 0) + (outputTokens ?? 0), 'token'),
      if (cost != null) price,
      if (latency != null) duration(latency.inMilliseconds),
    ]),
    details: [
      for (final (name, value) in all)
        if (value != null) (name, value),
    ],
  );
}

String? _amount(int? tokens) => tokens == null || tokens == 0 ? null : count(tokens);
