import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/presentation/composer/composer.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/dictation_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/connection_banner.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/empty_thread.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/message_list.dart';
import 'package:agentroute_chat/features/chat/presentation/microphone/recorder.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_note.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_words.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/material.dart';

/// One conversation: its messages and the composer, and the line to the service over the app's life.
class ChatView extends StatefulWidget {
  const ChatView({
    required this.controller,
    required this.service,
    required this.recorder,
    required this.onNewThread,
    required this.onSettings,
    this.agent,
    this.draft = '',
    this.onDraft,
    super.key,
  });

  /// Of the thread; whoever made it disposes of it.
  final ChatController controller;
  final AgUiService service;

  /// Makes the microphone of this view.
  final Recorder Function() recorder;
  final VoidCallback onNewThread;
  final VoidCallback onSettings;

  /// The agent of a new conversation: it says the first words.
  final AgentSummary? agent;

  /// What was written here before another conversation was opened.
  final String draft;

  /// Told of what is written and not sent.
  final ValueChanged<String>? onDraft;

  @override
  State<ChatView> createState() => _ChatViewState();
}

class _ChatViewState extends State<ChatView> with WidgetsBindingObserver {
  late final TextEditingController _text = TextEditingController(text: widget.draft);
  late final DictationController _dictation = DictationController(
    service: widget.service,
    recorder: widget.recorder(),
    onText: _insert,
  );

  ChatController get _controller => widget.controller;

  @override
  void initState() {
    super.initState();
    WidgetsBinding.instance.addObserver(this);
    _text.addListener(_keepDraft);
    _controller.open();
  }

  @override
  void didUpdateWidget(ChatView oldWidget) {
    super.didUpdateWidget(oldWidget);
    if (oldWidget.controller != _controller) _controller.open();
  }

  @override
  void dispose() {
    WidgetsBinding.instance.removeObserver(this);
    _dictation.dispose();
    _text.dispose();
    super.dispose();
  }

  @override
  void didChangeAppLifecycleState(AppLifecycleState state) {
    switch (state) {
      case AppLifecycleState.paused || AppLifecycleState.detached:
        _controller.pause();
        // No system lets an app listen in the background: what was said so far is written down.
        unawaited(_dictation.finish());
      case AppLifecycleState.resumed:
        _controller.resume();
      // A glance at the notifications, or another window: the line lives on.
      case AppLifecycleState.inactive || AppLifecycleState.hidden:
        break;
    }
  }

  void _keepDraft() => widget.onDraft?.call(_text.text);

  /// Puts a text where the user writes.
  void _insert(String text) {
    final before = _text.text;
    final gap = before.isEmpty || before.endsWith(' ') || before.endsWith('\n') ? '' : ' ';
    final all = '$before$gap$text';
    _text.value = TextEditingValue(text: all, selection: TextSelection.collapsed(offset: all.length));
  }

  void _fail(Object error) {
    if (!mounted) return;
    final problem = ShownProblem.of(error);
    final words = wordsOf(problem.code, problem.message, retryable: problem.isRetryable);
    ScaffoldMessenger.of(context).showSnackBar(SnackBar(content: Text('${words.title} ${words.advice}')));
  }

  Future<void> _stop() async {
    try {
      await _controller.cancel();
    } on Object catch (error) {
      _fail(error);
    }
  }

  @override
  Widget build(BuildContext context) {
    return ListenableBuilder(
      listenable: _controller,
      builder: (context, _) => Column(
        children: [
          ConnectionBanner(
            link: _controller.link,
            isOpened: _controller.isOpened,
            onRetry: _controller.restart,
          ),
          if (_controller.needsSignIn) _SignIn(onSettings: widget.onSettings),
          if (_controller.isOpened && _problem != null) _problemNote(),
          Expanded(child: _body()),
          if (!_controller.isGone)
            Center(
              heightFactor: 1,
              child: ConstrainedBox(
                constraints: const BoxConstraints(maxWidth: 800),
                child: Composer(
                  text: _text,
                  isBusy: _controller.isBusy,
                  dictation: _dictation,
                  onSend: (text) => unawaited(_controller.send(text)),
                  onInterrupt: (text) => unawaited(_controller.send(text, onBusy: 'supersede')),
                  onStop: _stop,
                ),
              ),
            ),
        ],
      ),
    );
  }

  /// Why the thread is not followed; a missing token has a banner of its own.
  ShownProblem? get _problem => _controller.needsSignIn ? null : _controller.openProblem;

  Widget _problemNote() {
    final problem = _problem;
    if (problem == null) return const SizedBox.shrink();
    return Padding(
      padding: const EdgeInsets.symmetric(horizontal: 16),
      child: ProblemNote(
        code: problem.code,
        message: problem.message,
        retryable: problem.isRetryable,
        requestId: problem.requestId,
        retryAt: problem.retryAt,
        onRetry: _controller.restart,
      ),
    );
  }

  Widget _body() {
    if (_controller.isGone) {
      return _Notice(
        words: 'This conversation was deleted.',
        button: FilledButton(onPressed: widget.onNewThread, child: const Text('New conversation')),
      );
    }
    if (!_controller.isOpened) {
      if (_problem != null) return SingleChildScrollView(child: _problemNote());
      if (_controller.needsSignIn) return const SizedBox.shrink();
      return const Center(child: CircularProgressIndicator(semanticsLabel: 'Loading the conversation'));
    }
    final agent = widget.agent;
    if (_controller.messages.isEmpty && _controller.unsent.isEmpty && !_controller.isBusy) {
      return EmptyThread(
        title: agent?.name,
        greeting: agent?.greeting ?? agent?.description,
        suggestions: agent?.suggestions ?? const [],
        onSend: (text) => unawaited(_controller.send(text)),
      );
    }
    return MessageList(
      controller: _controller,
      onNewThread: widget.onNewThread,
      onEdit: _insert,
      onFailure: _fail,
    );
  }
}

class _SignIn extends StatelessWidget {
  const _SignIn({required this.onSettings});

  final VoidCallback onSettings;

  @override
  Widget build(BuildContext context) {
    return MaterialBanner(
      leading: const Icon(Icons.key),
      content: Semantics(
        liveRegion: true,
        child: const Text('You are not signed in. Sign in again. Your text is kept.'),
      ),
      actions: [TextButton(onPressed: onSettings, child: const Text('Sign in'))],
    );
  }
}

class _Notice extends StatelessWidget {
  const _Notice({required this.words, required this.button});

  final String words;
  final Widget button;

  @override
  Widget build(BuildContext context) {
    return Center(
      child: SingleChildScrollView(
        padding: const EdgeInsets.all(16),
        child: Column(
          mainAxisSize: MainAxisSize.min,
          children: [Text(words, textAlign: TextAlign.center), const SizedBox(height: 16), button],
        ),
      ),
    );
  }
}
