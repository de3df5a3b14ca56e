/// Open questions of a run as cards show them: pure, from AG-UI's interrupts.
library;

import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';
import 'package:agentroute_chat/features/chat/presentation/format/format.dart';

/// Yes or no; a login first; an answer of a shape of its own; or just going on.
enum QuestionKind { approval, connection, form, notice }

class Question {
  const Question({required this.interrupt, required this.kind, this.call, this.reasonName});

  factory Question.of(Interrupt interrupt, List<ChatMessage> messages) {
    final schema = interrupt.responseSchema;
    final properties = JsonObject.asObject(schema['properties']) ?? const <String, dynamic>{};
    return Question(
      interrupt: interrupt,
      kind: switch (interrupt) {
        Interrupt(asksConnection: true) => QuestionKind.connection,
        _ when _isYesOrNo(interrupt, schema, properties) => QuestionKind.approval,
        _ => schema.isEmpty ? QuestionKind.notice : QuestionKind.form,
      },
      call: _callNamed(interrupt.toolCallId, messages),
      reasonName: _reasonNames.where((name) => _typeOf(properties[name]) == 'string').firstOrNull,
    );
  }

  static const _reasonNames = ['reason', 'comment', 'feedback', 'note', 'explanation'];

  final Interrupt interrupt;
  final QuestionKind kind;

  /// The call that the question is about.
  final ToolCall? call;

  /// The member of the answer that says why the user declined.
  final String? reasonName;

  String get id => interrupt.id;

  String get title {
    return switch (interrupt.reason) {
      Interrupt.toolApproval => 'Approval needed',
      Interrupt.budgetExhausted => 'The budget is used up',
      Interrupt.connectionRequired => 'A login is needed',
      _ => 'The assistant asks',
    };
  }

  String get message {
    return interrupt.message.isEmpty ? 'The assistant waits for your answer.' : interrupt.message;
  }

  /// The arguments that the form begins with.
  Map<String, dynamic> get arguments {
    return JsonObject.asObject(parsedJson(call?.arguments ?? '')) ?? const <String, dynamic>{};
  }

  /// JSON Schema of the call's arguments; null if whoever approves may not change them.
  Map<String, dynamic>? get inputSchema {
    final properties = JsonObject.asObject(interrupt.responseSchema['properties']);
    return properties == null ? null : JsonObject.asObject(properties['input']);
  }

  /// The answer yes, with other arguments if they were changed.
  ResumeAnswer approve({Map<String, dynamic>? changed}) {
    if (kind != QuestionKind.approval) return ResumeAnswer.resolve(id);
    final isChanged = changed != null && !sameJson(changed, arguments);
    return ResumeAnswer.approve(id, arguments: isChanged ? changed : null);
  }

  /// The answer no, with a reason where the question takes one.
  ResumeAnswer decline({String reason = ''}) {
    if (kind != QuestionKind.approval) return ResumeAnswer.decline(id);
    final name = reasonName;
    return ResumeAnswer.resolve(
      id,
      payload: {
        'approved': false,
        if (name != null && reason.trim().isNotEmpty) name: reason.trim(),
      },
    );
  }

  ResumeAnswer answer(Object? payload) => ResumeAnswer.resolve(id, payload: payload);

  /// The only answer that an expired question takes.
  ResumeAnswer layAside() => ResumeAnswer.decline(id);
}

/// Whether the answer is yes or no, and needs nothing that the card does not ask for.
bool _isYesOrNo(Interrupt interrupt, Map<String, dynamic> schema, Map<String, dynamic> properties) {
  if (interrupt.reason == Interrupt.toolApproval || interrupt.reason == Interrupt.budgetExhausted) return true;
  if (_typeOf(properties['approved']) != 'boolean') return false;
  final Object? needed = schema['required'];
  return needed is! List || needed.every((name) => name == 'approved' || name == 'input');
}

String? _typeOf(Object? schema) {
  final Object? type = JsonObject.asObject(schema)?['type'];
  return type is String ? type : null;
}

ToolCall? _callNamed(String? id, List<ChatMessage> messages) {
  if (id == null) return null;
  for (final message in messages.reversed) {
    if (message is! AssistantMessage) continue;
    for (final call in message.toolCalls) {
      if (call.id == id) return call;
    }
  }
  return null;
}

/// How long a question can still be answered; null if for ever.
String? expiryWords(DateTime? expiresAt, DateTime now) {
  if (expiresAt == null) return null;
  final left = expiresAt.difference(now);
  if (left <= Duration.zero) return 'expired';
  if (left.inMinutes < 1) return 'expires in ${(left.inMilliseconds / 1000).ceil()} s';
  final minutes = (left.inSeconds / 60).round();
  if (left.inHours < 1) return 'expires in $minutes min';
  if (left.inDays < 1) return 'expires in ${minutes ~/ 60} h${minutes % 60 == 0 ? '' : ' ${minutes % 60} min'}';
  return 'expires in ${plural((left.inHours / 24).round(), 'day')}';
}
