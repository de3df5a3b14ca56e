import 'dart:async';
import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/presentation/microphone/recorder.dart';
import 'package:agentroute_chat/features/chat/presentation/microphone/sample_source.dart';
import 'package:flutter_test/flutter_test.dart';

/// A platform that records what a test says.
class FakeSource implements SampleSource {
  bool mayRecord = true;
  Object? failure;
  bool endsItsStream = true;
  bool isDisposed = false;
  int stops = 0;

  /// What comes between the end of a recording and the end of its stream.
  List<int> lastSamples = const [];
  StreamController<Uint8List> samples = StreamController<Uint8List>();

  @override
  Future<bool> isAllowed() async => mayRecord;

  @override
  Future<Stream<Uint8List>> start({required int sampleRate}) async {
    final failed = failure;
    if (failed != null) throw failed;
    samples = StreamController<Uint8List>();
    return samples.stream;
  }

  @override
  Future<void> stop() async {
    stops++;
    if (lastSamples.isNotEmpty) samples.add(Uint8List.fromList(lastSamples));
    if (endsItsStream) unawaited(samples.close());
  }

  @override
  Future<void> dispose() async => isDisposed = true;
}

void main() {
  late FakeSource source;
  late DeviceRecorder recorder;

  setUp(() {
    source = FakeSource();
    recorder = DeviceRecorder(openSource: () => source, lastSamplesWithin: Duration.zero);
  });

  /// The samples of a WAV file.
  List<int> said(Uint8List file) => file.sublist(44);

  test('a recording has all samples, those too that come late', () async {
    recorder = DeviceRecorder(openSource: () => source);
    source.lastSamples = [3, 4];
    await recorder.start();
    source.samples.add(Uint8List.fromList([1, 2]));
    expect(said(await recorder.stop()), [1, 2, 3, 4]);
    expect(source.stops, 1);
  });

  test('a microphone whose stream has no end is not waited for for ever', () async {
    source.endsItsStream = false;
    await recorder.start();
    source.samples.add(Uint8List.fromList([1, 2]));
    await pumpEventQueue();
    expect(said(await recorder.stop()), [1, 2]);
    expect(source.samples.hasListener, isFalse);
  });

  test('a stream that breaks ends the recording with what came before', () async {
    recorder = DeviceRecorder(openSource: () => source);
    await recorder.start();
    source.samples
      ..add(Uint8List.fromList([1, 2]))
      ..addError(StateError('unplugged'));
    await pumpEventQueue();
    expect(said(await recorder.stop()), [1, 2]);
  });

  test('a recording that is thrown away is not in the next one', () async {
    await recorder.start();
    source.samples.add(Uint8List.fromList([1, 2]));
    await pumpEventQueue();
    await recorder.cancel();
    expect(source.stops, 1);
    await recorder.start();
    source.samples.add(Uint8List.fromList([5, 6]));
    await pumpEventQueue();
    expect(said(await recorder.stop()), [5, 6]);
  });

  test('why there is no microphone is said in words', () async {
    source.mayRecord = false;
    await expectLater(recorder.start(), throwsA(same(MicrophoneRefused.blocked)));
    source
      ..mayRecord = true
      ..failure = StateError('no such device');
    await expectLater(recorder.start(), throwsA(same(MicrophoneRefused.unusable)));
    final broken = DeviceRecorder(openSource: () => throw UnsupportedError('no plugin'));
    await expectLater(broken.start(), throwsA(same(MicrophoneRefused.unusable)));
  });

  test('the microphone is let go of', () async {
    await recorder.start();
    await recorder.dispose();
    expect((source.stops, source.isDisposed, source.samples.hasListener), (1, true, false));
  });
}
