import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/dictation_controller.dart';
import 'package:agentroute_chat/features/chat/presentation/microphone/recorder.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/chat_app.dart';
import '../../../../support/fake_service.dart';

void main() {
  late FakeService service;
  late List<String> said;

  setUp(() {
    service = FakeService();
    said = [];
  });

  DictationController dictation([FakeRecorder? recorder]) {
    final controller = DictationController(
      service: service,
      recorder: recorder ?? FakeRecorder(),
      onText: said.add,
    );
    addTearDown(controller.dispose);
    return controller;
  }

  test('what is said is written down', () async {
    final controller = dictation();
    await controller.start();
    expect(controller.now, isA<DictationRecording>());
    await controller.finish();
    expect(said, ['what was said']);
    expect(controller.now, isA<DictationIdle>());
  });

  test('a recording is kept until it was written down', () async {
    final controller = dictation();
    service.transcribeRefusal = const ConnectionFailed('no route');
    await controller.start();
    await controller.finish();
    expect(controller.now, isA<DictationFailed>());
    service.transcribeRefusal = null;
    await controller.retry();
    expect(said, ['what was said']);
  });

  test('silence is told', () async {
    final controller = dictation();
    service.said = '  ';
    await controller.start();
    await controller.finish();
    expect((controller.now as DictationFailed).problem.code, 'audio-empty');
    expect(said, isEmpty);
  });

  test('a microphone that may not be used says what to do', () async {
    final controller = dictation(FakeRecorder(refusal: MicrophoneRefused.blocked));
    await controller.start();
    expect((controller.now as DictationRefused).refusal.advice, contains('settings'));
  });

  test('a second tap begins no second recording', () async {
    final recorder = FakeRecorder();
    final controller = dictation(recorder);
    await Future.wait([controller.start(), controller.start()]);
    expect(recorder.starts, 1);
    expect(controller.now, isA<DictationRecording>());
    await Future.wait([controller.finish(), controller.finish()]);
    expect(said, ['what was said']);
  });

  test('a recording that begins after it was cancelled is thrown away, and the next one is not', () async {
    final permission = Completer<void>();
    final recorder = FakeRecorder()..permission = permission;
    final controller = dictation(recorder);
    final first = controller.start();
    await pumpEventQueue();
    await controller.cancel();
    final second = controller.start();
    permission.complete();
    await first;
    await second;
    expect(recorder.starts, 2);
    expect(recorder.isRecording, isTrue);
    expect(controller.now, isA<DictationRecording>());
  });

  test('a recording is thrown away', () async {
    final recorder = FakeRecorder();
    final controller = dictation(recorder);
    await controller.start();
    await controller.cancel();
    expect(recorder.isRecording, isFalse);
    expect(controller.now, isA<DictationIdle>());
  });
}
