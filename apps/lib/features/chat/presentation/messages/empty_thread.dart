import 'package:flutter/material.dart';

/// What a new conversation shows before its first message.
class EmptyThread extends StatelessWidget {
  const EmptyThread({required this.suggestions, required this.onSend, this.title, this.greeting, super.key});

  final List<String> suggestions;
  final ValueChanged<String> onSend;

  /// The name of the agent.
  final String? title;
  final String? greeting;

  static String _or(String? text, String other) => text == null || text.isEmpty ? other : text;

  @override
  Widget build(BuildContext context) {
    final theme = Theme.of(context);
    return Center(
      child: SingleChildScrollView(
        padding: const EdgeInsets.all(24),
        child: Column(
          children: [
            Icon(Icons.forum_outlined, size: 44, color: theme.colorScheme.primary),
            const SizedBox(height: 12),
            Semantics(header: true, child: Text(_or(title, 'AgentRoute'), style: theme.textTheme.headlineSmall)),
            const SizedBox(height: 8),
            Text(_or(greeting, 'Ask something to begin.'), textAlign: TextAlign.center),
            const SizedBox(height: 24),
            Wrap(
              spacing: 8,
              runSpacing: 8,
              alignment: WrapAlignment.center,
              children: [
                for (final text in suggestions) ActionChip(label: Text(text), onPressed: () => onSend(text)),
              ],
            ),
          ],
        ),
      ),
    );
  }
}
