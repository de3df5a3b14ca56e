import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/thread_inputs.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';

/// A message that was sent, while the user changes it. Sending it replaces the message and everything after it.
class MessageEdit {
  MessageEdit(this.message) : _text = message.text;

  final UserMessage message;
  String _text;
  RunInput? _request;

  bool isSending = false;

  /// Why the service has refused it.
  ShownProblem? problem;

  String get text => _text;

  set text(String text) {
    if (text == _text) return;
    _text = text;
    _request = null;
  }

  /// There is nothing to send.
  bool get isEmpty => _text.trim().isEmpty && _attachments.isEmpty;

  /// The new text, with the attachments of the message.
  MessageContent get content {
    final text = _text.trim();
    final parts = _attachments;
    if (parts.isEmpty) return MessageContent.ofText(text);
    return MessageContent.ofParts([if (text.isNotEmpty) TextPart(text), ...parts]);
  }

  List<ContentPart> get _attachments {
    return [
      for (final part in message.content.parts)
        if (part is! TextPart) part,
    ];
  }

  /// The same text, sent again after a lost reply, is the same request.
  RunInput request(ThreadInputs inputs) => _request ??= inputs.edited(message.id, content);
}
