import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/form_draft.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/questions.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/schema_fields.dart';

/// What the user has written and decided about one question, and not sent yet.
///
/// The question comes with each call: what it is about may be loaded later than the question itself.
class QuestionDraft {
  QuestionDraft(Question question)
      : extras = question.newExtras(),
        answer = question.kind == QuestionKind.form ? FormDraft(schema: question.interrupt.responseSchema) : null;

  /// What else an approval asks for; null if nothing.
  final FormDraft? extras;

  /// The answer of a question that has a form of its own.
  final FormDraft? answer;

  /// The changed arguments; null while they are those of the agent.
  FormDraft? arguments;

  /// Why the user declines; null until somebody asks.
  String? reason;

  /// Of several questions: what will be sent for this one.
  ResumeAnswer? decided;

  void edit(Question question) => arguments = question.newArguments();

  /// The answer yes, with what was written; null if something that was written does not fit.
  ResumeAnswer? approved(Question question) {
    final changed = _tried(arguments);
    final more = _tried(extras);
    if (changed?.complaint != null || more?.complaint != null) return null;
    return question.approve(
      changed: JsonObject.asObject(changed?.value),
      extras: JsonObject.asObject(more?.value) ?? const <String, dynamic>{},
    );
  }

  ResumeAnswer declined(Question question) => question.decline(reason: reason ?? '');

  /// The answer that was written; null if it does not fit.
  ResumeAnswer? answered(Question question) {
    final found = _tried(answer);
    return found == null || found.complaint != null ? null : question.answer(found.value);
  }

  static FieldValue? _tried(FormDraft? form) {
    if (form == null) return null;
    form.isTried = true;
    return form.read();
  }
}
