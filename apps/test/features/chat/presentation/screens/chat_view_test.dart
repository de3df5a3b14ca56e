import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/connection_banner.dart';
import 'package:flutter/material.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/chat_app.dart';
import '../../../../support/fake_service.dart';

void main() {
  const joker = AgentSummary(id: 'joker', name: 'Joker', greeting: 'Hello!', suggestions: ['Tell me a joke']);
  late FakeService service;

  setUp(() => service = FakeService());

  testWidgets('a message is shown at once, and its answer while it grows', (tester) async {
    await showChat(tester, service, isNew: true);
    expect(service.historyReads, 0, reason: 'nobody asks for a thread that nobody has begun');
    await write(tester, 'what is 6*7');
    expect(words('what is 6*7'), findsOneWidget);
    final run = service.started.single;

    await tell(tester, service, [started(run.runId), asked(run)]);
    expect(words('what is 6*7'), findsOneWidget, reason: 'told by the stream, it is not shown twice');
    await tell(tester, service, answer(run.runId, 'It is ', isOpen: true).skip(1).toList());
    expect(words('It is'), findsOneWidget);
    await tell(tester, service, [
      {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'a-${run.runId}', 'delta': '**42**.'},
      {
        'type': 'TEXT_MESSAGE_END',
        'messageId': 'a-${run.runId}',
        'metadata': {'model': 'demo', 'inputTokens': 10, 'outputTokens': 5, 'cost': '0.001', 'latencyMs': 1234},
      },
      finished(run.runId),
    ]);
    expect(words('It is 42.'), findsOneWidget, reason: 'the text is Markdown');
    expect(words(r'demo · 15 tokens · $0.001 · 1.23 s'), findsOneWidget);
  });

  testWidgets('the stages of a run are its progress', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      {'type': 'STEP_STARTED', 'stepName': 'intent'},
      {'type': 'STEP_FINISHED', 'stepName': 'intent'},
      {'type': 'STEP_STARTED', 'stepName': 'execution'},
    ]);
    expect(words('Understood'), findsOneWidget);
    expect(words('Working on it'), findsOneWidget);
    await tell(tester, service, [finished('r-1')]);
    expect(words('Worked'), findsNothing);
  });

  testWidgets('what the model thinks is folded', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      {'type': 'REASONING_START', 'messageId': 'th-1'},
      {'type': 'REASONING_MESSAGE_START', 'messageId': 'th-1', 'role': 'reasoning'},
      {'type': 'REASONING_MESSAGE_CONTENT', 'messageId': 'th-1', 'delta': 'Six times seven.'},
    ]);
    expect(words('Thinking'), findsOneWidget);
    expect(words('Six times seven.'), findsNothing);
    await tester.tap(words('Thinking'));
    await settle(tester);
    expect(words('Six times seven.'), findsOneWidget);
  });

  testWidgets('a call shows its arguments and its result', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [started('r-1'), ...call('c-1', 'weather', '{"city": "Paris"}')]);
    expect(words('weather'), findsOneWidget);
    expect(words('Paris · Running'), findsOneWidget);
    await tell(tester, service, [
      {'type': 'TOOL_CALL_RESULT', 'messageId': 'tr-1', 'toolCallId': 'c-1', 'content': '{"sky": "blue"}'},
    ]);
    expect(words('Paris · Done'), findsOneWidget);
    await tester.tap(words('weather'));
    await settle(tester);
    expect(words('"city": "Paris"'), findsOneWidget);
    expect(words('"sky": "blue"'), findsOneWidget);
  });

  testWidgets('what is unfolded stays so when a message comes', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      ...call('c-1', 'weather', '{"city": "Paris", "days": 3}'),
      finished('r-1'),
    ]);
    await tester.tap(words('weather'));
    await settle(tester);
    expect(words('Arguments'), findsOneWidget);
    await tell(tester, service, answer('r-2', 'Sunny.'));
    expect(words('Sunny.'), findsOneWidget);
    expect(words('Arguments'), findsOneWidget);
  });

  testWidgets('a recording ends in the background, and is written down', (tester) async {
    addTearDown(() => tester.binding.handleAppLifecycleStateChanged(AppLifecycleState.resumed));
    final recorder = FakeRecorder();
    await showChat(tester, service, isNew: true, recorder: recorder);
    await tester.tap(find.byTooltip('Dictate'));
    await settle(tester);
    tester.binding.handleAppLifecycleStateChanged(AppLifecycleState.paused);
    await settle(tester);
    expect(recorder.isRecording, isFalse);
    tester.binding.handleAppLifecycleStateChanged(AppLifecycleState.resumed);
    await settle(tester);
    expect(find.widgetWithText(TextField, 'what was said'), findsOneWidget);
  });

  testWidgets('a question is answered', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      ...call('c-1', 'send_mail', '{"to": "ada@example.com"}'),
      finished('r-1', outcome: approval('i-1', 'c-1')),
    ]);
    expect(words('Approval needed'), findsOneWidget);
    expect(words('May I send the mail?'), findsOneWidget);
    await tester.ensureVisible(words('Approve'));
    await tester.tap(words('Approve'));
    await settle(tester);
    final resume = service.started.single.resume.single;
    expect(resume.toJson(), {
      'interruptId': 'i-1',
      'status': 'resolved',
      'payload': {'approved': true},
    });
    expect(words('Answered'), findsOneWidget, reason: 'it cannot be answered twice');
    await tell(tester, service, [started('r-2')]);
    expect(words('Approval needed'), findsNothing);
  });

  testWidgets('a question is declined, and its arguments are changed', (tester) async {
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      ...call('c-1', 'send_mail', '{"to": "ada@example.com", "subject": "Hi"}'),
      finished('r-1', outcome: approval('i-1', 'c-1')),
    ]);
    service.refusals.add(refusal('run-active'));
    await tester.ensureVisible(words('Decline'));
    await tester.tap(words('Decline'));
    await settle(tester);
    expect(service.started.single.resume.single.payload, {'approved': false});
    expect(words('The assistant is at work already.'), findsOneWidget);

    await tester.ensureVisible(words('Edit'));
    await tester.tap(words('Edit'));
    await settle(tester);
    await tester.enterText(find.byType(TextField).first, 'bob@example.com');
    await settle(tester);
    await tester.ensureVisible(words('Approve with changes'));
    await tester.tap(words('Approve with changes'));
    await settle(tester);
    expect(service.started.last.resume.single.payload, {
      'approved': true,
      'input': {'subject': 'Hi', 'to': 'bob@example.com'},
    });
  });

  testWidgets('an answer is stopped, and asked for again', (tester) async {
    service.pages[null] = const HistoryPage(
      threadId: 't-1',
      cursor: '1-5',
      messages: [UserMessage(id: 'm-1', content: MessageContent.ofText('tell me a story'))],
      activeRun: ActiveRun(runId: 'r-1', status: 'running'),
    );
    await showChat(tester, service);
    await tester.tap(find.byTooltip('Stop'));
    await settle(tester);
    expect(service.cancelled, ['r-1']);
    await tell(tester, service, [
      finished('r-1', outcome: {'type': 'cancelled'}),
    ]);
    expect(words('The answer was stopped.'), findsOneWidget);
    expect(find.byTooltip('Stop'), findsNothing);
    await tester.tap(words('Answer again'));
    await settle(tester);
    expect(service.started.single.options.regenerateFrom, 'm-1');
  });

  testWidgets('a message that was sent is changed, and what followed it is replaced', (tester) async {
    service.pages[null] = const HistoryPage(
      threadId: 't-1',
      cursor: '1-5',
      messages: [
        UserMessage(id: 'm-1', content: MessageContent.ofText('tell me a story')),
        AssistantMessage(id: 'a-1', content: 'Once upon a time'),
      ],
    );
    await showChat(tester, service);
    await tester.tap(find.byTooltip('Edit the message'));
    await settle(tester);
    final field = find.widgetWithText(TextField, 'Edited message');
    await tester.enterText(field, 'tell me a joke');
    await settle(tester);
    service.refusals.add(refusal('rate-limited', status: 429));
    await tester.ensureVisible(find.widgetWithText(FilledButton, 'Send'));
    await tester.tap(find.widgetWithText(FilledButton, 'Send'));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'tell me a joke'), findsOneWidget, reason: 'a refused text stays');
    expect(words('You have sent a lot in a short time.'), findsOneWidget);
    expect(words('Once upon a time'), findsOneWidget);

    await tester.ensureVisible(find.widgetWithText(FilledButton, 'Send'));
    await tester.tap(find.widgetWithText(FilledButton, 'Send'));
    await settle(tester);
    final [refused, run] = service.started;
    expect(run.runId, refused.runId, reason: 'the same text is the same request');
    expect((run.options.regenerateFrom, run.messages.single.text), ('m-1', 'tell me a joke'));
    expect(words('tell me a joke'), findsOneWidget);
    expect(words('tell me a story'), findsNothing);
    expect(words('Once upon a time'), findsNothing);
  });

  testWidgets('a button leads back to the newest message', (tester) async {
    service.pages[null] = HistoryPage(
      threadId: 't-1',
      cursor: '1-1',
      messages: [
        for (var at = 0; at < 60; at++) UserMessage.ofText(id: 'm-$at', text: 'message $at'),
      ],
    );
    await showChat(tester, service);
    final button = find.byTooltip('To the newest message');
    expect(button, findsNothing);
    await tester.drag(find.byType(ListView), const Offset(0, 2000));
    await settle(tester);
    expect(words('message 59'), findsNothing);
    await tester.tap(button);
    await settle(tester);
    expect(words('message 59'), findsOneWidget);
    expect(button, findsNothing);
  });

  testWidgets('a failure is told in words, and tried again', (tester) async {
    service.pages[null] = const HistoryPage(
      threadId: 't-1',
      cursor: '1-5',
      messages: [UserMessage(id: 'm-1', content: MessageContent.ofText('hello'))],
    );
    await showChat(tester, service);
    await tell(tester, service, [
      started('r-1'),
      {'type': 'RUN_ERROR', 'message': 'no answer', 'code': 'model-timeout'},
    ]);
    expect(words('The model took too long.'), findsOneWidget);
    // The whole text: the advice begins with the same words.
    await tester.tap(find.text('Try again'));
    await settle(tester);
    expect(service.started.single.options.regenerateFrom, 'm-1');
  });

  testWidgets('a refused message stays, with what can be done', (tester) async {
    service
      ..isSilent = true
      ..refusals.add(const ConnectionFailed('no route'));
    await showChat(tester, service, isNew: true);
    await write(tester, 'hello');
    expect(words('The service cannot be reached.'), findsOneWidget);
    expect(words('hello'), findsOneWidget);
    await tester.tap(words('Try again'));
    await settle(tester);
    expect(service.started, hasLength(2));
    expect(service.started.last.runId, service.started.first.runId, reason: 'the same request is the same run');
    expect(words('The service cannot be reached.'), findsNothing);
  });

  testWidgets('a refused message can be taken back into the composer', (tester) async {
    service.refusals.add(refusal('interrupt-open'));
    await showChat(tester, service, isNew: true);
    await write(tester, 'hello');
    expect(words('Decline the question and send'), findsOneWidget);
    await tester.tap(words('Edit'));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'hello'), findsOneWidget);
    expect(words('The agent waits for an answer of yours.'), findsNothing);
  });

  testWidgets('a line that stays broken has a banner', (tester) async {
    await showChat(tester, service);
    service.line.link(LinkState.reconnecting);
    await settle(tester);
    expect(words('Connection lost'), findsNothing, reason: 'a short break is nobody\'s business');
    await tester.pump(ConnectionBanner.patience);
    expect(words('Connection lost'), findsOneWidget);
    service.line.link(LinkState.live);
    await settle(tester);
    expect(words('Connection lost'), findsNothing);
  });

  testWidgets('the background lets go of the line, and coming back reads what was missed', (tester) async {
    addTearDown(() => tester.binding.handleAppLifecycleStateChanged(AppLifecycleState.resumed));
    await showChat(tester, service);
    expect(service.historyReads, 1);
    final before = service.line;
    // The states in the order in which a phone goes through them.
    for (final state in [AppLifecycleState.inactive, AppLifecycleState.hidden]) {
      tester.binding.handleAppLifecycleStateChanged(state);
      await settle(tester);
      expect(before.isOpen, isTrue, reason: 'a glance at the notifications is no break');
      expect(service.historyReads, 1);
    }

    tester.binding.handleAppLifecycleStateChanged(AppLifecycleState.paused);
    await settle(tester);
    expect(before.isOpen, isFalse);
    service.pages[null] = const HistoryPage(
      threadId: 't-1',
      cursor: '2-7',
      messages: [
        UserMessage(id: 'm-1', content: MessageContent.ofText('hello')),
        AssistantMessage(id: 'a-1', content: 'written meanwhile'),
      ],
    );
    for (final state in [AppLifecycleState.hidden, AppLifecycleState.inactive]) {
      tester.binding.handleAppLifecycleStateChanged(state);
      await settle(tester);
      expect(service.historyReads, 1, reason: 'not back yet');
    }
    tester.binding.handleAppLifecycleStateChanged(AppLifecycleState.resumed);
    await settle(tester);
    expect(service.historyReads, 2);
    expect(words('written meanwhile'), findsOneWidget);
    expect(service.line.cursor, '2-7', reason: 'followed from the place of the history');
    expect(service.line, isNot(same(before)));
  });

  testWidgets('a deleted conversation says so', (tester) async {
    service.pages[null] = const HistoryPage(threadId: 't-1', cursor: '1-1');
    await showChat(tester, service);
    service.line.fail(refusal('not-found', status: 404));
    await settle(tester);
    expect(words('This conversation was deleted.'), findsOneWidget);
  });

  testWidgets('a missing token is asked for', (tester) async {
    service.refusals.add(refusal('unauthenticated', status: 401));
    await showChat(tester, service, isNew: true);
    await write(tester, 'hello');
    expect(find.widgetWithText(TextButton, 'Sign in'), findsOneWidget);
  });

  testWidgets('an empty conversation offers first messages', (tester) async {
    await showChat(tester, service, isNew: true, agent: joker);
    expect(words('Hello!'), findsOneWidget);
    await tester.tap(words('Tell me a joke'));
    await settle(tester);
    expect(service.started.single.messages.single.text, 'Tell me a joke');
  });

  testWidgets('what is said is written into the composer', (tester) async {
    final recorder = FakeRecorder();
    await showChat(tester, service, isNew: true, recorder: recorder);
    await tester.tap(find.byTooltip('Dictate'));
    await settle(tester);
    expect(recorder.isRecording, isTrue);
    await tester.tap(find.byTooltip('Write it down'));
    await settle(tester);
    expect(find.widgetWithText(TextField, 'what was said'), findsOneWidget);
  });

  testWidgets('everything that is tapped is large enough, and has a name', (tester) async {
    final handle = tester.ensureSemantics();
    await showChat(tester, service, isNew: true, agent: joker);
    await expectLater(tester, meetsGuideline(androidTapTargetGuideline));
    await expectLater(tester, meetsGuideline(labeledTapTargetGuideline));
    handle.dispose();
  });

  testWidgets('large text does not break the screen', (tester) async {
    tester.platformDispatcher.textScaleFactorTestValue = 2;
    addTearDown(tester.platformDispatcher.clearTextScaleFactorTestValue);
    await showChat(tester, service, isNew: true, agent: joker);
    await write(tester, 'hello');
    expect(tester.takeException(), isNull);
  });
}
