import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/app_tool.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/chat_controller.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/fake_service.dart';

void main() {
  late FakeService service;

  setUp(() => service = FakeService());

  Future<ChatController> opened({bool isNew = false, List<AppTool> tools = const []}) async {
    final controller = ChatController(service: service, threadId: 't-1', isNew: isNew, tools: tools)..open();
    addTearDown(controller.dispose);
    await arrive();
    return controller;
  }

  test('a message is shown before anybody has accepted it', () async {
    final controller = await opened(isNew: true);
    final sent = controller.send('hello');
    expect(controller.messages.single.text, 'hello');
    expect(controller.isSending(controller.messages.single.id), isTrue);
    expect(controller.isBusy, isTrue);
    expect(await sent, isTrue);
    await arrive();
    expect(controller.isSending(controller.messages.single.id), isFalse);
  });

  test('messages of other devices come on the same line', () async {
    final controller = await opened();
    final theirs = RunInput.message(threadId: 't-1', content: const MessageContent.ofText('from the other phone'));
    service.line
      ..tell(started(theirs.runId))
      ..mention(asked(theirs));
    await arrive();
    expect(controller.messages.single.text, 'from the other phone');
    expect(controller.state.status, RunStatus.running);
  });

  test('the same message is sent again as the same run, and under other rules as another', () async {
    service
      ..isSilent = true
      ..refusals.addAll([const ConnectionFailed('lost'), refusal('run-active'), refusal('run-active')]);
    final controller = await opened(isNew: true);
    expect(await controller.send('hello'), isFalse);
    final id = controller.unsent.single.id;
    expect(await controller.retry(id), isFalse);
    expect(await controller.retry(id, onBusy: 'supersede'), isFalse);
    expect(await controller.retry(id), isTrue);
    final [first, again, other, last] = service.started;
    expect(again.runId, first.runId);
    expect(other.runId, isNot(first.runId));
    expect(other.options.onBusy, 'supersede');
    expect(last.runId, other.runId);
    expect({for (final run in service.started) run.messages.single.id}, {id});
    expect(controller.unsent, isEmpty);
  });

  test('a message whose answer was lost is not left among the refused ones', () async {
    service.refusals.add(const ConnectionFailed('lost'));
    final controller = await opened();
    await controller.send('hello');
    final run = service.started.single;
    service.line
      ..tell(started(run.runId))
      ..mention(asked(run));
    await arrive();
    expect(controller.unsent, isEmpty);
    expect(controller.messages, hasLength(1));
  });

  test('what only the network refused is sent when the line is back', () async {
    service.refusals.addAll([const ConnectionFailed('lost'), refusal('invalid-text', status: 422)]);
    final controller = await opened();
    await controller.send('one');
    await controller.send('two');
    service.line
      ..link(LinkState.reconnecting)
      ..link(LinkState.live);
    await arrive();
    expect([for (final run in service.started) run.messages.single.text], ['one', 'two', 'one']);
    expect(controller.unsent.single.text, 'two');
  });

  test('the first message of a thread is sent when the network is back, too', () async {
    service.refusals.add(const ConnectionFailed('lost'));
    final controller = await opened(isNew: true);
    expect(await controller.send('hello'), isFalse);
    await arrive();
    expect(service.lines, hasLength(1), reason: 'the line of the thread tells when the network is back');
    final [first, again] = service.started;
    expect(again.runId, first.runId);
    expect(controller.unsent, isEmpty);
  });

  test('answers are given once, and again as the same request', () async {
    service.refusals.add(const ConnectionFailed('lost'));
    final controller = await opened();
    [
      started('r-1'),
      ...call('c-1', 'send_mail', '{}'),
      finished('r-1', outcome: approval('i-1', 'c-1')),
    ].forEach(service.line.tell);
    await arrive();
    await controller.answer([ResumeAnswer.approve('i-1')]);
    expect(controller.answerProblem?.code, 'network');
    expect(controller.isAnswered('i-1'), isFalse);
    await controller.answer([ResumeAnswer.approve('i-1')]);
    expect(controller.isAnswered('i-1'), isTrue);
    expect(service.started.last.runId, service.started.first.runId);
    service.line.tell(started('r-2'));
    await arrive();
    expect(controller.isBusy, isTrue);
    service.line.tell(finished('r-2'));
    await arrive();
    expect(controller.isBusy, isFalse, reason: 'the answer has come to its end');
  });

  test('a question that was answered elsewhere is over', () async {
    service.refusals.add(refusal('interrupt-resolved'));
    final controller = await opened();
    [
      started('r-1'),
      ...call('c-1', 'send_mail', '{}'),
      finished('r-1', outcome: approval('i-1', 'c-1')),
    ].forEach(service.line.tell);
    await arrive();
    await controller.answer([ResumeAnswer.approve('i-1')]);
    expect(controller.isAnswered('i-1'), isTrue);
  });

  group('tools of the app', () {
    AppTool shout() {
      return AppTool(
        tool: const ClientTool(name: 'shout'),
        run: (arguments) => '${arguments['text']}'.toUpperCase(),
      );
    }

    Map<String, dynamic> waits(String runId) {
      return finished(
        runId,
        outcome: {
          'type': 'success',
          'pendingToolCallIds': ['c-1'],
        },
      );
    }

    test('are carried out, and answered in the next run', () async {
      final controller = await opened(isNew: true, tools: [shout()]);
      await controller.send('shout');
      await arrive();
      final run = service.started.single;
      expect(run.tools.single.name, 'shout');
      [started(run.runId), ...call('c-1', 'shout', '{"text": "hey"}'), waits(run.runId)].forEach(service.line.tell);
      await arrive();
      final result = service.started.last.messages.single as ToolMessage;
      expect((result.toolCallId, result.text), ('c-1', 'HEY'));
    });

    test('are left alone in runs of other devices', () async {
      await opened(tools: [shout()]);
      [started('r-1'), ...call('c-1', 'shout', '{}'), waits('r-1')].forEach(service.line.tell);
      await arrive();
      expect(service.started, isEmpty);
    });

    test('are carried out after a run that ended in the background', () async {
      final controller = await opened(isNew: true, tools: [shout()]);
      await controller.send('shout');
      await arrive();
      final run = service.started.single;
      controller.pause();
      service.pages[null] = HistoryPage(
        threadId: 't-1',
        cursor: '1-9',
        messages: [
          run.messages.single,
          const AssistantMessage(
            id: 'a-1',
            toolCalls: [ToolCall(id: 'c-1', name: 'shout', arguments: '{"text": "hey"}')],
          ),
        ],
      );
      controller.resume();
      await arrive();
      expect(service.started.last.messages.single.text, 'HEY');
    });

    test('are carried out once, and their results sent again when the network is back', () async {
      var carriedOut = 0;
      final counting = AppTool(
        tool: const ClientTool(name: 'shout'),
        run: (_) => '${++carriedOut}',
      );
      final controller = await opened(isNew: true, tools: [counting]);
      await controller.send('shout');
      await arrive();
      final run = service.started.single;
      service.refusals.add(const ConnectionFailed('lost'));
      [started(run.runId), ...call('c-1', 'shout', '{}'), waits(run.runId)].forEach(service.line.tell);
      await arrive();
      expect(controller.toolProblem?.code, 'network');
      service.line
        ..link(LinkState.reconnecting)
        ..link(LinkState.live);
      await arrive();
      final [_, refused, again] = service.started;
      expect(again.runId, refused.runId, reason: 'a lost reply means no second run');
      expect((again.messages.single.text, carriedOut), ('1', 1));
      expect(controller.toolProblem, isNull);
    });

    test('that fail tell the model so', () async {
      final tool = AppTool(
        tool: const ClientTool(name: 'shout'),
        run: (_) => throw StateError('no voice'),
      );
      expect(await tool.carryOut(const ToolCall(id: 'c', name: 'shout', arguments: '{}')), contains('no voice'));
      expect(await tool.carryOut(const ToolCall(id: 'c', name: 'shout', arguments: '[]')), startsWith('Error:'));
    });
  });

  test('older messages come in front, and stay there when the thread is read again', () async {
    service.pages[null] = const HistoryPage(
      threadId: 't-1',
      cursor: '1-1',
      messages: [AssistantMessage(id: 'a-2', content: 'newer')],
      hasMore: true,
      nextBefore: 'a-2',
    );
    service.pages['a-2'] = const HistoryPage(
      threadId: 't-1',
      cursor: '1-1',
      messages: [AssistantMessage(id: 'a-1', content: 'older')],
    );
    final controller = await opened();
    expect(controller.state.hasOlder, isTrue);
    await controller.loadOlder();
    expect([for (final message in controller.messages) message.text], ['older', 'newer']);
    expect(controller.state.hasOlder, isFalse);
    controller
      ..pause()
      ..resume();
    await arrive();
    expect([for (final message in controller.messages) message.text], ['older', 'newer']);
    expect(controller.state.hasOlder, isFalse);
  });

  test('a line that was given up is tried again when a message was accepted', () async {
    final controller = await opened();
    service.line.fail(refusal('forbidden', status: 403));
    await arrive();
    expect(controller.openProblem?.code, 'forbidden');
    await controller.send('hello');
    await arrive();
    expect(controller.openProblem, isNull);
    expect(service.lines, hasLength(2));
  });

  test('a changed message keeps its attachments, and is given up when another device has replaced it', () async {
    const picture = MediaPart(kind: 'image', sourceType: 'file', value: 'f-1', mimeType: 'image/png');
    const message = UserMessage(id: 'm-1', content: MessageContent.ofParts([TextPart('what is it?'), picture]));
    service.pages[null] = const HistoryPage(threadId: 't-1', cursor: '1-1', messages: [message]);
    final controller = await opened();
    controller.beginEdit(message);
    expect(controller.edited?.text, 'what is it?');
    controller.edited?.text = 'who is it?';
    await controller.sendEdit();
    final sent = service.started.single.messages.single as UserMessage;
    expect((sent.text, sent.content.media.single.value), ('who is it?', 'f-1'));
    expect(sent.id, isNot('m-1'));
    expect(controller.edited, isNull);

    controller.beginEdit(message);
    service.line
      ..tell(started('r-9'))
      ..mention({
        'type': 'CUSTOM',
        'name': 'agentroute.input',
        'value': {
          'runId': 'r-9',
          'regenerateFrom': 'm-1',
          'messages': [UserMessage.ofText(id: 'm-2', text: 'from the other phone').toJson()],
        },
      });
    await arrive();
    expect(controller.edited, isNull);
  });

  test('stopping asks the service, and answering again replaces', () async {
    final controller = await opened(isNew: true);
    await controller.send('hello');
    final run = service.started.single;
    await controller.cancel();
    expect(service.cancelled, [run.runId], reason: 'a run that has not begun can be stopped');
    await arrive();
    [started(run.runId), asked(run), ...answer(run.runId, 'one').skip(1)].forEach(service.line.tell);
    await arrive();
    await controller.answerAgain(run.messages.single.id);
    expect([for (final message in controller.messages) message.text], ['hello'], reason: 'the answer is on its way');
  });
}

/// Lets everything arrive that is on its way.
Future<void> arrive() => pumpEventQueue();
