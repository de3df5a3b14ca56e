import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/own_runs.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/user_bubble.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_note.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_words.dart';
import 'package:flutter/material.dart';

/// Messages that the service has not accepted, each with the reason and what can be done.
class UnsentView extends StatelessWidget {
  const UnsentView({required this.controller, required this.onEdit, super.key});

  final ChatController controller;
  final ValueChanged<String> onEdit;

  @override
  Widget build(BuildContext context) {
    return Column(
      crossAxisAlignment: CrossAxisAlignment.stretch,
      children: [for (final unsent in controller.unsent) ..._one(unsent)],
    );
  }

  List<Widget> _one(UnsentMessage unsent) {
    final problem = unsent.problem;
    final words = wordsOf(problem.code, problem.message, retryable: problem.isRetryable);
    return [
      UserBubble(message: unsent.message),
      ProblemNote(
        key: ValueKey('unsent-${unsent.id}'),
        code: problem.code,
        message: problem.message,
        retryable: problem.isRetryable,
        requestId: problem.requestId,
        retryAt: problem.retryAt,
        onRetry: words.remedy == Remedy.again ? () => controller.retry(unsent.id) : null,
        actions: [
          if (problem.code == ProblemCode.interruptOpen)
            OutlinedButton(
              onPressed: () => controller.retry(unsent.id, onInterrupt: 'cancel'),
              child: const Text('Decline the question and send'),
            ),
          if (problem.code == ProblemCode.runActive)
            OutlinedButton(
              onPressed: () => controller.retry(unsent.id, onBusy: 'supersede'),
              child: const Text('Interrupt and send'),
            ),
          OutlinedButton(onPressed: () => _edit(unsent), child: const Text('Edit')),
          TextButton(onPressed: () => controller.takeBack(unsent.id), child: const Text('Discard')),
        ],
      ),
    ];
  }

  void _edit(UnsentMessage unsent) {
    final text = controller.takeBack(unsent.id);
    if (text != null) onEdit(text);
  }
}
