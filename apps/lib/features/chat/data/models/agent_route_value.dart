import 'dart:convert';
import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// The value of a `CUSTOM` event of AgentRoute's own.
sealed class AgentRouteValue {
  const AgentRouteValue();

  /// Returns null for an event of the agent's own, and for one that this version does not know. Never throws.
  static AgentRouteValue? of(CustomEvent event) {
    try {
      return switch (event.name) {
        'agentroute.input' => RunInputValue._(JsonObject.of(event.value, event.name)),
        'agentroute.history' => OlderMessagesValue._(JsonObject.of(event.value, event.name)),
        'agentroute.retrying' => RetryingValue._(JsonObject.of(event.value, event.name)),
        'agentroute.tool-progress' => ToolProgressValue._(JsonObject.of(event.value, event.name)),
        'agentroute.sources' => SourcesValue._(JsonObject.of(event.value, event.name)),
        'agentroute.data' => MediaValue._(JsonObject.of(event.value, event.name)),
        'agentroute.context-compacted' => ContextCompactedValue._(JsonObject.of(event.value, event.name)),
        'agentroute.memory-rebuilt' => MemoryRebuiltValue._(JsonObject.of(event.value, event.name)),
        _ => null,
      };
    } on FormatException {
      return null;
    }
  }
}

/// `agentroute.input`: what a run of the thread was asked. May be told twice.
final class RunInputValue extends AgentRouteValue {
  const RunInputValue({required this.runId, this.messages = const [], this.regenerateFrom});

  factory RunInputValue._(JsonObject json) {
    return RunInputValue(
      runId: json.text('runId'),
      messages: [for (final each in json.objects('messages')) ChatMessage.fromJson(each.raw)],
      regenerateFrom: json.textOrNull('regenerateFrom'),
    );
  }

  final String runId;

  /// Add those that the app does not hold.
  final List<ChatMessage> messages;

  /// Remove this message, with everything after it, before.
  final String? regenerateFrom;
}

/// `agentroute.history`: there are older messages than the snapshot has.
final class OlderMessagesValue extends AgentRouteValue {
  const OlderMessagesValue({required this.hasMore, this.nextBefore});

  factory OlderMessagesValue._(JsonObject json) {
    return OlderMessagesValue(
      hasMore: json.flagOrNull('hasMore') ?? false,
      nextBefore: json.textOrNull('nextBefore'),
    );
  }

  final bool hasMore;
  final String? nextBefore;
}

/// `agentroute.retrying`: the model did not answer, and is asked again.
final class RetryingValue extends AgentRouteValue {
  const RetryingValue({required this.attempt, required this.delay, required this.code});

  factory RetryingValue._(JsonObject json) {
    return RetryingValue(
      attempt: json.integerOrNull('attempt') ?? 0,
      delay: Duration(milliseconds: json.integerOrNull('delayMs') ?? 0),
      code: json.textOrNull('code') ?? '',
    );
  }

  final int attempt;
  final Duration delay;
  final String code;
}

/// `agentroute.tool-progress`: how far a call is.
final class ToolProgressValue extends AgentRouteValue {
  const ToolProgressValue({required this.toolCallId, this.message, this.progress, this.total});

  factory ToolProgressValue._(JsonObject json) {
    return ToolProgressValue(
      toolCallId: json.text('toolCallId'),
      message: json.textOrNull('message'),
      progress: json.numberOrNull('progress'),
      total: json.numberOrNull('total'),
    );
  }

  final String toolCallId;
  final String? message;
  final num? progress;
  final num? total;

  /// From 0 to 1; null if nobody knows.
  double? get fraction {
    final done = progress;
    final all = total;
    if (done == null || all == null || all <= 0) return null;
    final part = done / all;
    // 1e999 is JSON: two numbers without an end have no part.
    return part.isNaN ? null : part.clamp(0.0, 1.0).toDouble();
  }
}

/// `agentroute.sources`: what a search found. `[1]` in the answer is the source with the number 1.
final class SourcesValue extends AgentRouteValue {
  const SourcesValue({
    required this.query,
    this.toolCallId,
    this.sources = const [],
    this.leftOut = 0,
    this.errorCode,
    this.errorMessage,
  });

  factory SourcesValue._(JsonObject json) {
    final error = json.objectOrNull('error');
    return SourcesValue(
      query: json.textOrNull('query') ?? '',
      toolCallId: json.textOrNull('toolCallId'),
      sources: [for (final each in json.objects('sources')) CitedSource._(each)],
      leftOut: json.integerOrNull('leftOut') ?? 0,
      errorCode: error?.textOrNull('code'),
      errorMessage: error?.textOrNull('message'),
    );
  }

  final String query;
  final String? toolCallId;
  final List<CitedSource> sources;
  final int leftOut;
  final String? errorCode;
  final String? errorMessage;
}

/// One passage that a search found.
final class CitedSource {
  const CitedSource({required this.number, required this.snippet, this.id, this.title, this.url, this.score});

  factory CitedSource._(JsonObject json) {
    return CitedSource(
      number: json.integerOrNull('number') ?? 0,
      snippet: json.textOrNull('snippet') ?? '',
      id: json.textOrNull('id'),
      title: json.textOrNull('title'),
      url: json.textOrNull('url'),
      score: json.numberOrNull('score'),
    );
  }

  final int number;
  final String snippet;
  final String? id;
  final String? title;
  final String? url;
  final num? score;
}

/// `agentroute.data`: an image or another medium that the model made. It has [url], or [pieces], or [omittedBytes].
final class MediaValue extends AgentRouteValue {
  const MediaValue({
    required this.mediaType,
    this.messageId,
    this.blockId,
    this.name,
    this.url,
    this.pieces = const [],
    this.omittedBytes,
  });

  factory MediaValue._(JsonObject json) {
    return MediaValue(
      mediaType: json.text('mediaType'),
      messageId: json.textOrNull('messageId'),
      blockId: json.textOrNull('blockId'),
      name: json.textOrNull('name'),
      url: json.textOrNull('url'),
      pieces: json.texts('data'),
      omittedBytes: json.integerOrNull('omittedBytes'),
    );
  }

  final String mediaType;
  final String? messageId;
  final String? blockId;
  final String? name;
  final String? url;

  /// The content, in order. Each piece is base64 of its own.
  final List<String> pieces;

  /// The size of a medium that is larger than an event may be.
  final int? omittedBytes;

  /// The content; null if there is none, or if it is no base64.
  Uint8List? get bytes {
    if (pieces.isEmpty) return null;
    final builder = BytesBuilder(copy: false);
    try {
      for (final piece in pieces) {
        builder.add(base64.decode(piece));
      }
    } on FormatException {
      return null;
    }
    return builder.takeBytes();
  }
}

/// `agentroute.context-compacted`: older messages were summarised for the model. History is unchanged.
final class ContextCompactedValue extends AgentRouteValue {
  const ContextCompactedValue({this.messagesBefore = 0, this.messagesKept = 0});

  factory ContextCompactedValue._(JsonObject json) {
    return ContextCompactedValue(
      messagesBefore: json.integerOrNull('messagesBefore') ?? 0,
      messagesKept: json.integerOrNull('messagesKept') ?? 0,
    );
  }

  final int messagesBefore;
  final int messagesKept;
}

/// `agentroute.memory-rebuilt`: the agent remembers the messages of the history alone.
final class MemoryRebuiltValue extends AgentRouteValue {
  const MemoryRebuiltValue({this.messages = 0});

  factory MemoryRebuiltValue._(JsonObject json) {
    return MemoryRebuiltValue(messages: json.integerOrNull('messages') ?? 0);
  }

  final int messages;
}
