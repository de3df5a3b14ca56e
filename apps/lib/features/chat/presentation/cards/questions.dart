/// Open questions of a run as cards show them: pure, from AG-UI's interrupts.
library;

import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/domain/json_patch.dart' show sameJson;
import 'package:agentroute_chat/features/chat/presentation/cards/form_draft.dart';
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
        _ when _isYesOrNo(interrupt, properties) => QuestionKind.approval,
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

  /// Whether the app can help with the login.
  bool get canConnect {
    return kind == QuestionKind.connection && (loginPageOf(interrupt) != null || interrupt.server != null);
  }

  /// Whether whoever approves may change the arguments.
  bool get isEditable => call != null && _inputSchema != null;

  /// A form for other arguments: a JSON object, whatever its schema says.
  FormDraft? newArguments() {
    final schema = _inputSchema;
    if (schema == null) return null;
    return FormDraft(schema: schema, root: interrupt.responseSchema, initial: arguments, mustBeObject: true);
  }

  /// A form for what else an approval has; null if it has nothing.
  FormDraft? newExtras() {
    final names = _extraNames;
    if (kind != QuestionKind.approval || names.isEmpty) return null;
    final schema = interrupt.responseSchema;
    final members = {for (final name in names) name: _properties[name]};
    return FormDraft(schema: {...schema, 'properties': members});
  }

  /// The answer yes, with other arguments if they were changed.
  ResumeAnswer approve({Map<String, dynamic>? changed, Map<String, dynamic> extras = const {}}) {
    if (kind != QuestionKind.approval) return ResumeAnswer.resolve(id);
    final isChanged = changed != null && !sameJson(changed, arguments);
    return ResumeAnswer.resolve(
      id,
      payload: <String, dynamic>{'approved': true, ...extras, if (isChanged) 'input': changed},
    );
  }

  /// The answer no, with a reason where the question takes one. It fits, whatever else an approval needs.
  ResumeAnswer decline({String reason = ''}) {
    final Object? needed = interrupt.responseSchema['required'];
    final needsMore = needed is List<dynamic> && needed.any(_extraNames.contains);
    if (kind != QuestionKind.approval || needsMore) return ResumeAnswer.decline(id);
    final name = reasonName;
    return ResumeAnswer.resolve(
      id,
      payload: <String, dynamic>{
        'approved': false,
        if (name != null && reason.trim().isNotEmpty) name: reason.trim(),
      },
    );
  }

  ResumeAnswer answer(Object? payload) => ResumeAnswer.resolve(id, payload: payload);

  /// The only answer that an expired question takes.
  ResumeAnswer layAside() => ResumeAnswer.decline(id);

  Map<String, dynamic> get _properties {
    return JsonObject.asObject(interrupt.responseSchema['properties']) ?? const <String, dynamic>{};
  }

  Map<String, dynamic>? get _inputSchema => JsonObject.asObject(_properties['input']);

  Set<String> get _extraNames {
    return {
      for (final name in _properties.keys)
        if (name != 'approved' && name != 'input' && name != reasonName) name,
    };
  }
}

/// Whether the answer is yes or no. What it has besides is asked for in the same card.
bool _isYesOrNo(Interrupt interrupt, Map<String, dynamic> properties) {
  if (interrupt.reason == Interrupt.toolApproval || interrupt.reason == Interrupt.budgetExhausted) return true;
  return _typeOf(properties['approved']) == 'boolean';
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

/// The page of a login; null if a token is asked for. Only addresses of the web are opened.
Uri? loginPageOf(Interrupt interrupt) {
  final url = Uri.tryParse(interrupt.url ?? '');
  return url != null && (url.isScheme('http') || url.isScheme('https')) && url.host.isNotEmpty ? url : null;
}

/// Of several questions: what will be sent for one.
String decisionWords(QuestionKind kind, {required bool isYes}) {
  return switch (kind) {
    QuestionKind.approval => isYes ? 'Will be approved' : 'Will be declined',
    QuestionKind.connection => isYes ? 'Goes on with the login' : 'Goes on without the login',
    QuestionKind.form => isYes ? 'Will be answered' : 'Will not be answered',
    QuestionKind.notice => isYes ? 'Goes on' : 'Will be declined',
  };
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
