/// What this app has sent and the stream has not told yet: shown at once. Pure.
library;

import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';

/// A message that the service has not accepted. The same [input] is sent again: it means the same run.
class UnsentMessage {
  const UnsentMessage({required this.input, required this.problem});

  final RunInput input;
  final ShownProblem problem;

  ChatMessage get message => input.messages.last;

  String get id => message.id;

  String get text => message.text;
}

/// Returns the runs of [own] that the stream has not told of yet.
List<RunInput> untold(List<RunInput> own, ChatState state) {
  bool isTold(RunInput input) {
    if (state.inputRunId == input.runId) return true;
    if (state.runId == input.runId && !state.isRunning) return true;
    if (input.resume.isNotEmpty) {
      // The next run begins when the questions are closed; it may have the id of the run that asked.
      final open = {for (final interrupt in state.interrupts) interrupt.id};
      return input.resume.every((answer) => !open.contains(answer.interruptId));
    }
    if (input.messages.isEmpty) return state.runId == input.runId;
    return input.messages.every((message) => state.message(message.id) != null);
  }

  return [
    for (final input in own)
      if (!isTold(input)) input,
  ];
}

/// Returns a conversation as it will be when all of these runs have begun.
List<ChatMessage> withOwn(List<ChatMessage> messages, List<RunInput> own) {
  var shown = messages;
  for (final input in own) {
    final again = input.options.regenerateFrom;
    if (again != null) {
      final place = shown.indexWhere((message) => message.id == again);
      // Without another message in its place it stays: it is answered once more.
      if (place >= 0) shown = shown.sublist(0, input.messages.isEmpty ? place + 1 : place);
    }
    final held = {for (final message in shown) message.id};
    final missing = [
      for (final message in input.messages)
        if (!held.contains(message.id)) message,
    ];
    if (missing.isNotEmpty) shown = [...shown, ...missing];
  }
  return shown;
}

/// Returns a state that was read anew, with the older messages that are shown in front of its own.
ChatState behindOlder(ChatState opened, ChatState shown) {
  if (opened.messages.isEmpty) return opened;
  final first = opened.messages.first.id;
  final place = shown.messages.indexWhere((message) => message.id == first);
  if (place <= 0) return opened;
  return opened.copyWith(
    messages: [...shown.messages.take(place), ...opened.messages],
    nextBefore: () => shown.nextBefore,
  );
}

/// Returns the calls of the newest answer that nobody has answered or asks about: after a run that ended while the app
/// was away, these wait for the app.
List<String> unansweredCalls(ChatState state) {
  final turn = state.messages.lastIndexWhere((message) => message is UserMessage) + 1;
  return [
    for (final message in state.messages.skip(turn))
      if (message is AssistantMessage)
        for (final call in message.toolCalls)
          if (state.resultOf(call.id) == null && state.interruptOf(call.id) == null) call.id,
  ];
}
