import 'dart:async';
import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/services/http_ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/data/services/reconnect.dart';
import 'package:agentroute_chat/features/chat/data/services/thread_session.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/fake_http.dart';

void main() {
  test('reads the history, then follows from its cursor', () async {
    final seen = _Seen(FakeHttp([_history('1-1'), sseOf(_open([_text('1-2'), _text('1-3')]))]));
    await seen.until('event 1-3');
    expect(seen.told, ['connecting', 'loaded 1-1', 'live', 'event 1-2', 'event 1-3']);
    expect(seen.asked, ['history', 'events 1-1']);
  });

  test('lets go of the line when the app pauses, and reads the history when it is back', () async {
    final letGo = Completer<void>();
    final body = _open([_text('1-2')], onCancel: letGo.complete);
    final seen = _Seen(FakeHttp([_history('1-1'), sseOf(body), _history('2-5'), sseOf(_open([_text('2-6')]))]));
    await seen.until('event 1-2');
    seen.session.pause();
    await letGo.future;
    await pumpEventQueue();
    expect(seen.told.last, 'paused');
    expect(seen.asked, hasLength(2));
    seen.session.resume();
    await seen.until('event 2-6');
    expect(seen.told.sublist(seen.told.indexOf('paused')), ['paused', 'connecting', 'loaded 2-5', 'live', 'event 2-6']);
    expect(seen.asked.sublist(2), ['history', 'events 2-5']);
  });

  test('a pause while the history is on its way asks for nothing more', () async {
    final slow = Completer<void>();
    final seen = _Seen(
      FakeHttp([
        (request) async {
          await slow.future;
          return _history('1-1')(request);
        },
        _history('1-2'),
        sseOf(_open([_text('1-3')])),
      ]),
    );
    await seen.until('connecting');
    seen.session.pause();
    slow.complete();
    await pumpEventQueue();
    expect(seen.told, ['connecting', 'paused']);
    expect(seen.asked, ['history']);
    seen.session.resume();
    await seen.until('event 1-3');
    expect(seen.told, isNot(contains('loaded 1-1')));
  });

  for (final (status, code) in [(410, 'events-expired'), (400, 'cursor-ahead')]) {
    test('$code: the history is read again, and followed', () async {
      final seen = _Seen(
        FakeHttp([_history('1-1'), problem(status, code), _history('5-9'), sseOf(_open([_text('5-10')]))]),
      );
      await seen.until('event 5-10');
      expect(seen.told.where((each) => each.startsWith('loaded')), ['loaded 1-1', 'loaded 5-9']);
      expect(seen.asked, ['history', 'events 1-1', 'history', 'events 5-9']);
    });
  }

  test('a thread that is deleted while it is followed is gone', () async {
    final seen = _Seen(FakeHttp([_history('1-1'), sse(_text('1-2')), problem(404, 'not-found')]));
    await seen.until('gone');
    expect(seen.told.sublist(seen.told.length - 2), ['ended', 'gone']);
  });

  test('a thread that nobody has begun is looked for when it is begun', () async {
    final http = FakeHttp([
      problem(404, 'not-found'),
      problem(404, 'not-found'),
      sseOf(_open([_text('1-1')])),
    ]);
    final seen = _Seen(http, sleep: (pause) => Completer<void>().future);
    await seen.until('live');
    expect(seen.told, ['connecting', 'loaded 0-0', 'live']);
    expect(seen.session.isKnown, isFalse);
    seen.session.begun();
    await seen.until('event 1-1');
    expect(seen.asked, ['history', 'events 0-0', 'events 0-0']);
    expect(seen.session.isKnown, isTrue);
  });

  test('a history that cannot be read is read again', () async {
    final http = FakeHttp([for (var n = 0; n < 7; n++) noAnswer(), _history('1-1'), sseOf(_open([]))]);
    final seen = _Seen(http);
    await seen.until('live');
    expect(seen.told, ['connecting', 'reconnecting', 'loaded 1-1', 'connecting', 'live']);
  });

  test('a refusal is told, and what the user does about it is tried', () async {
    final http = FakeHttp([problem(403, 'forbidden'), _history('1-1'), sseOf(_open([_text('1-2')]))]);
    final seen = _Seen(http);
    await seen.until('failed forbidden');
    seen.session.restart();
    await seen.until('event 1-2');
  });

  test('a fault of the app is told, and is no broken line', () async {
    final http = FakeHttp([_history('1-1'), (request) => throw StateError('a fault'), _history('1-1')]);
    final seen = _Seen(http);
    await seen.until('failed Bad state: a fault');
    expect(seen.told.sublist(seen.told.length - 2), ['ended', 'failed Bad state: a fault']);
    expect(seen.asked, ['history', 'events 1-1']);

    final unread = _Seen(FakeHttp([(request) => throw StateError('a fault')]));
    await unread.until('failed Bad state: a fault');
    expect(unread.told, ['connecting', 'ended', 'failed Bad state: a fault']);
  });

  test('nothing is told after it is closed', () async {
    final seen = _Seen(FakeHttp([_history('1-1'), sseOf(_open([_text('1-2')]))]));
    await seen.until('event 1-2');
    seen.session.close();
    final count = seen.told.length;
    seen.session
      ..pause()
      ..resume()
      ..restart()
      ..begun();
    await pumpEventQueue();
    expect(seen.told, hasLength(count));
  });
}

/// A session, and what it has told.
class _Seen {
  _Seen(this._http, {Sleep? sleep}) {
    Future<void> atOnce(Duration pause) async {}
    session = ThreadSession(
      HttpAgUiService(address: 'http://chat.test', openClient: _http.open, sleep: atOnce),
      't-1',
      sleep: sleep ?? atOnce,
    );
    session.updates.listen((update) {
      told.add(_words(update));
      _news.complete();
      _news = Completer<void>();
    });
    session.open();
    addTearDown(session.close);
  }

  final FakeHttp _http;
  late final ThreadSession session;
  final List<String> told = [];
  Completer<void> _news = Completer<void>();

  /// What was asked of the service.
  List<String> get asked {
    return [
      for (final request in _http.requests)
        if (request.path.endsWith('/history')) 'history' else 'events ${request.url.queryParameters['cursor']}',
    ];
  }

  Future<void> until(String words) async {
    while (!told.contains(words)) {
      await _news.future;
    }
  }

  static String _words(ThreadUpdate update) {
    return switch (update) {
      ThreadLoaded(:final page) => 'loaded ${page.cursor}',
      ThreadEvent(:final envelope) => 'event ${envelope.cursor}',
      ThreadLink(:final state) => state.name,
      ThreadFailed(:final error) => 'failed ${error is ProblemException ? error.code : error}',
      ThreadGone _ => 'gone',
    };
  }
}

Answer _history(String cursor) => json({'threadId': 't-1', 'messages': <Object>[], 'cursor': cursor});

String _text(String cursor) => frame(cursor, {'type': 'TEXT_MESSAGE_CONTENT', 'messageId': 'm', 'delta': 'x'});

/// A body that stays open.
StreamController<List<int>> _open(List<String> frames, {void Function()? onCancel}) {
  final body = StreamController<List<int>>(onCancel: onCancel);
  for (final each in frames) {
    body.add(utf8.encode(each));
  }
  return body;
}
