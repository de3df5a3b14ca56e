import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:flutter/material.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/chat_app.dart';
import '../../../../support/fake_service.dart';

void main() {
  late FakeService service;

  setUp(() => service = FakeService());

  Map<String, dynamic> asks(List<Map<String, dynamic>> interrupts) {
    return finished('r-1', outcome: {'type': 'interrupt', 'interrupts': interrupts});
  }

  const name = {
    'id': 'i-2',
    'reason': 'your_name',
    'message': 'What is your name?',
    'responseSchema': {
      'type': 'object',
      'properties': {
        'name': {'type': 'string', 'title': 'Name'},
        'formal': {'type': 'boolean'},
      },
      'required': ['name'],
    },
  };

  testWidgets('several questions are answered together', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      asks([
        {'id': 'i-1', 'reason': 'budget_exhausted', 'message': 'Go on with as much again?'},
        name,
      ]),
    ]);
    expect(words('2 questions are open.'), findsOneWidget);
    final approve = find.widgetWithText(FilledButton, 'Approve');
    await tester.ensureVisible(approve);
    await tester.tap(approve);
    await settle(tester);
    expect(words('Will be approved'), findsOneWidget);
    expect(words('Send answers (1 left)'), findsOneWidget);
    expect(service.started, isEmpty);

    await tester.enterText(find.widgetWithText(TextField, 'Name'), 'Ada');
    await settle(tester);
    await tester.ensureVisible(find.widgetWithText(FilledButton, 'Answer'));
    await tester.tap(find.widgetWithText(FilledButton, 'Answer'));
    await settle(tester);
    await tester.ensureVisible(words('Send 2 answers'));
    await tester.tap(words('Send 2 answers'));
    await settle(tester);
    expect([for (final answer in service.started.single.resume) answer.toJson()], [
      {
        'interruptId': 'i-1',
        'status': 'resolved',
        'payload': {'approved': true},
      },
      {
        'interruptId': 'i-2',
        'status': 'resolved',
        'payload': {'name': 'Ada'},
      },
    ]);
  });

  testWidgets('what is written in a card is there when the card comes back', (tester) async {
    service.pages[null] = HistoryPage(
      threadId: 't-1',
      cursor: '1-1',
      messages: [
        for (var at = 0; at < 60; at++) UserMessage.ofText(id: 'm-$at', text: 'message $at'),
      ],
    );
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      asks([
        {'id': 'i-1', 'reason': 'budget_exhausted', 'message': 'Go on with as much again?'},
        name,
      ]),
    ]);
    await tester.enterText(find.widgetWithText(TextField, 'Name'), 'Ada');
    await settle(tester);
    final approve = find.widgetWithText(FilledButton, 'Approve');
    await tester.ensureVisible(approve);
    await tester.tap(approve);
    await settle(tester);
    // A field with the focus is kept alive by the list.
    FocusManager.instance.primaryFocus?.unfocus();
    await settle(tester);
    await tester.drag(find.byType(ListView), const Offset(0, 3000));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'Name'), findsNothing, reason: 'the card is scrolled away');
    await tester.drag(find.byType(ListView), const Offset(0, -9000));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'Ada'), findsOneWidget);
    expect(words('Will be approved'), findsOneWidget);
  });

  testWidgets('all questions are declined at once', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      asks([
        {'id': 'i-1', 'reason': 'budget_exhausted', 'message': 'Go on with as much again?'},
        name,
      ]),
    ]);
    await tester.ensureVisible(words('Decline all'));
    await tester.tap(words('Decline all'));
    await settle(tester);
    final [budget, form] = service.started.single.resume;
    expect(budget.payload, {'approved': false});
    expect(form.status, 'cancelled');
  });

  testWidgets('a question that has expired can only be laid aside', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      asks([
        {...name, 'expiresAt': '2020-01-01T00:00:00Z'},
      ]),
    ]);
    expect(words('Nobody answered in time'), findsOneWidget);
    await tester.ensureVisible(words('Go on without it').last);
    await tester.tap(find.widgetWithText(OutlinedButton, 'Go on without it'));
    await settle(tester);
    expect(service.started.single.resume.single.status, 'cancelled');
  });

  testWidgets('a login with a token of the user is stored before the answer', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      asks([
        {
          'id': 'i-3',
          'reason': 'connection_required',
          'message': 'The files need your login.',
          'metadata': {'server': 'files', 'auth': 'user-token'},
        },
      ]),
    ]);
    await tester.tap(words('Log in'));
    await tester.pumpAndSettle();
    await tester.enterText(find.widgetWithText(TextField, 'Token'), 'my-token');
    await tester.tap(words('Store'));
    await tester.pumpAndSettle();
    expect(service.connected, [('files', 'my-token')]);
    await tester.tap(find.widgetWithText(FilledButton, 'Go on'));
    await settle(tester);
    expect(service.started.single.resume.single.toJson(), {'interruptId': 'i-3', 'status': 'resolved'});
  });
}
