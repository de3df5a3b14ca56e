import 'dart:async';
import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/presentation/microphone/sample_source.dart';
import 'package:agentroute_chat/features/chat/presentation/microphone/wav.dart';

/// The microphone. Tests have one of their own.
///
/// One call at a time: the next one waits for the end of the one before.
abstract interface class Recorder {
  /// Begins. Throws a [MicrophoneRefused] when there is no microphone, or it may not be used.
  Future<void> start();

  /// Ends the recording and returns it as a WAV file. Throws a [MicrophoneRefused] when the microphone has failed.
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

/// The microphone of the device: it collects samples, and makes a file of them.
class DeviceRecorder implements Recorder {
  DeviceRecorder({OpenSampleSource openSource = PlatformSampleSource.new, this.lastSamplesWithin = _patience})
      : _openSource = openSource;

  /// Enough for speech: 32 kB a second, so that ten minutes stay below the 25 MiB that the service takes.
  static const sampleRate = 16000;

  static const _patience = Duration(seconds: 2);

  /// How long a stopped microphone may take to hand over the rest.
  final Duration lastSamplesWithin;
  final OpenSampleSource _openSource;

  SampleSource? _source;
  StreamSubscription<Uint8List>? _listening;
  Completer<void>? _ended;
  BytesBuilder _samples = BytesBuilder(copy: false);

  @override
  Future<void> start() async {
    await cancel();
    try {
      // Made at the first use: a device without a microphone may still run the app.
      final source = _source ??= _openSource();
      if (!await source.isAllowed()) throw MicrophoneRefused.blocked;
      final samples = await source.start(sampleRate: sampleRate);
      final ended = _ended = Completer<void>();
      void end() {
        if (!ended.isCompleted) ended.complete();
      }

      _listening = samples.listen(_samples.add, onError: (Object _) => end(), onDone: end);
    } on MicrophoneRefused {
      rethrow;
    } on Object {
      // Plugins throw errors of many kinds; the user can do the same about all of them.
      throw MicrophoneRefused.unusable;
    }
  }

  @override
  Future<Uint8List> stop() async {
    try {
      await _source?.stop();
      // The last samples come before the end of the stream.
      await _ended?.future.timeout(lastSamplesWithin, onTimeout: () {});
      return wavFile(_samples.takeBytes(), sampleRate: sampleRate);
    } on Object {
      throw MicrophoneRefused.unusable;
    } finally {
      await _release();
    }
  }

  @override
  Future<void> cancel() async {
    try {
      if (_listening != null) await _source?.stop();
    } on Object {
      // What is thrown away need not end well.
    } finally {
      await _release();
    }
  }

  @override
  Future<void> dispose() async {
    await cancel();
    await _source?.dispose();
    _source = null;
  }

  Future<void> _release() async {
    final listening = _listening;
    _listening = null;
    _ended = null;
    _samples = BytesBuilder(copy: false);
    await listening?.cancel();
  }
}
