import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/message_edit.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_note.dart';
import 'package:flutter/material.dart';

/// Changes a message that was sent. Its text is kept by the controller: a list that is scrolled lets go of its widgets.
class MessageEditor extends StatefulWidget {
  const MessageEditor({required this.edit, required this.controller, super.key});

  final MessageEdit edit;
  final ChatController controller;

  @override
  State<MessageEditor> createState() => _MessageEditorState();
}

class _MessageEditorState extends State<MessageEditor> {
  late final TextEditingController _text = TextEditingController(text: widget.edit.text);

  @override
  void dispose() {
    _text.dispose();
    super.dispose();
  }

  @override
  Widget build(BuildContext context) {
    final edit = widget.edit;
    final problem = edit.problem;
    return Card(
      margin: const EdgeInsets.symmetric(vertical: 8),
      child: Padding(
        padding: const EdgeInsets.all(12),
        child: Column(
          crossAxisAlignment: CrossAxisAlignment.stretch,
          children: [
            TextField(
              controller: _text,
              autofocus: true,
              minLines: 1,
              maxLines: 8,
              keyboardType: TextInputType.multiline,
              textCapitalization: TextCapitalization.sentences,
              decoration: const InputDecoration(
                labelText: 'Edited message',
                helperText: 'Everything after this message is replaced.',
                helperMaxLines: 3,
              ),
              onChanged: (text) => setState(() => edit.text = text),
            ),
            if (problem != null)
              ProblemNote(
                code: problem.code,
                message: problem.message,
                retryable: problem.isRetryable,
                requestId: problem.requestId,
              ),
            const SizedBox(height: 8),
            Wrap(
              alignment: WrapAlignment.end,
              spacing: 8,
              children: [
                TextButton(onPressed: widget.controller.endEdit, child: const Text('Cancel')),
                FilledButton(
                  onPressed: edit.isEmpty || edit.isSending ? null : widget.controller.sendEdit,
                  child: const Text('Send'),
                ),
              ],
            ),
          ],
        ),
      ),
    );
  }
}
