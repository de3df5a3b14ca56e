import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/question_list.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/assistant_view.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/from_the_end.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/message_editor.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/reasoning_view.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/run_end.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/run_progress.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/sources_view.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/unsent_view.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/user_bubble.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_note.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/material.dart';

/// The conversation, with its newest end in view.
class MessageList extends StatelessWidget {
  const MessageList({
    required this.controller,
    required this.onNewThread,
    required this.onEdit,
    required this.onFailure,
    super.key,
  });

  final ChatController controller;
  final VoidCallback onNewThread;

  /// Puts the text of a refused message back into the composer.
  final ValueChanged<String> onEdit;

  /// Shows what the service refuses.
  final ValueChanged<Object> onFailure;

  static const _endKey = ValueKey<String>('end');
  static const _olderKey = ValueKey<String>('older');
  static const _messageKey = 'message-';

  @override
  Widget build(BuildContext context) {
    final shown = controller.messages.where(_isShown).toList();
    final end = _end(shown);
    final hasOlder = controller.state.hasOlder;
    final all = shown.length + 1 + (hasOlder ? 1 : 0);
    // From its end: what grows there stays in view, and older messages come in front without a jump.
    return FromTheEnd(
      list: (scroll) => ListView.builder(
        controller: scroll,
        reverse: true,
        padding: const EdgeInsets.symmetric(horizontal: 16, vertical: 8),
        itemCount: all,
        // A new message moves all others by one: without this each would be built anew, and lose what is unfolded.
        findChildIndexCallback: (key) => _placeOf(key, shown, hasOlder: hasOlder),
        itemBuilder: (context, at) {
          if (at == 0) return _Width(key: _endKey, child: end);
          if (at > shown.length) return _older();
          final message = shown[shown.length - at];
          return _Width(key: ValueKey<String>('$_messageKey${message.id}'), child: _message(message, shown));
        },
      ),
    );
  }

  /// The place of a child in the list, which counts from its end.
  static int? _placeOf(Key key, List<ChatMessage> shown, {required bool hasOlder}) {
    if (key == _endKey) return 0;
    if (key == _olderKey) return hasOlder ? shown.length + 1 : null;
    if (key is! ValueKey<String>) return null;
    final place = shown.lastIndexWhere((message) => key.value == '$_messageKey${message.id}');
    return place < 0 ? null : shown.length - place;
  }

  /// A tool's result is shown with its call, and what a subagent says is not shown at all.
  static bool _isShown(ChatMessage message) {
    if (message.raw['subagentRunId'] != null) return false;
    return switch (message) {
      UserMessage() => true,
      AssistantMessage(:final content, :final toolCalls) => content.isNotEmpty || toolCalls.isNotEmpty,
      ReasoningMessage(:final content) => content.isNotEmpty,
      ToolMessage() || ActivityMessage() || SystemMessage() || UnknownMessage() => false,
    };
  }

  Widget _message(ChatMessage message, List<ChatMessage> shown) {
    final state = controller.state;
    return switch (message) {
      AssistantMessage() => AssistantView(
          message: message,
          state: state,
          unfolded: controller.unfolded,
          onAgain: _again(message, shown),
        ),
      ReasoningMessage(:final content) => ReasoningView(
          id: message.id,
          text: content,
          isThinking: state.isWriting(message.id),
          unfolded: controller.unfolded,
        ),
      final UserMessage it => _userMessage(it),
      _ => UserBubble(message: message),
    };
  }

  Widget _userMessage(UserMessage message) {
    final edit = controller.edited;
    if (edit != null && edit.message.id == message.id) {
      return MessageEditor(key: ObjectKey(edit), edit: edit, controller: controller);
    }
    // Nobody but the app knows of a message that is on its way.
    final isTold = controller.state.message(message.id) != null;
    return UserBubble(
      message: message,
      note: _note(message.id),
      onEdit: isTold ? () => controller.beginEdit(message) : null,
    );
  }

  String? _note(String messageId) {
    if (controller.isSending(messageId)) return 'Sending…';
    return controller.isWaiting(messageId) ? 'Waits for the answer above' : null;
  }

  /// Only the newest answer, when it is complete: another one would take what follows with it.
  VoidCallback? _again(AssistantMessage message, List<ChatMessage> shown) {
    final question = _question(shown);
    final isNewest = shown.isNotEmpty && shown.last.id == message.id;
    if (!isNewest || question == null || controller.isBusy || controller.state.interrupts.isNotEmpty) return null;
    return () => _answerAgain(question);
  }

  static String? _question(List<ChatMessage> shown) => shown.whereType<UserMessage>().lastOrNull?.id;

  Future<void> _answerAgain(String messageId) async {
    try {
      await controller.answerAgain(messageId);
    } on Object catch (error) {
      onFailure(error);
    }
  }

  Widget _end(List<ChatMessage> shown) {
    final state = controller.state;
    final question = _question(shown);
    final toolProblem = controller.toolProblem;
    return Column(
      crossAxisAlignment: CrossAxisAlignment.stretch,
      children: [
        if (!controller.isBusy) SourcesView(sources: state.sources),
        if (controller.isBusy)
          RunProgress(state: state, isWaiting: !state.isRunning)
        else
          RunEnd(
            state: state,
            onAgain: question == null ? null : () => _answerAgain(question),
            onNewThread: onNewThread,
          ),
        QuestionList(controller: controller),
        if (toolProblem != null) _toolNote(toolProblem),
        UnsentView(controller: controller, onEdit: onEdit),
      ],
    );
  }

  Widget _toolNote(ShownProblem problem) {
    final lost = resultWords(problem);
    if (lost != null) return Semantics(liveRegion: true, child: Text(lost));
    return ProblemNote(
      code: problem.code,
      message: problem.message,
      retryable: problem.isRetryable,
      requestId: problem.requestId,
      retryAt: problem.retryAt,
      onRetry: controller.sendResults,
    );
  }

  Widget _older() {
    return Center(
      key: _olderKey,
      child: controller.isLoadingOlder
          ? const Padding(
              padding: EdgeInsets.all(12),
              child: CircularProgressIndicator(semanticsLabel: 'Loading earlier messages'),
            )
          : TextButton(onPressed: _loadOlder, child: const Text('Earlier messages')),
    );
  }

  Future<void> _loadOlder() async {
    try {
      await controller.loadOlder();
    } on Object catch (error) {
      onFailure(error);
    }
  }
}

/// Lines that are too long are hard to read.
class _Width extends StatelessWidget {
  const _Width({required this.child, super.key});

  final Widget child;

  @override
  Widget build(BuildContext context) {
    return Center(
      child: ConstrainedBox(
        constraints: const BoxConstraints(maxWidth: 760),
        child: SizedBox(width: double.infinity, child: child),
      ),
    );
  }
}
