import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/run_input.dart';

/// Makes the requests of one thread.
///
/// A request that is sent again has to be the same object: its run id makes it the same run. With other options it is
/// another request.
class ThreadInputs {
  ThreadInputs({required this.threadId, this.tools = const []});

  final String threadId;

  /// What the app offers to the agent with every run.
  final List<ClientTool> tools;

  RunInput? _lastAnswer;

  /// A new message. [agentId] is for the first one of a thread.
  RunInput message(String text, {required String onBusy, required String onInterrupt, String? agentId}) {
    return RunInput.message(
      threadId: threadId,
      content: MessageContent.ofText(text),
      tools: tools,
      options: RunOptions(onBusy: onBusy, onInterrupt: onInterrupt, agentId: agentId),
    );
  }

  /// The same messages under other rules; the same request if there are none.
  RunInput again(RunInput input, {String? onBusy, String? onInterrupt}) {
    if (onBusy == null && onInterrupt == null) return input;
    return RunInput(
      threadId: threadId,
      runId: newId('run'),
      messages: input.messages,
      tools: input.tools,
      options: RunOptions(
        onBusy: onBusy ?? input.options.onBusy,
        onInterrupt: onInterrupt ?? input.options.onInterrupt,
        agentId: input.options.agentId,
      ),
    );
  }

  RunInput regenerate(String messageId) {
    return RunInput(
      threadId: threadId,
      runId: newId('run'),
      tools: tools,
      options: RunOptions(regenerateFrom: messageId, onBusy: 'supersede'),
    );
  }

  /// The same answers, given again after a lost reply, are the same request.
  RunInput answers(List<ResumeAnswer> answers) {
    final last = _lastAnswer;
    if (last != null && _text(last.resume) == _text(answers)) return last;
    return _lastAnswer = RunInput.answers(threadId: threadId, answers: answers, tools: tools);
  }

  /// A message of the user in other words: it takes the place of the old one, and what followed goes.
  RunInput edited(String messageId, MessageContent content) {
    return RunInput.message(
      threadId: threadId,
      content: content,
      tools: tools,
      options: RunOptions(regenerateFrom: messageId, onBusy: 'supersede'),
    );
  }

  RunInput toolResults(Map<String, String> results) {
    return RunInput.toolResults(threadId: threadId, results: results, tools: tools);
  }

  static String _text(List<ResumeAnswer> answers) => jsonEncode([for (final one in answers) one.toJson()]);
}
