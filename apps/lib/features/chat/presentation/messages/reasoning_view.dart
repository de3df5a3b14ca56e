import 'package:agentroute_chat/features/chat/presentation/messages/markdown_text.dart';
import 'package:flutter/material.dart';

/// What the model thought, folded. Not drawn until somebody looks.
class ReasoningView extends StatelessWidget {
  const ReasoningView({
    required this.id,
    required this.text,
    required this.isThinking,
    required this.unfolded,
    super.key,
  });

  /// Of the message.
  final String id;
  final String text;
  final bool isThinking;

  /// Ids of the messages that are unfolded; a message that is scrolled away is gone, so whoever shows it keeps them.
  final Set<String> unfolded;

  @override
  Widget build(BuildContext context) {
    final theme = Theme.of(context);
    return Theme(
      data: theme.copyWith(dividerColor: Colors.transparent),
      child: ExpansionTile(
        initiallyExpanded: unfolded.contains(id),
        onExpansionChanged: (isOpen) => isOpen ? unfolded.add(id) : unfolded.remove(id),
        tilePadding: EdgeInsets.zero,
        leading: isThinking
            ? const SizedBox.square(dimension: 16, child: CircularProgressIndicator(strokeWidth: 2))
            : const Icon(Icons.lightbulb_outline, size: 18),
        title: Text(isThinking ? 'Thinking' : 'Thought', style: theme.textTheme.bodyMedium),
        expandedCrossAxisAlignment: CrossAxisAlignment.start,
        childrenPadding: const EdgeInsets.only(bottom: 8),
        children: [MarkdownText(text: text)],
      ),
    );
  }
}
