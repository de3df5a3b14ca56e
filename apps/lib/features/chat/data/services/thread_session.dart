import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';

/// What a [ThreadSession] tells.
sealed class ThreadUpdate {
  const ThreadUpdate();
}

/// The thread as it is now. It replaces what the app holds; the events behind it follow.
final class ThreadLoaded extends ThreadUpdate {
  const ThreadLoaded(this.page);

  final HistoryPage page;
}

/// The next event of the thread.
final class ThreadEvent extends ThreadUpdate {
  const ThreadEvent(this.envelope);

  final AgUiEnvelope envelope;
}

/// The line has changed.
final class ThreadLink extends ThreadUpdate {
  const ThreadLink(this.state);

  final LinkState state;
}

/// The thread was deleted. Nothing follows.
final class ThreadGone extends ThreadUpdate {
  const ThreadGone();
}

/// It cannot go on by itself. Nothing follows until [ThreadSession.restart].
final class ThreadFailed extends ThreadUpdate {
  const ThreadFailed(this.error);

  /// An [AgentRouteException] if the service refuses for good; anything else is a fault of the app.
  final Object error;
}

/// One thread on the screen of a phone.
///
/// It reads the history, and follows every run of the thread from there. The app calls [pause] when it goes to the
/// background: the line is dropped, because the system would cut it at some time, and would not say so. On [resume] the
/// history is read again, however long the pause was. So nothing is missed, and nothing is told twice.
///
/// 410 `events-expired` and 400 `cursor-ahead` mean that the place is not there any more: the history is read again.
/// A thread that nobody has begun is asked for again when [begun] is called, and now and then: another device may begin
/// it.
final class ThreadSession {
  ThreadSession(
    this._service,
    this.threadId, {
    this.limit = 50,
    Patience patience = const Patience(),
    Sleep sleep = Future<void>.delayed,
  })  : _patience = patience,
        _sleep = sleep;

  // The cursor of a thread that has no events yet.
  static const String _start = '0-0';
  static const Duration _firstPause = Duration(seconds: 2);
  static const Duration _lookAgain = Duration(seconds: 30);

  final AgUiService _service;
  final String threadId;

  /// How many of the newest messages the history has, at most 200.
  final int limit;
  final Patience _patience;
  final Sleep _sleep;
  final StreamController<ThreadUpdate> _updates = StreamController<ThreadUpdate>();

  /// Counts the beginnings and ends of reading: whoever finds another number than its own is not needed any more.
  int _epoch = 0;
  bool _isOpen = false;
  bool _isPaused = false;
  bool _isKnown = false;
  bool _isBegun = false;
  LinkState? _link;
  StreamSubscription<AgUiEnvelope>? _events;
  void Function()? _endOfEvents;
  Completer<void> _bell = Completer<void>();

  /// To be listened to once.
  Stream<ThreadUpdate> get updates => _updates.stream;

  /// Whether the service knows the thread.
  bool get isKnown => _isKnown;

  /// Begins to read.
  void open() {
    if (_isOpen || _updates.isClosed) return;
    _isOpen = true;
    _begin();
  }

  /// Lets go of the line: the app is in the background (`AppLifecycleState.paused`).
  void pause() {
    if (_isPaused || _updates.isClosed) return;
    _isPaused = true;
    _stop();
    _tellLink(LinkState.paused);
  }

  /// Reads the history again and follows it: the app is back (`AppLifecycleState.resumed`).
  void resume() {
    if (!_isPaused) return;
    _isPaused = false;
    _begin();
  }

  /// Reads everything again, for example after [ThreadFailed].
  void restart() {
    _stop();
    _begin();
  }

  /// The app has started the first run of the thread: looks for it at once.
  void begun() {
    _isBegun = true;
    _ring();
  }

  /// Lets go of the line for good.
  void close() {
    _stop();
    if (!_updates.isClosed) unawaited(_updates.close());
  }

  void _begin() {
    if (!_isOpen || _isPaused || _updates.isClosed) return;
    _epoch++;
    unawaited(_run(_epoch));
  }

