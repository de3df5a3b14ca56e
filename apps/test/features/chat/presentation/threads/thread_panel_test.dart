import 'package:agentroute_chat/features/chat/data/models/thread_summary.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/thread_list_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/threads/thread_panel.dart';
import 'package:flutter/material.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/chat_app.dart';
import '../../../../support/fake_service.dart';

void main() {
  late FakeService service;
  late List<String> happened;

  setUp(() {
    happened = [];
    service = FakeService()
      ..summaries = const [
        ThreadSummary(threadId: 't-1', title: 'Six times seven', pendingInterrupts: 1),
        ThreadSummary(
          threadId: 't-2',
          title: 'The weather',
          activeRun: ActiveRun(runId: 'r-1', status: 'running'),
        ),
      ];
  });

  Future<void> show(WidgetTester tester) async {
    final threads = ThreadListController(service: service);
    addTearDown(threads.dispose);
    await threads.refresh();
    await tester.pumpWidget(
      MaterialApp(
        home: Scaffold(
          body: ThreadPanel(
            threads: threads,
            currentId: 't-1',
            onOpen: (threadId) => happened.add('open $threadId'),
            onNew: () => happened.add('new'),
            onDeleted: (threadId) => happened.add('deleted $threadId'),
            onSettings: () => happened.add('settings'),
          ),
        ),
      ),
    );
    await settle(tester);
  }

  testWidgets('conversations are listed, with what they wait for', (tester) async {
    await show(tester);
    expect(words('Six times seven'), findsOneWidget);
    expect(words('Waits for your answer'), findsOneWidget);
    expect(words('An answer is being written'), findsOneWidget);
    await tester.tap(words('The weather'));
    await tester.tap(words('New conversation'));
    await tester.tap(words('Settings'));
    expect(happened, ['open t-2', 'new', 'settings']);
  });

  testWidgets('a search is sent when the typing has stopped', (tester) async {
    await show(tester);
    await tester.enterText(find.byType(TextField), 'we');
    await tester.enterText(find.byType(TextField), 'weather');
    await tester.pump(const Duration(seconds: 1));
    await settle(tester);
    expect(service.searches, [null, 'weather']);
    expect(words('Six times seven'), findsNothing);
    expect(words('The weather'), findsOneWidget);
  });

  testWidgets('a search without a find says so', (tester) async {
    await show(tester);
    await tester.enterText(find.byType(TextField), 'nothing');
    await tester.pump(const Duration(seconds: 1));
    await settle(tester);
    expect(words('Nothing found for “nothing”.'), findsOneWidget);
  });

  testWidgets('a conversation is renamed', (tester) async {
    await show(tester);
    await tester.tap(find.byTooltip('More for The weather'));
    await tester.pumpAndSettle();
    await tester.tap(words('Rename'));
    await tester.pumpAndSettle();
    await tester.enterText(find.widgetWithText(TextField, 'The weather'), 'Rain');
    await tester.tap(words('Save'));
    await tester.pumpAndSettle();
    expect(words('Rain'), findsOneWidget);
    expect(words('The weather'), findsNothing);
  });

  testWidgets('a conversation is deleted, but not without a word', (tester) async {
    await show(tester);
    Future<void> delete(String button) async {
      await tester.tap(find.byTooltip('More for The weather'));
      await tester.pumpAndSettle();
      await tester.tap(words('Delete'));
      await tester.pumpAndSettle();
      expect(words('This cannot be undone.'), findsOneWidget);
      await tester.tap(find.widgetWithText(button == 'Delete' ? FilledButton : TextButton, button));
      await tester.pumpAndSettle();
    }

    await delete('Cancel');
    expect(service.deleted, isEmpty);
    await delete('Delete');
    expect(service.deleted, ['t-2']);
    expect(happened, ['deleted t-2']);
    expect(words('The weather'), findsNothing);
  });
}
