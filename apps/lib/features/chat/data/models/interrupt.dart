import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// A question that a run ended with. `POST /resume` answers it.
final class Interrupt {
  const Interrupt({
    required this.id,
    required this.reason,
    this.message = '',
    this.toolCallId,
    this.responseSchema = const {},
    this.expiresAt,
    this.subagentRunId,
    this.metadata = const {},
    this.raw = const {},
  });

  /// Throws a [FormatException] if it is no interrupt.
  factory Interrupt.fromJson(Object? value) {
    final json = JsonObject.of(value, 'an interrupt');
    return Interrupt(
      id: json.text('id'),
      reason: json.text('reason'),
      message: json.textOrNull('message') ?? '',
      toolCallId: json.textOrNull('toolCallId'),
      responseSchema: json.objectOrNull('responseSchema')?.raw ?? const {},
      expiresAt: json.timeOrNull('expiresAt'),
      subagentRunId: json.textOrNull('subagentRunId'),
      metadata: json.objectOrNull('metadata')?.raw ?? const {},
      raw: json.raw,
    );
  }

  static const String toolApproval = 'tool_approval';
  static const String connectionRequired = 'connection_required';
  static const String budgetExhausted = 'budget_exhausted';

  final String id;

  /// [toolApproval], [connectionRequired], [budgetExhausted], or a reason of the agent: then show [message].
  final String reason;

  /// The question, for the user.
  final String message;
  final String? toolCallId;

  /// JSON Schema of the answer.
  final Map<String, dynamic> responseSchema;
  final DateTime? expiresAt;
  final String? subagentRunId;
  final Map<String, dynamic> metadata;
  final Map<String, dynamic> raw;

  /// The answer is `{"approved": true}`, or a refusal.
  bool get asksApproval => reason == toolApproval || reason == budgetExhausted || _properties.containsKey('approved');

  /// The user has to log in at [server] first.
  bool get asksConnection => reason == connectionRequired;

  /// The answer may have other arguments for the call.
  bool get isEditable => _properties.containsKey('input');

  /// The server that needs the user's own login.
  String? get server => _text('server');

  /// `oauth` (open [url]), or `user-token` (ask for a token).
  String? get auth => _text('auth');

  /// The page of the login.
  String? get url => _text('url');

  bool isExpired(DateTime now) {
    final end = expiresAt;
    return end != null && !now.isBefore(end);
  }

  Map<String, dynamic> toJson() {
    if (raw.isNotEmpty) return raw;
    return {
      'id': id,
      'reason': reason,
      'message': message,
      if (toolCallId != null) 'toolCallId': toolCallId,
      if (responseSchema.isNotEmpty) 'responseSchema': responseSchema,
      if (expiresAt != null) 'expiresAt': expiresAt!.toUtc().toIso8601String(),
      if (metadata.isNotEmpty) 'metadata': metadata,
    };
  }

  Map<String, dynamic> get _properties => JsonObject.asObject(responseSchema['properties']) ?? const {};

  String? _text(String name) {
    final Object? value = metadata[name];
    return value is String ? value : null;
  }
}

/// The answer to one [Interrupt].
final class ResumeAnswer {
  const ResumeAnswer._(this.interruptId, this.status, {this.payload});

  /// Lets the call be made; with [arguments] instead of those that were shown, if the interrupt is editable.
  ResumeAnswer.approve(this.interruptId, {Map<String, dynamic>? arguments})
      : status = 'resolved',
        payload = {'approved': true, if (arguments != null) 'input': arguments};

  /// Declines. It fits every question.
  const ResumeAnswer.decline(String interruptId) : this._(interruptId, 'cancelled');

  /// Any other answer: [payload] has the form of the interrupt's `responseSchema`. None says that the user is back.
  ///
  /// To the service an answer without a payload has the payload null: so null, too, can be answered.
  const ResumeAnswer.resolve(String interruptId, {Object? payload})
      : this._(interruptId, 'resolved', payload: payload);

  final String interruptId;

  /// `resolved` or `cancelled`.
  final String status;
  final Object? payload;

  Map<String, dynamic> toJson() {
    return {
      'interruptId': interruptId,
      'status': status,
      if (payload != null) 'payload': payload,
    };
  }
}