  void _stop() {
    _epoch++;
    unawaited(_events?.cancel());
    _events = null;
    _endOfEvents?.call();
    _ring();
  }

  Future<void> _run(int epoch) async {
    _tellLink(LinkState.connecting);
    var failures = 0;
    while (epoch == _epoch) {
      final HistoryPage page;
      try {
        page = await _load();
      } on Object catch (error) {
        if (epoch != _epoch) return;
        if (error is! AgentRouteException || !mayPass(error)) {
          _fail(error);
          return;
        }
        failures++;
        _tellLink(LinkState.reconnecting);
        await _wait(_patience.pause(failures, base: _firstPause, atLeast: namedWait(error)));
        continue;
      }
      if (epoch != _epoch) return;
      _tell(ThreadLoaded(page));
      final hasRead = await _follow(page.cursor, epoch);
      if (epoch != _epoch) return;
      // A place that is never there must not be asked for without a pause.
      failures = hasRead ? 0 : failures + 1;
      if (!hasRead) await _wait(_patience.pause(failures, base: _firstPause));
    }
  }

  /// Reads the history; an empty one of a thread that nobody has begun.
  Future<HistoryPage> _load() async {
    try {
      final page = await _service.history(threadId, limit: limit);
      _isKnown = true;
      return page;
    } on ProblemException catch (error) {
      if (error.status != 404 || _isKnown) rethrow;
      return HistoryPage(threadId: threadId, cursor: _start);
    }
  }

  /// Reads events until the history has to be read again. Returns whether any came.
  Future<bool> _follow(String from, int epoch) async {
    var hasRead = false;
    while (epoch == _epoch) {
      final error = await _read(from, epoch, onEvent: () => hasRead = true);
      if (epoch != _epoch || error == null || _isPlaceGone(error)) return hasRead;
      if (error is! ProblemException || error.status != 404 || _isKnown) {
        _fail(error);
        return hasRead;
      }
      // Nobody has begun the thread.
      _tellLink(LinkState.live);
      // The app may have begun it while the answer was on its way.
      if (!_isBegun) await _wait(_lookAgain);
      _isBegun = false;
    }
    return hasRead;
  }

  /// Reads events to their end. Returns why they ended.
  Future<Object?> _read(String from, int epoch, {required void Function() onEvent}) {
    final end = Completer<Object?>();
    void finish([Object? error]) {
      if (!end.isCompleted) end.complete(error);
    }

    void onLink(LinkState state) {
      // A thread that nobody has begun is looked for again and again: no reason to say so each time.
      final isNews = state != LinkState.ended && (_isKnown || state == LinkState.live);
      if (epoch == _epoch && isNews) _tellLink(state);
    }

    _endOfEvents = finish;
    _events = _service.followThread(threadId: threadId, cursor: from, onLink: onLink).listen(
      (envelope) {
        if (epoch != _epoch) return;
        _isKnown = true;
        onEvent();
        _tell(ThreadEvent(envelope));
      },
      onError: (Object error) => finish(error),
      onDone: finish,
      cancelOnError: true,
    );
    return end.future;
  }

  static bool _isPlaceGone(Object error) {
    if (error is! ProblemException) return false;
    return error.status == 410 || error.code == ProblemCode.cursorAhead;
  }

  void _fail(Object error) {
    _epoch++;
    final isGone = error is ProblemException && error.status == 404;
    _tellLink(LinkState.ended);
    _tell(isGone ? const ThreadGone() : ThreadFailed(error));
  }

  /// Waits, or until somebody rings.
  Future<void> _wait(Duration pause) async {
    final bell = Completer<void>();
    _bell = bell;
    await Future.any<void>([_sleep(pause), bell.future]);
  }

  void _ring() {
    if (!_bell.isCompleted) _bell.complete();
  }

  void _tellLink(LinkState state) {
    if (_link == state) return;
    _link = state;
    _tell(ThreadLink(state));
  }

  void _tell(ThreadUpdate update) {
    if (!_updates.isClosed) _updates.add(update);
  }
}
