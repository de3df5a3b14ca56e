import 'dart:async';

import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/presentation/microphone/recorder.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/foundation.dart';

/// What a dictation is at.
sealed class Dictation {
  const Dictation();
}

class DictationIdle extends Dictation {
  const DictationIdle();
}

/// The system asks for the permission.
class DictationAsking extends Dictation {
  const DictationAsking();
}

class DictationRecording extends Dictation {
  const DictationRecording({required this.since});

  final DateTime since;
}

/// The recording is being written down.
class DictationWriting extends Dictation {
  const DictationWriting();
}

/// The recording is kept: it can be sent again.
class DictationFailed extends Dictation {
  const DictationFailed({required this.problem, required this.recording});

  final ShownProblem problem;
  final Uint8List recording;
}

class DictationRefused extends Dictation {
  const DictationRefused({required this.refusal});

  final MicrophoneRefused refusal;
}

/// From the microphone to text: asked for, recorded, written down.
class DictationController extends ChangeNotifier {
  DictationController({
    required AgUiService service,
    required Recorder recorder,
    required this.onText,
    this.longest = const Duration(minutes: 10),
  })  : _service = service,
        _recorder = recorder;

  final AgUiService _service;
  final Recorder _recorder;

  /// What was said.
  final void Function(String text) onText;

  /// The longest recording that the service takes.
  final Duration longest;

  Dictation _now = const DictationIdle();
  Timer? _end;
  bool _isDisposed = false;

  /// What an older dictation still tells is not listened to.
  int _turn = 0;

  /// The last thing that the microphone was asked for. It is asked for one thing at a time.
  Future<void> _asked = Future<void>.value();

  Dictation get now => _now;

  /// Begins, unless a dictation has begun already.
  Future<void> start() async {
    if (_now is! DictationIdle && _now is! DictationRefused) return;
    final turn = ++_turn;
    _set(const DictationAsking());
    try {
      await _inTurn(() async {
        // A permission can take long: who has cancelled meanwhile wants no recording any more.
        if (turn == _turn) await _recorder.start();
        if (turn != _turn) await _recorder.cancel();
      });
      if (turn != _turn) return;
      _end = Timer(longest, () => unawaited(finish()));
      _set(DictationRecording(since: DateTime.now()));
    } on MicrophoneRefused catch (refusal) {
      if (turn == _turn) _set(DictationRefused(refusal: refusal));
    }
  }

  /// Ends the recording, and has it written down.
  Future<void> finish() async {
    if (_now is! DictationRecording) return;
    final turn = ++_turn;
    _end?.cancel();
    _set(const DictationWriting());
    try {
      final recording = await _inTurn(_recorder.stop);
      if (turn == _turn) await _write(recording);
    } on MicrophoneRefused catch (refusal) {
      if (turn == _turn) _set(DictationRefused(refusal: refusal));
    }
  }

  Future<void> retry() async {
    final now = _now;
    if (now is! DictationFailed) return;
    ++_turn;
    _set(const DictationWriting());
    await _write(now.recording);
  }

  /// Throws everything away.
  Future<void> cancel() async {
    ++_turn;
    _end?.cancel();
    final wasRecording = _now is DictationRecording;
    _set(const DictationIdle());
    if (wasRecording) await _inTurn(_recorder.cancel);
  }

  @override
  void dispose() {
    _isDisposed = true;
    ++_turn;
    _end?.cancel();
    unawaited(_letGo());
    super.dispose();
  }

  Future<void> _letGo() async {
    try {
      await _inTurn(_recorder.dispose);
    } on Object catch (error) {
      debugPrint('The microphone could not be let go of: $error');
    }
  }

  Future<T> _inTurn<T>(Future<T> Function() work) {
    final mine = _asked.then((_) => work());
    _asked = mine.then<void>((_) {}, onError: (Object _) {});
    return mine;
  }

  Future<void> _write(Uint8List recording) async {
    final turn = _turn;
    try {
      final said = await _service.transcribe(recording, filename: 'recording.wav');
      if (turn != _turn) return;
      final text = said.text.trim();
      if (text.isEmpty) {
        _set(DictationFailed(problem: _nothingHeard, recording: recording));
        return;
      }
      _set(const DictationIdle());
      onText(text);
    } on Object catch (error) {
      if (turn == _turn) _set(DictationFailed(problem: ShownProblem.of(error), recording: recording));
    }
  }

  static const _nothingHeard = ShownProblem(code: 'audio-empty', message: 'No speech was heard.', isRetryable: false);

  void _set(Dictation now) {
    if (_isDisposed) return;
    _now = now;
    notifyListeners();
  }
}
