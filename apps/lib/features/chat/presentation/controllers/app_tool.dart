import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';

/// A tool that the app offers to the agent and carries out itself.
class AppTool {
  const AppTool({required this.tool, required this.run});

  /// What the model is told of it.
  final ClientTool tool;

  /// Carries a call out. The returned text is the result; what is thrown is told to the model as an error.
  final FutureOr<String> Function(Map<String, dynamic> arguments) run;

  String get name => tool.name;

  /// Carries a call of the model out; an error becomes its result.
  Future<String> carryOut(ToolCall call) async {
    final arguments = JsonObject.asObject(parsedJson(call.arguments.isEmpty ? '{}' : call.arguments));
    if (arguments == null) return 'Error: The arguments must be a JSON object.';
    try {
      return await run(arguments);
    } on Object catch (error) {
      // Whatever goes wrong in a tool, the model has to hear of it: it waits for the result.
      return 'Error: $error';
    }
  }
}

/// Carries out the calls of the app's tools that a thread waits for, each once.
class ToolRunner {
  ToolRunner(List<AppTool> tools) : _tools = {for (final tool in tools) tool.name: tool};

  final Map<String, AppTool> _tools;
  final Set<String> _carriedOut = {};

  /// Returns the results by the ids of the calls; null if there is nothing to do.
  ///
  /// The model waits for all results. So nothing is carried out if one of the calls is for another app.
  Future<Map<String, String>?> carryOut(ChatState state) async {
    final calls = [
      for (final id in state.pendingToolCallIds)
        if (state.toolCall(id) case final ToolCall call) call,
    ];
    if (calls.isEmpty || calls.length != state.pendingToolCallIds.length) return null;
    if (calls.any((call) => !_tools.containsKey(call.name) || _carriedOut.contains(call.id))) return null;
    _carriedOut.addAll(calls.map((call) => call.id));
    return {for (final call in calls) call.id: await _tools[call.name]!.carryOut(call)};
  }
}
