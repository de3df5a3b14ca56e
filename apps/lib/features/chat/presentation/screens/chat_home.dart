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

  /// Told of the conversation that is open, once it exists; null when it was deleted.
  final ValueChanged<String?>? onThread;

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

  /// Conversations that were left, with the messages that the service has refused in them.
  final Map<String, ChatController> _left = {};

  /// What is written and not sent, by conversation. New ones have the empty name: they share it.
  final Map<String, String> _drafts = {};

  /// What is written in the open conversation. It is put to its name when another one is opened: a new conversation may
  /// have become one of the list meanwhile.
  String _written = '';

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
      unsent: _left.remove(threadId)?.unsent ?? const [],
      agentId: isNew ? _chosenAgentId : null,
      onActivity: () => _active(threadId),
    );
  }

  String? get _chosenAgentId => _agent?.isDefault ?? true ? null : _agent?.id;

  /// A run of a thread was accepted or has ended: the list has a new order, and perhaps a title.
  void _active(String threadId) {
    widget.onThread?.call(threadId);
    unawaited(_threads.refresh());
    // The service answers: now they may be there.
    if (_agents.isEmpty) unawaited(_loadAgents());
    _titleTimer?.cancel();
    _titleTimer = Timer(_titleAfter, () {
      if (_threads.titleOf(threadId) == null) unawaited(_threads.refresh());
    });
  }

  void _show(String threadId, {required bool isNew}) {
    if (!mounted) return;
    final before = _chat;
    if (!before.isGone) _left[before.threadId] = before;
    _drafts[_draftOf(before)] = _written;
    setState(() => _chat = _controller(threadId, isNew: isNew));
    _written = _drafts[_draftOf(_chat)] ?? '';
    // When nobody shows it any more.
    WidgetsBinding.instance.addPostFrameCallback((_) => before.dispose());
  }

  void _open(String threadId) {
    if (threadId == _chat.threadId) return;
    _show(threadId, isNew: false);
    widget.onThread?.call(threadId);
  }

  /// Begins a conversation; one that was left before anything of it was accepted goes on, for no list has it.
  void _new() {
    final isForgotten = _chat.isGone;
    final left = _left.values.where((one) {
      return one.isNew && one.agentId == _chosenAgentId && one.unsent.isNotEmpty && one != _chat;
    });
    _show(left.lastOrNull?.threadId ?? newId('thread'), isNew: true);
    if (isForgotten) widget.onThread?.call(null);
  }

  void _deleted(String threadId) {
    if (mounted && threadId == _chat.threadId) {
      _new();
      widget.onThread?.call(null);
    }
    _left.remove(threadId);
    _drafts.remove(threadId);
  }

  void _keep(ChatController chat, String text) {
    if (chat == _chat) {
      _written = text;
    } else {
      // The last words of a view that is about to go.
      _drafts[_draftOf(chat)] = text;
    }
  }

  static String _draftOf(ChatController chat) => chat.isNew ? '' : chat.threadId;

  @override
  Widget build(BuildContext context) {
    final isWide = MediaQuery.sizeOf(context).width >= _wide;
    final chat = _chat;
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
      // A phone on its side has its camera there.
      body: SafeArea(
        top: false,
        bottom: false,
        child: Row(
          children: [
            if (isWide) SizedBox(width: 300, child: _panel(context, isDrawer: false)),
            if (isWide) const VerticalDivider(width: 1),
            Expanded(
              child: ChatView(
                key: ValueKey(chat.threadId),
                controller: chat,
                service: widget.service,
                recorder: widget.recorder,
                onNewThread: _new,
                onSettings: widget.onSettings,
                agent: _agent,
                draft: _written,
                onDraft: (text) => _keep(chat, text),
              ),
            ),
          ],
        ),
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
      onSettings: () {
        close();
        widget.onSettings();
      },
    );
  }
}
