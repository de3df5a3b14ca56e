import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:agentroute_chat/features/chat/data/models/thread_summary.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/thread_list_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_words.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:agentroute_chat/features/chat/presentation/threads/thread_dialogs.dart';
import 'package:flutter/material.dart';

/// The user's conversations: search, open, rename, delete, and begin a new one.
class ThreadPanel extends StatefulWidget {
  const ThreadPanel({
    required this.threads,
    required this.currentId,
    required this.onOpen,
    required this.onNew,
    required this.onDeleted,
    required this.onSettings,
    this.agents = const [],
    this.agent,
    this.onAgent,
    super.key,
  });

  final ThreadListController threads;
  final String currentId;
  final ValueChanged<String> onOpen;
  final VoidCallback onNew;
  final ValueChanged<String> onDeleted;
  final VoidCallback onSettings;

  /// The agents that a new conversation may have; a choice is shown only between several.
  final List<AgentSummary> agents;
  final AgentSummary? agent;
  final ValueChanged<AgentSummary>? onAgent;

  @override
  State<ThreadPanel> createState() => _ThreadPanelState();
}

class _ThreadPanelState extends State<ThreadPanel> {
  static const _typing = Duration(milliseconds: 250);

  late final TextEditingController _words = TextEditingController(text: widget.threads.query);
  Timer? _timer;

  @override
  void dispose() {
    _timer?.cancel();
    _words.dispose();
    super.dispose();
  }

  void _search(String words) {
    _timer?.cancel();
    _timer = Timer(_typing, () => unawaited(widget.threads.search(words)));
  }

  Future<void> _refresh() async {
    await widget.threads.refresh();
    final problem = widget.threads.problem;
    if (problem != null) _say(problem);
  }

  Future<void> _loadMore() async {
    try {
      await widget.threads.loadMore();
    } on Object catch (error) {
      _fail(error);
    }
  }

  Future<void> _rename(ThreadSummary thread) async {
    final title = await askForTitle(context, thread.title ?? '');
    if (title == null) return;
    try {
      await widget.threads.rename(thread.threadId, title);
    } on Object catch (error) {
      _fail(error);
    }
  }

  Future<void> _delete(ThreadSummary thread) async {
    if (!await confirmDelete(context, thread.title ?? 'Untitled')) return;
    try {
      await widget.threads.delete(thread.threadId);
      widget.onDeleted(thread.threadId);
    } on Object catch (error) {
      _fail(error);
    }
  }

  void _fail(Object error) => _say(ShownProblem.of(error));

  void _say(ShownProblem problem) {
    if (!mounted) return;
    final words = wordsOf(problem.code, problem.message, retryable: problem.isRetryable);
    ScaffoldMessenger.of(context).showSnackBar(SnackBar(content: Text('${words.title} ${words.advice}')));
  }

  @override
  Widget build(BuildContext context) {
    return SafeArea(
      child: Column(
        children: [
          Padding(
            padding: const EdgeInsets.all(12),
            child: Column(
              crossAxisAlignment: CrossAxisAlignment.stretch,
              children: [
                FilledButton.icon(
                  onPressed: widget.onNew,
                  icon: const Icon(Icons.add),
                  label: const Text('New conversation'),
                ),
                if (widget.agents.length > 1) _agentChoice(),
                const SizedBox(height: 12),
                TextField(
                  controller: _words,
                  onChanged: _search,
                  maxLength: 200,
                  textInputAction: TextInputAction.search,
                  decoration: const InputDecoration(
                    labelText: 'Search conversations',
                    prefixIcon: Icon(Icons.search),
                    counterText: '',
                  ),
                ),
              ],
            ),
          ),
          Expanded(
            child: ListenableBuilder(listenable: widget.threads, builder: (context, _) => _list()),
          ),
          ListTile(
            leading: const Icon(Icons.settings_outlined),
            title: const Text('Settings'),
            onTap: widget.onSettings,
          ),
        ],
      ),
    );
  }

