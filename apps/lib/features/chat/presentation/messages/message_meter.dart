import 'package:agentroute_chat/features/chat/data/models/message_metrics.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/message_facts.dart';
import 'package:flutter/material.dart';

/// The line under an answer: what it took. A tap shows everything.
class MessageMeter extends StatelessWidget {
  const MessageMeter({required this.metrics, super.key});

  final MessageMetrics metrics;

  @override
  Widget build(BuildContext context) {
    final found = messageFacts(metrics);
    if (found == null) return const SizedBox.shrink();
    return Semantics(
      hint: 'Shows what this answer took',
      child: TextButton(
        style: TextButton.styleFrom(
          minimumSize: const Size(48, 48),
          padding: const EdgeInsets.symmetric(horizontal: 8),
          alignment: AlignmentDirectional.centerStart,
          textStyle: Theme.of(context).textTheme.bodySmall,
        ),
        onPressed: () => showModalBottomSheet<void>(
          context: context,
          showDragHandle: true,
          builder: (context) => _Details(facts: found),
        ),
        child: Text(found.line),
      ),
    );
  }
}

class _Details extends StatelessWidget {
  const _Details({required this.facts});

  final MessageFacts facts;

  @override
  Widget build(BuildContext context) {
    return SafeArea(
      child: ListView(
        shrinkWrap: true,
        children: [
          for (final (name, value) in facts.details)
            ListTile(dense: true, title: Text(name), trailing: Text(value)),
        ],
      ),
    );
  }
}
