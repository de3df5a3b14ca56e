import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/connect_dialog.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/question_card.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/questions.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/material.dart';

/// The open questions of a thread: one card each, and one answer to all of them.
class QuestionList extends StatefulWidget {
  const QuestionList({required this.controller, super.key});

  final ChatController controller;

  @override
  State<QuestionList> createState() => _QuestionListState();
}

class _QuestionListState extends State<QuestionList> {
  /// What the user has decided and not sent yet, by interrupt.
  final Map<String, ResumeAnswer> _decisions = {};

  @override
  Widget build(BuildContext context) {
    final controller = widget.controller;
    final state = controller.state;
    final questions = [for (final one in state.interrupts) Question.of(one, state.messages)];
    if (questions.isEmpty) return const SizedBox.shrink();
    final isOnly = questions.length == 1;
    final problem = controller.answerProblem;
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
            onAnswer: (answer) => _decide(questions, answer),
            onConnect: question.kind == QuestionKind.connection
                ? () => connect(context, question.interrupt, controller.connectServer)
                : null,
            decided: isOnly ? null : _decisions[question.id],
            onChange: () => setState(() => _decisions.remove(question.id)),
            isAnswered: controller.isAnswered(question.id),
            isSending: controller.isAnswering,
          ),
        if (!isOnly) _sendAll(questions),
        if (problem != null)
          Semantics(
            liveRegion: true,
            child: Text(
              resumeWords(problem),
              style: TextStyle(color: isQuestionOver(problem) ? null : Theme.of(context).colorScheme.error),
            ),
          ),
      ],
    );
  }

  Widget _sendAll(List<Question> questions) {
    final left = questions.where((question) => _answerOf(question) == null).length;
    final isOver = questions.every((question) => widget.controller.isAnswered(question.id));
    if (isOver) return const SizedBox.shrink();
    final isReady = left == 0 && !widget.controller.isAnswering;
    return FilledButton(
      onPressed: isReady ? () => _send(questions) : null,
      child: Text(left > 0 ? 'Send answers ($left left)' : 'Send ${questions.length} answers'),
    );
  }

  /// An expired question can only be laid aside.
  ResumeAnswer? _answerOf(Question question) {
    if (question.interrupt.isExpired(DateTime.now())) return question.layAside();
    return _decisions[question.id];
  }

  void _decide(List<Question> questions, ResumeAnswer answer) {
    setState(() => _decisions[answer.interruptId] = answer);
    if (questions.length == 1) _send(questions);
  }

  Future<void> _send(List<Question> questions) async {
    final answers = [for (final question in questions) _answerOf(question)].nonNulls.toList();
    if (answers.length != questions.length) return;
    await widget.controller.answer(answers);
    // A refused answer is no answer yet; what was written stays in the card.
    if (mounted && widget.controller.answerProblem != null && questions.length == 1) {
      setState(_decisions.clear);
    }
  }
}
