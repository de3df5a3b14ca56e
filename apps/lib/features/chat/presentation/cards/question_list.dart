import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/connect_dialog.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/question_card.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/questions.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/material.dart';

/// The open questions of a thread: one card each, and one answer to all of them.
///
/// What the user has written and decided is kept by the controller: a list that is scrolled lets go of its widgets.
class QuestionList extends StatefulWidget {
  const QuestionList({required this.controller, super.key});

  final ChatController controller;

  @override
  State<QuestionList> createState() => _QuestionListState();
}

class _QuestionListState extends State<QuestionList> {
  Timer? _clock;

  ChatController get _controller => widget.controller;

  @override
  void dispose() {
    _clock?.cancel();
    super.dispose();
  }

  @override
  Widget build(BuildContext context) {
    final now = DateTime.now();
    final state = _controller.state;
    final questions = [for (final one in state.interrupts) Question.of(one, state.messages)];
    _watch(questions, now);
    if (questions.isEmpty) return const SizedBox.shrink();
    final isOnly = questions.length == 1;
    final problem = _controller.answerProblem;
    final isOver = problem != null && isQuestionOver(problem);
    return Column(
      crossAxisAlignment: CrossAxisAlignment.stretch,
      children: [
        if (!isOnly)
          Padding(
            padding: const EdgeInsets.only(top: 8),
            child: Text('${questions.length} questions are open. They are answered together.'),
          ),
        for (final question in questions)
          QuestionCard(
            key: ValueKey(question.id),
            question: question,
            draft: _controller.draftOf(question),
            now: now,
            onAnswer: (answer) => _decide(questions, question, answer),
            onConnect: question.canConnect
                ? () => connect(context, question.interrupt, _controller.connectServer)
                : null,
            onChange: () => setState(() => _controller.draftOf(question).decided = null),
            isOnly: isOnly,
            answered: !_controller.isAnswered(question.id)
                ? null
                : isOver
                    ? 'Answered elsewhere'
                    : 'Answered',
            isSending: _controller.isAnswering,
          ),
        if (!isOnly) _sendAll(questions, now),
        if (problem != null)
          Semantics(
            liveRegion: true,
            child: Text(
              resumeWords(problem),
              style: TextStyle(color: isOver ? null : Theme.of(context).colorScheme.error),
            ),
          ),
      ],
    );
  }

  /// A second counts only while a question can still expire.
  void _watch(List<Question> questions, DateTime now) {
    final canExpire = questions.any((question) {
      return question.interrupt.expiresAt != null && !question.interrupt.isExpired(now);
    });
    if (canExpire) {
      _clock ??= Timer.periodic(const Duration(seconds: 1), (_) => setState(() {}));
    } else {
      _clock?.cancel();
      _clock = null;
    }
  }

  Widget _sendAll(List<Question> questions, DateTime now) {
    if (questions.every((question) => _controller.isAnswered(question.id))) return const SizedBox.shrink();
    final left = questions.where((question) => _answerOf(question, now) == null).length;
    final isSending = _controller.isAnswering;
    return Wrap(
      spacing: 8,
      runSpacing: 4,
      children: [
        FilledButton(
          onPressed: left == 0 && !isSending ? () => unawaited(_send(questions)) : null,
          child: Text(left > 0 ? 'Send answers ($left left)' : 'Send ${questions.length} answers'),
        ),
        OutlinedButton(
          onPressed: isSending ? null : () => _decideAll(questions, isYes: true),
          child: const Text('Approve all'),
        ),
        TextButton(
          onPressed: isSending ? null : () => _decideAll(questions, isYes: false),
          child: const Text('Decline all'),
        ),
      ],
    );
  }

  /// An expired question can only be laid aside.
  ResumeAnswer? _answerOf(Question question, DateTime now) {
    return question.interrupt.isExpired(now) ? question.layAside() : _controller.draftOf(question).decided;
  }

  void _decide(List<Question> questions, Question question, ResumeAnswer answer) {
    setState(() => _controller.draftOf(question).decided = answer);
    if (questions.length == 1) unawaited(_send(questions));
  }

  /// Decides all questions that can be decided without a form, and sends if none is left.
  void _decideAll(List<Question> questions, {required bool isYes}) {
    setState(() {
      for (final question in questions) {
        final draft = _controller.draftOf(question);
        final needsMore = question.kind == QuestionKind.form || question.kind == QuestionKind.connection;
        if (!isYes) {
          draft.decided = draft.declined(question);
        } else if (!needsMore) {
          draft.decided = draft.approved(question);
        }
      }
    });
    final now = DateTime.now();
    if (questions.every((question) => _answerOf(question, now) != null)) unawaited(_send(questions));
  }

  Future<void> _send(List<Question> questions) async {
    final now = DateTime.now();
    final answers = [for (final question in questions) _answerOf(question, now)].nonNulls.toList();
    if (answers.length != questions.length) return;
    await _controller.answer(answers);
    // A refused answer is no answer yet; what was written stays in the card.
    if (_controller.answerProblem != null && questions.length == 1) {
      _controller.draftOf(questions.single).decided = null;
    }
  }
}
