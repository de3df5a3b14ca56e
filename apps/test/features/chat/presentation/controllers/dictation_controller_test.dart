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

  test('a recording is thrown away', () async {
    final recorder = FakeRecorder();
    final controller = dictation(recorder);
    await controller.start();
    await controller.cancel();
    expect(recorder.isRecording, isFalse);
    expect(controller.now, isA<DictationIdle>());
  });
}
