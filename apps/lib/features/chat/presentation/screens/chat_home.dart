import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/app_tool.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/thread_list_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/microphone/recorder.dart';
import 'package:agentroute_chat/features/chat/presentation/screens/chat_view.dart';
import 'package:agentroute_chat/features/chat/presentation/threads/thread_panel.dart';
import 'package:flutter/material.dart';

/// The conversations of a user at one service, and the one that is open.
class ChatHome extends StatefulWidget {
  const ChatHome({
    required this.service,
    required this.onSettings,
    this.tools = const [],
    this.firstThreadId,
    this.onThread,
    this.recorder = DeviceRecorder.new,
    super.key,
  });

  final AgUiService service;
  final VoidCallback onSettings;

  /// The tools of this app, offered to the agent with every run.
  final List<AppTool> tools;

  final Recorder Function() recorder;

  /// The conversation to begin with; a new one if null.
  final String? firstThreadId;

  /// Told of the conversation that is open, once it exists.
  final ValueChanged<String>? onThread;

  @override
  State<ChatHome> createState() => _ChatHomeState();
}

class _ChatHomeState extends State<ChatHome> {
  /// From here on there is room for both: the list and the conversation.
  static const _wide = 840.0;

  /// A title that a model makes comes after the end of the run.
  static const _titleAfter = Duration(seconds: 4);

  late final ThreadListController _threads = ThreadListController(service: widget.service);
  late ChatController _chat;
  List<AgentSummary> _agents = const [];

  /// The agent of the next new conversation.
  AgentSummary? _agent;
  Timer? _titleTimer;

  @override
  void initState() {
    super.initState();
    final first = widget.firstThreadId;
    _chat = _controller(first ?? newId('thread'), isNew: first == null);
    unawaited(_threads.refresh());
    unawaited(_loadAgents());
  }

  @override
  void dispose() {
    _titleTimer?.cancel();
    _chat.dispose();
    _threads.dispose();
    super.dispose();
  }

  /// Without them the conversation works as well: it has no greeting then.
  Future<void> _loadAgents() async {
    try {
      final agents = await widget.service.agents();
      if (!mounted) return;
      setState(() {
        _agents = agents;
        _agent = agents.where((agent) => agent.isDefault).firstOrNull ?? agents.firstOrNull;
      });
    } on Exception catch (error) {
      debugPrint('The agents could not be read: $error');
    }
  }

  /// Another agent has another conversation.
  void _choose(AgentSummary agent) {
    setState(() => _agent = agent);
    _new();
  }

  ChatController _controller(String threadId, {required bool isNew}) {
    return ChatController(
      service: widget.service,
      threadId: threadId,
      isNew: isNew,
      tools: widget.tools,
      agentId: isNew && !(_agent?.isDefault ?? true) ? _agent?.id : null,
      onActivity: () => _active(threadId),
    );
  }

  /// A run of a thread was accepted or has ended: the list has a new order, and perhaps a title.
  void _active(String threadId) {
    widget.onThread?.call(threadId);
    unawaited(_threads.refresh());
    _titleTimer?.cancel();
    _titleTimer = Timer(_titleAfter, () {
      if (_threads.titleOf(threadId) == null) unawaited(_threads.refresh());
    });
  }

  void _show(String threadId, {required bool isNew}) {
    final before = _chat;
    setState(() => _chat = _controller(threadId, isNew: isNew));
    // When nobody shows it any more.
    WidgetsBinding.instance.addPostFrameCallback((_) => before.dispose());
  }

  void _open(String threadId) {
    if (threadId == _chat.threadId) return;
    _show(threadId, isNew: false);
    widget.onThread?.call(threadId);
  }

  void _new() => _show(newId('thread'), isNew: true);

  void _deleted(String threadId) {
    if (threadId == _chat.threadId) _new();
  }

  @override
  Widget build(BuildContext context) {
    final isWide = MediaQuery.sizeOf(context).width >= _wide;
    return Scaffold(
      appBar: AppBar(
        title: ListenableBuilder(
          listenable: Listenable.merge([_threads, _chat]),
          builder: (context, _) {
            return Text(_threads.titleOf(_chat.threadId) ?? _chat.title ?? 'New conversation');
          },
        ),
        actions: [
          IconButton(tooltip: 'New conversation', icon: const Icon(Icons.add_comment_outlined), onPressed: _new),
        ],
      ),
      drawer: isWide ? null : Drawer(child: Builder(builder: (context) => _panel(context, isDrawer: true))),
      body: Row(
        children: [
          if (isWide) SizedBox(width: 300, child: _panel(context, isDrawer: false)),
          if (isWide) const VerticalDivider(width: 1),
          Expanded(
            child: ChatView(
              key: ValueKey(_chat.threadId),
              controller: _chat,
              service: widget.service,
              recorder: widget.recorder,
              onNewThread: _new,
              onSettings: widget.onSettings,
              agent: _agent,
            ),
          ),
        ],
      ),
    );
  }

  Widget _panel(BuildContext context, {required bool isDrawer}) {
    void close() {
      if (isDrawer) Scaffold.of(context).closeDrawer();
    }

    return ThreadPanel(
      threads: _threads,
      currentId: _chat.threadId,
      onOpen: (threadId) {
        close();
        _open(threadId);
      },
      onNew: () {
        close();
        _new();
      },
      onDeleted: _deleted,
      agents: _agents,
      agent: _agent,
      onAgent: (agent) {
        close();
        _choose(agent);
      },
      onSettings: widget.onSettings,
    );
  }
}
