import 'package:agentroute_chat/features/chat/data/models/agent_route_value.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/markdown_text.dart';
import 'package:flutter/material.dart';

/// What the searches of the newest run found; `[1]` in the answer is the source with the number 1.
class SourcesView extends StatelessWidget {
  const SourcesView({required this.sources, super.key});

  final List<SourcesValue> sources;

  @override
  Widget build(BuildContext context) {
    final found = [for (final search in sources) ...search.sources];
    if (found.isEmpty) return const SizedBox.shrink();
    return ExpansionTile(
      tilePadding: EdgeInsets.zero,
      title: Text('Sources (${found.length})', style: Theme.of(context).textTheme.bodyMedium),
      children: [for (final source in found) _Source(source: source)],
    );
  }
}

class _Source extends StatelessWidget {
  const _Source({required this.source});

  final CitedSource source;

  @override
  Widget build(BuildContext context) {
    final uri = Uri.tryParse(source.url ?? '');
    final isLink = uri != null && uri.hasScheme;
    return ListTile(
      contentPadding: EdgeInsets.zero,
      leading: Text('[${source.number}]'),
      title: Text(source.title ?? source.id ?? 'Source'),
      subtitle: Text(source.snippet, maxLines: 3, overflow: TextOverflow.ellipsis),
      trailing: isLink ? const Icon(Icons.open_in_new, size: 18) : null,
      onTap: isLink ? () => openOrSay(context, uri) : null,
    );
  }
}
