import 'dart:async';
import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/presentation/microphone/wav.dart';
import 'package:record/record.dart';

/// The microphone. Tests have one of their own.
abstract interface class Recorder {
  /// Begins. Throws a [MicrophoneRefused] when there is no microphone, or it may not be used.
  Future<void> start();

  /// Ends the recording and returns it as a WAV file.
  Future<Uint8List> stop();

  /// Ends the recording and forgets it.
  Future<void> cancel();

  Future<void> dispose();
}

/// Why there is no microphone, and what to do.
class MicrophoneRefused implements Exception {
  const MicrophoneRefused(this.title, this.advice);

  static const blocked = MicrophoneRefused(
    'The microphone is blocked for this app.',
    'Allow it in the settings of your device, then try again.',
  );

  static const unusable = MicrophoneRefused(
    'The microphone cannot be used.',
    "Check it in your system's settings, then try again.",
  );

  final String title;
  final String advice;

  @override
  String toString() => '$title $advice';
}

/// The microphone of the device, through the package `record`.
///
/// It is read as a stream of samples: every platform has that, the web too, and no file has to be kept or deleted.
class DeviceRecorder implements Recorder {
  /// Enough for speech: 32 kB a second, so that ten minutes stay below the 25 MiB that the service takes.
  static const _sampleRate = 16000;

  AudioRecorder? _recorder;
  StreamSubscription<Uint8List>? _listening;
  Completer<void>? _ended;
  BytesBuilder _samples = BytesBuilder(copy: false);

  @override
  Future<void> start() async {
    await cancel();
    // Made at the first use: a device without a microphone may still run the app.
    final recorder = _recorder ??= AudioRecorder();
    try {
      if (!await recorder.hasPermission()) throw MicrophoneRefused.blocked;
      const config = RecordConfig(
        encoder: AudioEncoder.pcm16bits,
        sampleRate: _sampleRate,
        numChannels: 1,
        echoCancel: true,
        noiseSuppress: true,
      );
      final samples = await recorder.startStream(config);
      final ended = _ended = Completer<void>();
      _listening = samples.listen(
        _samples.add,
        onError: (Object _) {
          if (!ended.isCompleted) ended.complete();
        },
        onDone: () {
          if (!ended.isCompleted) ended.complete();
        },
      );
    } on MicrophoneRefused {
      rethrow;
    } on Object {
      // Plugins throw errors of many kinds; the user can do the same about all of them.
      throw MicrophoneRefused.unusable;
    }
  }

  @override
  Future<Uint8List> stop() async {
    await _recorder?.stop();
    // The last samples come before the end of the stream.
    await _ended?.future.timeout(const Duration(seconds: 2), onTimeout: () {});
    final samples = _samples.takeBytes();
    await _release();
    return wavFile(samples, sampleRate: _sampleRate);
  }

  @override
  Future<void> cancel() async {
    if (_listening != null) await _recorder?.stop();
    await _release();
  }

  @override
  Future<void> dispose() async {
    await cancel();
    await _recorder?.dispose();
    _recorder = null;
  }

  Future<void> _release() async {
    await _listening?.cancel();
    _listening = null;
    _ended = null;
    _samples = BytesBuilder(copy: false);
  }
}
