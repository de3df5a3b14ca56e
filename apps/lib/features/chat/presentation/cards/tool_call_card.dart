import 'package:agentroute_chat/features/chat/data/models/agent_route_value.dart';
import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/summary.dart';
import 'package:agentroute_chat/features/chat/presentation/format/format.dart';
import 'package:agentroute_chat/features/chat/presentation/theme.dart';
import 'package:flutter/material.dart';

/// A tool's call: one line, and folded its arguments and its result.
class ToolCallCard extends StatelessWidget {
  const ToolCallCard({
    required this.call,
    required this.status,
    required this.unfolded,
    this.result,
    this.progress,
    super.key,
  });

  final ToolCall call;

  /// Ids of the calls that are unfolded; a card that is scrolled away is gone, so whoever shows it keeps them.
  final Set<String> unfolded;
  final CallStatus status;
  final ToolMessage? result;

  /// How far the call is, while it runs.
  final ToolProgressValue? progress;

  @override
  Widget build(BuildContext context) {
    final theme = Theme.of(context);
    final result = this.result;
    final progress = this.progress;
    final summary = summarise(call.arguments);
    return Card(
      margin: const EdgeInsets.symmetric(vertical: 4),
      clipBehavior: Clip.antiAlias,
      child: ExpansionTile(
        initiallyExpanded: unfolded.contains(call.id),
        onExpansionChanged: (isOpen) => isOpen ? unfolded.add(call.id) : unfolded.remove(call.id),
        leading: _StatusIcon(status: status),
        title: Text(call.name, style: theme.textTheme.titleSmall),
        subtitle: Column(
          crossAxisAlignment: CrossAxisAlignment.start,
          mainAxisSize: MainAxisSize.min,
          children: [
            Text(facts([summary, _words(status)]), maxLines: 2, overflow: TextOverflow.ellipsis),
            if (progress != null && result == null) _Progress(progress: progress),
          ],
        ),
        childrenPadding: const EdgeInsets.fromLTRB(16, 0, 16, 12),
        expandedCrossAxisAlignment: CrossAxisAlignment.start,
        children: [
          const _Label(text: 'Arguments'),
          _Code(text: call.arguments.isEmpty ? 'none' : laidOut(call.arguments)),
          if (result != null) ...[
            _Label(text: status == CallStatus.failed ? 'Error' : 'Result'),
            _Result(result: result),
          ],
        ],
      ),
    );
  }
}

String _words(CallStatus status) {
  return switch (status) {
    CallStatus.writing => 'Preparing',
    CallStatus.running => 'Running',
    CallStatus.asking => 'Waits for you',
    CallStatus.waiting => 'Waits for an app that carries it out',
    CallStatus.done => 'Done',
    CallStatus.failed => 'Failed',
    CallStatus.denied => 'Declined',
    CallStatus.stopped => 'No result',
  };
}

class _StatusIcon extends StatelessWidget {
  const _StatusIcon({required this.status});

  final CallStatus status;

  @override
  Widget build(BuildContext context) {
    final scheme = Theme.of(context).colorScheme;
    return switch (status) {
      CallStatus.writing || CallStatus.running => const SizedBox.square(
          dimension: 18,
          child: CircularProgressIndicator(strokeWidth: 2),
        ),
      CallStatus.asking || CallStatus.waiting => Icon(Icons.help_outline, color: scheme.tertiary),
      CallStatus.done => Icon(Icons.check, color: scheme.primary),
      CallStatus.failed => Icon(Icons.error_outline, color: scheme.error),
      CallStatus.denied => Icon(Icons.close, color: scheme.outline),
      CallStatus.stopped => Icon(Icons.build_outlined, color: scheme.outline),
    };
  }
}

class _Progress extends StatelessWidget {
  const _Progress({required this.progress});

  final ToolProgressValue progress;

  @override
  Widget build(BuildContext context) {
    final message = progress.message ?? '';
    return Padding(
      padding: const EdgeInsets.only(top: 4),
      child: Column(
        crossAxisAlignment: CrossAxisAlignment.start,
        children: [
          LinearProgressIndicator(value: progress.fraction, semanticsLabel: message.isEmpty ? 'Progress' : message),
          if (message.isNotEmpty) Text(message),
        ],
      ),
    );
  }
}

class _Label extends StatelessWidget {
  const _Label({required this.text});

  final String text;

  @override
  Widget build(BuildContext context) {
    return Padding(
      padding: const EdgeInsets.only(top: 8, bottom: 4),
      child: Text(text, style: Theme.of(context).textTheme.labelMedium),
    );
  }
}

class _Result extends StatelessWidget {
  const _Result({required this.result});

  final ToolMessage result;

  @override
  Widget build(BuildContext context) {
    final text = result.text;
    final media = result.content.media.toList();
    if (text.isEmpty && media.isEmpty) return const Text('The tool said nothing.');
    return Column(
      crossAxisAlignment: CrossAxisAlignment.start,
      children: [
        if (text.isNotEmpty) _Code(text: laidOut(text)),
        for (final part in media) Text(facts([part.filename ?? part.kind, part.mimeType])),
      ],
    );
  }
}

/// A text of a program, long ones cut until somebody wants all of it.
class _Code extends StatefulWidget {
  const _Code({required this.text});

  final String text;

  @override
  State<_Code> createState() => _CodeState();
}

class _CodeState extends State<_Code> {
  /// About forty lines: what a person reads before asking for more.
  static const _shown = 2000;

  bool _all = false;

  @override
  Widget build(BuildContext context) {
    final text = widget.text;
    // A cut that saves only a little costs a tap.
    final isLong = text.length > _shown + 200;
    return Column(
      crossAxisAlignment: CrossAxisAlignment.start,
      children: [
        SelectableText(isLong && !_all ? cut(text, _shown) : text, style: codeStyle(context)),
        if (isLong)
          TextButton(
            onPressed: () => setState(() => _all = !_all),
            child: Text(_all ? 'Show less' : 'Show all (${count(text.length - _shown)} more characters)'),
          ),
      ],
    );
  }
}
