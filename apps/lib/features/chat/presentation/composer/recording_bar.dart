import 'dart:async';

import 'package:agentroute_chat/features/chat/presentation/controllers/dictation_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/format/format.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_note.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_words.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/material.dart';

/// What stands above the composer while somebody speaks; nothing when nobody does.
class RecordingBar extends StatelessWidget {
  const RecordingBar({required this.dictation, super.key});

  final DictationController dictation;

  @override
  Widget build(BuildContext context) {
    return switch (dictation.now) {
      DictationIdle() => const SizedBox.shrink(),
      DictationAsking() => _Bar(words: 'Allow the microphone…', onCancel: dictation.cancel),
      DictationRecording(:final since) => _Recording(since: since, dictation: dictation),
      DictationWriting() => _Bar(words: 'Writing down what you said…', onCancel: dictation.cancel),
      DictationRefused(:final refusal) => _Bar(
          words: '${refusal.title} ${refusal.advice}',
          isBusy: false,
          cancelWords: 'Dismiss',
          onCancel: dictation.cancel,
        ),
      DictationFailed(:final problem) => ProblemNote(
          code: problem.code,
          message: problem.message,
          retryable: problem.isRetryable,
          requestId: problem.requestId,
          retryAt: problem.retryAt,
          onRetry: _canRetry(problem) ? dictation.retry : null,
          actions: [
            OutlinedButton(onPressed: dictation.cancel, child: const Text('Discard the recording')),
          ],
        ),
    };
  }

  /// The same silence once more is no help.
  static bool _canRetry(ShownProblem problem) {
    final words = wordsOf(problem.code, problem.message, retryable: problem.isRetryable);
    return words.remedy == Remedy.again && problem.code != 'audio-empty';
  }
}

class _Bar extends StatelessWidget {
  const _Bar({required this.words, required this.onCancel, this.isBusy = true, this.cancelWords = 'Cancel'});

  final String words;
  final VoidCallback onCancel;
  final bool isBusy;
  final String cancelWords;

  @override
  Widget build(BuildContext context) {
    return Row(
      children: [
        if (isBusy)
          const SizedBox.square(dimension: 20, child: CircularProgressIndicator(strokeWidth: 2))
        else
          const Icon(Icons.error_outline),
        const SizedBox(width: 12),
        Expanded(child: Semantics(liveRegion: true, child: Text(words))),
        IconButton(tooltip: cancelWords, icon: const Icon(Icons.close), onPressed: onCancel),
      ],
    );
  }
}

class _Recording extends StatefulWidget {
  const _Recording({required this.since, required this.dictation});

  final DateTime since;
  final DictationController dictation;

  @override
  State<_Recording> createState() => _RecordingState();
}

class _RecordingState extends State<_Recording> {
  late final Timer _clock;

  @override
  void initState() {
    super.initState();
    _clock = Timer.periodic(const Duration(milliseconds: 500), (_) => setState(() {}));
  }

  @override
  void dispose() {
    _clock.cancel();
    super.dispose();
  }

  @override
  Widget build(BuildContext context) {
    return Row(
      children: [
        IconButton(
          tooltip: 'Discard the recording',
          icon: const Icon(Icons.close),
          onPressed: widget.dictation.cancel,
        ),
        Icon(Icons.fiber_manual_record, color: Theme.of(context).colorScheme.error, size: 16),
        const SizedBox(width: 8),
        Expanded(
          child: Semantics(
            label: 'Recorded time',
            child: Text(clock(DateTime.now().difference(widget.since))),
          ),
        ),
        IconButton.filled(
          tooltip: 'Write it down',
          icon: const Icon(Icons.check),
          onPressed: widget.dictation.finish,
        ),
      ],
    );
  }
}
