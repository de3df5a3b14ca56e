import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// An agent of the service, as a chat app introduces it.
final class AgentSummary {
  const AgentSummary({
    required this.id,
    this.name = '',
    this.description = '',
    this.greeting,
    this.suggestions = const [],
    this.isDefault = false,
  });

  /// Throws a [FormatException] if it is no agent.
  factory AgentSummary.fromJson(JsonObject json) {
    return AgentSummary(
      id: json.text('id'),
      name: json.textOrNull('name') ?? '',
      description: json.textOrNull('description') ?? '',
      greeting: json.textOrNull('greeting'),
      suggestions: json.texts('suggestions'),
      isDefault: json.flagOrNull('default') ?? false,
    );
  }

  /// Reads the answer of `GET /agents`. Throws a [FormatException] if it is none.
  static List<AgentSummary> listFromJson(Object? value) {
    return [for (final each in JsonObject.of(value, 'the agents').objects('agents')) AgentSummary.fromJson(each)];
  }

  final String id;
  final String name;
  final String description;

  /// What it says before the first message.
  final String? greeting;

  /// First messages that an app may offer.
  final List<String> suggestions;

  /// A thread gets it that names no other.
  final bool isDefault;
}
