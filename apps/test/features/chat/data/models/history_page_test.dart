import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/models/thread_summary.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('a message that is not known does not hide the others', () {
    final page = HistoryPage.fromJson(const {
      'threadId': 't',
      'cursor': '3-17',
      'messages': [
        {'id': 'm-1', 'role': 'user', 'content': 'hello'},
        {'id': 'm-2', 'role': 'oracle'},
      ],
      'hasMore': true,
      'nextBefore': 'm-1',
    });
    expect(page.messages, hasLength(2));
    expect(page.messages.last, isA<UnknownMessage>());
    expect((page.hasMore, page.nextBefore), (true, 'm-1'));
    expect((page.title, page.state, page.activeRun, page.usage.cost), (null, null, null, null));
  });

  test('what is no history is refused', () {
    for (final value in <Object?>[null, 'x', <String, dynamic>{}, {'threadId': 't', 'messages': <Object>[]}]) {
      expect(() => HistoryPage.fromJson(value), throwsFormatException, reason: '$value');
    }
  });

  test('a page of threads', () {
    final page = ThreadPage.fromJson(const {
      'threads': [
        {
          'threadId': 't-1',
          'agentId': 'default',
          'title': null,
          'createdAt': '2026-11-27T18:00:00Z',
          'updatedAt': '2026-11-27T18:00:00.123456Z',
          'messageCount': 4,
          'activeRun': {'runId': 'r', 'status': 'running', 'eventsUrl': '/e'},
          'pendingInterrupts': 1,
          'usage': {'inputTokens': 3, 'outputTokens': 4, 'cost': null, 'costComplete': false},
        },
      ],
      'nextBefore': 'b',
    });
    final thread = page.threads.single;
    expect(thread.title, isNull);
    expect(thread.createdAt, DateTime.utc(2026, 11, 27, 18));
    expect(thread.activeRun?.status, 'running');
    expect(thread.pendingInterrupts, 1);
    expect(thread.usage.isCostComplete, isFalse);
    expect(page.nextBefore, 'b');
  });
}
