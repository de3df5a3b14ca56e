import 'dart:async';
import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/app_tool.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/microphone/recorder.dart';
import 'package:agentroute_chat/features/chat/presentation/screens/chat_view.dart';
import 'package:flutter/material.dart';
import 'package:flutter_test/flutter_test.dart';

import 'fake_service.dart';

/// A microphone that records one byte, or refuses.
class FakeRecorder implements Recorder {
  FakeRecorder({this.refusal});

  final MicrophoneRefused? refusal;
  bool isRecording = false;
  bool isDisposed = false;

  /// What the system asks the user before a recording begins; answered at once if null.
  Completer<void>? permission;
  int starts = 0;

  @override
  Future<void> start() async {
    starts++;
    final refused = refusal;
    if (refused != null) throw refused;
    await permission?.future;
    isRecording = true;
  }

  @override
  Future<Uint8List> stop() async {
    isRecording = false;
    return Uint8List.fromList([1]);
  }

  @override
  Future<void> cancel() async => isRecording = false;

  @override
  Future<void> dispose() async => isDisposed = true;
}

/// Shows the conversation `t-1`, which goes with the end of the test.
Future<ChatController> showChat(
  WidgetTester tester,
  FakeService service, {
  bool isNew = false,
  List<AppTool> tools = const [],
  AgentSummary? agent,
  FakeRecorder? recorder,
}) async {
  final controller = ChatController(
    service: service,
    threadId: 't-1',
    isNew: isNew,
    tools: tools,
  );
  addTearDown(controller.dispose);
  await tester.pumpWidget(
    MaterialApp(
      home: Scaffold(
        body: ChatView(
          controller: controller,
          service: service,
          recorder: () => recorder ?? FakeRecorder(),
          onNewThread: () {},
          onSettings: () {},
          agent: agent,
        ),
      ),
    ),
  );
  await settle(tester);
  return controller;
}

/// Lets everything arrive; a spinner never comes to rest, so nobody waits for that.
Future<void> settle(WidgetTester tester) async {
  for (var frame = 0; frame < 5; frame++) {
    await tester.pump(const Duration(milliseconds: 50));
  }
}

/// Tells events on the newest line of a service.
Future<void> tell(WidgetTester tester, FakeService service, List<Map<String, dynamic>> events) async {
  events.forEach(service.line.tell);
  await settle(tester);
}

/// Writes a message and sends it.
Future<void> write(WidgetTester tester, String text) async {
  await tester.enterText(find.byType(TextField).last, text);
  await tester.pump();
  await tester.tap(find.byIcon(Icons.arrow_upward));
  await settle(tester);
}

/// A text, also where it is a part of rich text.
Finder words(String text) => find.textContaining(text, findRichText: true);
