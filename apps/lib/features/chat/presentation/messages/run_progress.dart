import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:flutter/material.dart';

const _words = {
  'intent': ('Understanding the request', 'Understood'),
  'execution': ('Working on it', 'Worked'),
  'report': ('Writing the report', 'Reported'),
};

/// What a stage is called while it is open, and behind its end.
String stageWords(Stage stage) {
  final (open, done) = _words[stage.name] ?? (stage.name, stage.name);
  return stage.isOpen ? open : done;
}

/// What the live run is doing: its stages, its subagents, and what it tries again.
class RunProgress extends StatelessWidget {
  const RunProgress({required this.state, required this.isWaiting, super.key});

  final ChatState state;

  /// The run is accepted and has not begun.
  final bool isWaiting;

  @override
  Widget build(BuildContext context) {
    final retrying = state.retrying;
    // Steps of a subagent are work within a stage of the run.
    final stages = state.stages.where((stage) => stage.subagentRunId == null).toList();
    final running = state.subagents.where((one) => one.status == SubagentStatus.running);
    return Semantics(
      liveRegion: true,
      label: 'Progress of the answer',
      child: Padding(
        padding: const EdgeInsets.symmetric(vertical: 8),
        child: Column(
          crossAxisAlignment: CrossAxisAlignment.start,
          children: [
            if (isWaiting)
              const _Step(words: 'Waiting to begin', isOpen: true)
            else if (stages.isEmpty)
              const _Step(words: 'Starting', isOpen: true),
            for (final stage in stages) _Step(words: stageWords(stage), isOpen: stage.isOpen),
            for (final one in running) _Step(words: '${one.name} is at work', isOpen: true),
            if (retrying != null)
              Text('The model did not answer; trying again (attempt ${retrying.attempt + 1}).'),
          ],
        ),
      ),
    );
  }
}

class _Step extends StatelessWidget {
  const _Step({required this.words, required this.isOpen});

  final String words;
  final bool isOpen;

  @override
  Widget build(BuildContext context) {
    return Padding(
      padding: const EdgeInsets.symmetric(vertical: 2),
      child: Row(
        children: [
          SizedBox.square(
            dimension: 14,
            child: isOpen
                ? const CircularProgressIndicator(strokeWidth: 2)
                : const Icon(Icons.check, size: 14),
          ),
          const SizedBox(width: 8),
          Expanded(child: Text(words, style: Theme.of(context).textTheme.bodySmall)),
        ],
      ),
    );
  }
}
