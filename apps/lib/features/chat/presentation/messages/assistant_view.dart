import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/tool_call_card.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/markdown_text.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/message_meter.dart';
import 'package:flutter/material.dart';
import 'package:flutter/services.dart';

/// A message of the assistant: its text, its calls, and what it took.
class AssistantView extends StatelessWidget {
  const AssistantView({
    required this.message,
    required this.state,
    required this.unfolded,
    this.onAgain,
    super.key,
  });

  final AssistantMessage message;
  final ChatState state;

  /// Ids of the calls that are unfolded.
  final Set<String> unfolded;

  /// Has the question answered once more.
  final VoidCallback? onAgain;

  @override
  Widget build(BuildContext context) {
    final isWriting = state.isWriting(message.id);
    return Semantics(
      label: 'Answer',
      container: true,
      child: Padding(
        padding: const EdgeInsets.symmetric(vertical: 4),
        child: Column(
          crossAxisAlignment: CrossAxisAlignment.start,
          children: [
            if (message.content.isNotEmpty) MarkdownText(text: message.content),
            for (final call in message.toolCalls)
              ToolCallCard(
                key: ValueKey(call.id),
                call: call,
                unfolded: unfolded,
                status: state.callStatus(call.id),
                result: state.resultOf(call.id),
                progress: state.progress[call.id],
              ),
            if (message.isIncomplete)
              Text('This answer was cut off.', style: Theme.of(context).textTheme.bodySmall),
            if (!isWriting && message.content.isNotEmpty)
              Wrap(
                crossAxisAlignment: WrapCrossAlignment.center,
                children: [
                  MessageMeter(metrics: message.metrics),
                  IconButton(
                    tooltip: 'Copy the answer',
                    icon: const Icon(Icons.copy, size: 18),
                    onPressed: () => _copy(context),
                  ),
                  if (onAgain != null)
                    IconButton(
                      tooltip: 'Answer again',
                      icon: const Icon(Icons.refresh, size: 18),
                      onPressed: onAgain,
                    ),
                ],
              ),
          ],
        ),
      ),
    );
  }

  Future<void> _copy(BuildContext context) async {
    final messenger = ScaffoldMessenger.of(context);
    await Clipboard.setData(ClipboardData(text: message.content));
    messenger.showSnackBar(const SnackBar(content: Text('Copied')));
  }
}
