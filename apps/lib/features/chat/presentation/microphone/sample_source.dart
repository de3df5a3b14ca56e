import 'dart:typed_data';

import 'package:record/record.dart';

/// Opens the microphone of the device.
typedef OpenSampleSource = SampleSource Function();

/// What a platform has to offer of a microphone: samples of 16 bits, of one channel. Tests have one of their own.
abstract interface class SampleSource {
  /// Asks the user, if nobody has asked before.
  Future<bool> isAllowed();

  /// Begins. The stream has an end after [stop].
  Future<Stream<Uint8List>> start({required int sampleRate});

  Future<void> stop();

  Future<void> dispose();
}

/// The microphone through the package `record`.
///
/// It is read as a stream of samples: every platform has that, the web too, and no file has to be kept or deleted.
class PlatformSampleSource implements SampleSource {
  final AudioRecorder _recorder = AudioRecorder();

  @override
  Future<bool> isAllowed() => _recorder.hasPermission();

  @override
  Future<Stream<Uint8List>> start({required int sampleRate}) {
    return _recorder.startStream(
      RecordConfig(
        encoder: AudioEncoder.pcm16bits,
        sampleRate: sampleRate,
        numChannels: 1,
        echoCancel: true,
        noiseSuppress: true,
      ),
    );
  }

  @override
  Future<void> stop() async {
    await _recorder.stop();
  }

  @override
  Future<void> dispose() => _recorder.dispose();
}
