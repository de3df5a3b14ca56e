import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// What somebody said, as text.
final class Transcription {
  const Transcription({required this.text, this.language, this.duration, this.model, this.latency, this.cost});

  /// Throws a [FormatException] if it is no transcription.
  factory Transcription.fromJson(Object? value) {
    final json = JsonObject.of(value, 'a transcription');
    final duration = json.integerOrNull('durationMs');
    final latency = json.integerOrNull('latencyMs');
    return Transcription(
      text: json.text('text'),
      language: json.textOrNull('language'),
      duration: duration == null ? null : Duration(milliseconds: duration),
      model: json.textOrNull('model'),
      latency: latency == null ? null : Duration(milliseconds: latency),
      cost: json.textOrNull('cost'),
    );
  }

  final String text;
  final String? language;
  final Duration? duration;
  final String? model;
  final Duration? latency;

  /// A decimal as text; null is unknown.
  final String? cost;
}