  Widget _agentChoice() {
    return PopupMenuButton<AgentSummary>(
      tooltip: 'Choose the agent of a new conversation',
      onSelected: widget.onAgent,
      itemBuilder: (context) => [
        for (final agent in widget.agents) PopupMenuItem(value: agent, child: Text(agent.name)),
      ],
      child: ListTile(
        contentPadding: EdgeInsets.zero,
        leading: const Icon(Icons.smart_toy_outlined),
        title: Text(widget.agent?.name ?? 'Agent'),
        trailing: const Icon(Icons.arrow_drop_down),
      ),
    );
  }

  Widget _list() {
    final list = widget.threads;
    if (list.isLoading) {
      return const Center(child: CircularProgressIndicator(semanticsLabel: 'Loading conversations'));
    }
    final problem = list.problem;
    if (problem != null && list.threads.isEmpty) {
      final words = wordsOf(problem.code, problem.message, retryable: problem.isRetryable);
      return _Note(
        words: '${words.title} ${words.advice}',
        button: OutlinedButton(onPressed: list.refresh, child: const Text('Try again')),
      );
    }
    if (list.threads.isEmpty) {
      return _Note(
        words: list.query.isEmpty ? 'Your conversations will be here.' : 'Nothing found for “${list.query}”.',
      );
    }
    return RefreshIndicator(
      onRefresh: _refresh,
      child: ListView.builder(
        // A short list is pulled down, too.
        physics: const AlwaysScrollableScrollPhysics(),
        // The list has a new order after each answer: a menu that is open stays with its conversation.
        findChildIndexCallback: (key) {
          final place = list.threads.indexWhere((thread) => key == ValueKey<String>(thread.threadId));
          return place < 0 ? null : place;
        },
        itemCount: list.threads.length + (list.hasMore ? 1 : 0),
        itemBuilder: (context, at) => at < list.threads.length ? _entry(list.threads[at]) : _more(),
      ),
    );
  }

  Widget _entry(ThreadSummary thread) {
    final title = thread.title ?? 'Untitled';
    return ListTile(
      key: ValueKey<String>(thread.threadId),
      selected: thread.threadId == widget.currentId,
      title: Text(title, maxLines: 2, overflow: TextOverflow.ellipsis),
      subtitle: switch (thread) {
        ThreadSummary(pendingInterrupts: > 0) => const Text('Waits for your answer'),
        ThreadSummary(activeRun: ActiveRun()) => const Text('An answer is being written'),
        _ => null,
      },
      onTap: () => widget.onOpen(thread.threadId),
      trailing: PopupMenuButton<VoidCallback>(
        tooltip: 'More for $title',
        onSelected: (action) => action(),
        itemBuilder: (context) => [
          PopupMenuItem(value: () => unawaited(_rename(thread)), child: const Text('Rename')),
          PopupMenuItem(value: () => unawaited(_delete(thread)), child: const Text('Delete')),
        ],
      ),
    );
  }

  Widget _more() {
    if (widget.threads.isLoadingMore) {
      return const Center(
        child: Padding(
          padding: EdgeInsets.all(12),
          child: CircularProgressIndicator(semanticsLabel: 'Loading more conversations'),
        ),
      );
    }
    return TextButton(onPressed: _loadMore, child: const Text('Load more'));
  }
}

class _Note extends StatelessWidget {
  const _Note({required this.words, this.button});

  final String words;
  final Widget? button;

  @override
  Widget build(BuildContext context) {
    final below = button;
    return Center(
      child: SingleChildScrollView(
        padding: const EdgeInsets.all(16),
        child: Column(
          mainAxisSize: MainAxisSize.min,
          children: [
            Text(words, textAlign: TextAlign.center),
            if (below != null) ...[const SizedBox(height: 12), below],
          ],
        ),
      ),
    );
  }
}
