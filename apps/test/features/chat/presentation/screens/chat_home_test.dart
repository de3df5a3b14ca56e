import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:agentroute_chat/features/chat/data/models/thread_summary.dart';
import 'package:agentroute_chat/features/chat/presentation/screens/chat_home.dart';
import 'package:flutter/material.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/chat_app.dart';
import '../../../../support/fake_service.dart';

void main() {
  late FakeService service;
  late List<String?> opened;

  setUp(() {
    opened = [];
    service = FakeService()
      ..agentList = const [
        AgentSummary(id: 'default', name: 'Assistant', greeting: 'Hello!', isDefault: true),
        AgentSummary(id: 'coder', name: 'Coder', greeting: 'What shall I write?'),
      ]
      ..summaries = const [ThreadSummary(threadId: 't-9', title: 'The weather')];
  });

  Future<void> show(WidgetTester tester, {Size size = const Size(1200, 800)}) async {
    tester.view.physicalSize = size;
    tester.view.devicePixelRatio = 1;
    addTearDown(tester.view.reset);
    await tester.pumpWidget(
      MaterialApp(
        home: ChatHome(
          service: service,
          onSettings: () {},
          onThread: opened.add,
          recorder: FakeRecorder.new,
        ),
      ),
    );
    await settle(tester);
  }

  testWidgets('a conversation of the list is opened', (tester) async {
    await show(tester);
    await tester.tap(words('The weather'));
    await settle(tester);
    expect(service.historyReads, 1);
    expect(service.lines, hasLength(1));
    expect(opened, ['t-9']);
  });

  testWidgets('what is written in a conversation waits there', (tester) async {
    await show(tester);
    await tester.enterText(find.byType(TextField).last, 'a draft');
    await tester.tap(words('The weather'));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'a draft'), findsNothing);
    await tester.tap(find.byTooltip('New conversation'));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'a draft'), findsOneWidget);
  });

  testWidgets('what is written while the first message is on its way stays in its conversation', (tester) async {
    final accepted = service.acceptance = Completer<void>();
    await show(tester);
    await write(tester, 'hello');
    await tester.enterText(find.byType(TextField).last, 'a second thought');
    accepted.complete();
    await settle(tester);
    await tester.tap(find.byTooltip('New conversation'));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'a second thought'), findsNothing);
    service.summaries = [ThreadSummary(threadId: service.started.single.threadId, title: 'Greetings')];
    await tester.enterText(find.byType(TextField).first, 'Greet');
    await tester.pump(const Duration(seconds: 1));
    await settle(tester);
    await tester.tap(words('Greetings'));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'a second thought'), findsOneWidget);
  });

  testWidgets('a refused message is not lost with another conversation', (tester) async {
    await show(tester);
    service.refusals.add(refusal('rate-limited', status: 429));
    await write(tester, 'hello');
    await tester.tap(words('The weather'));
    await settle(tester);
    expect(words('hello'), findsNothing);
    await tester.tap(find.byTooltip('New conversation'));
    await settle(tester);
    expect(words('hello'), findsOneWidget);
  });

  testWidgets('on a phone the list is a drawer', (tester) async {
    await show(tester, size: const Size(400, 800));
    expect(words('The weather'), findsNothing);
    await tester.tap(find.byTooltip('Open navigation menu'));
    await settle(tester);
    expect(words('The weather'), findsOneWidget);
  });

  testWidgets('a new conversation has the agent that was chosen', (tester) async {
    await show(tester);
    expect(words('Hello!'), findsOneWidget);
    await tester.tap(find.byTooltip('Choose the agent of a new conversation'));
    await settle(tester);
    await tester.tap(words('Coder').last);
    await settle(tester);
    expect(words('What shall I write?'), findsOneWidget);
    await write(tester, 'a loop');
    expect(service.started.single.options.agentId, 'coder');
    expect(opened, [service.started.single.threadId]);
    await write(tester, 'another one');
    expect(service.started.last.options.agentId, isNull, reason: 'a thread keeps its agent');
  });
}
