import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_note.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_words.dart';
import 'package:flutter/material.dart';

/// Why the last answer is missing, and how to get another one.
class RunEnd extends StatelessWidget {
  const RunEnd({required this.state, required this.onAgain, required this.onNewThread, super.key});

  final ChatState state;

  /// Null if there is nothing to answer.
  final VoidCallback? onAgain;
  final VoidCallback onNewThread;

  @override
  Widget build(BuildContext context) {
    return switch (state.status) {
      RunStatus.cancelled => Wrap(
          crossAxisAlignment: WrapCrossAlignment.center,
          children: [
            Semantics(liveRegion: true, child: const Text('The answer was stopped.')),
            if (onAgain != null)
              TextButton.icon(
                onPressed: onAgain,
                icon: const Icon(Icons.refresh),
                label: const Text('Answer again'),
              ),
          ],
        ),
      RunStatus.failed => _failed(),
      RunStatus.idle || RunStatus.running || RunStatus.interrupted || RunStatus.succeeded => const SizedBox.shrink(),
    };
  }

  Widget _failed() {
    final error = state.error ?? const RunFailure(code: 'internal-error', message: 'The run failed.');
    final remedy = wordsOf(error.code, error.message).remedy;
    return ProblemNote(
      code: error.code,
      message: error.message,
      onRetry: remedy == Remedy.again ? onAgain : null,
      actions: [
        if (remedy == Remedy.thread)
          OutlinedButton(onPressed: onNewThread, child: const Text('New conversation')),
      ],
    );
  }
}
