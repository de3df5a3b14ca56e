import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/presentation/format/format.dart';
import 'package:flutter/material.dart';

/// A message of the user.
class UserBubble extends StatelessWidget {
  const UserBubble({required this.message, this.note, this.onEdit, super.key});

  final ChatMessage message;

  /// Why the message has no answer yet.
  final String? note;

  /// Begins to change the message; null if it cannot be changed.
  final VoidCallback? onEdit;

  @override
  Widget build(BuildContext context) {
    final theme = Theme.of(context);
    final message = this.message;
    final note = this.note;
    final media = message is UserMessage ? message.content.media.toList() : const <MediaPart>[];
    return Align(
      alignment: AlignmentDirectional.centerEnd,
      child: Column(
        crossAxisAlignment: CrossAxisAlignment.end,
        children: [
          Container(
            margin: const EdgeInsetsDirectional.only(top: 8, start: 48),
            padding: const EdgeInsets.symmetric(horizontal: 16, vertical: 10),
            decoration: BoxDecoration(
              color: theme.colorScheme.primaryContainer,
              borderRadius: BorderRadius.circular(16),
            ),
            child: Semantics(
              label: 'You',
              child: Column(
                crossAxisAlignment: CrossAxisAlignment.start,
                mainAxisSize: MainAxisSize.min,
                children: [
                  for (final part in media)
                    Text(
                      facts([part.filename ?? part.kind, part.mimeType]),
                      style: theme.textTheme.bodySmall,
                    ),
                  if (message.text.isNotEmpty)
                    SelectableText(
                      message.text,
                      style: TextStyle(color: theme.colorScheme.onPrimaryContainer),
                    ),
                ],
              ),
            ),
          ),
          if (note != null)
            Padding(
              padding: const EdgeInsetsDirectional.only(top: 2, end: 8),
              child: Text(note, style: theme.textTheme.bodySmall),
            )
          else if (onEdit != null)
            IconButton(
              tooltip: 'Edit the message',
              icon: const Icon(Icons.edit_outlined, size: 18),
              onPressed: onEdit,
            ),
        ],
      ),
    );
  }
}
