import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/data/models/thread_summary.dart';

export 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
export 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
export 'package:agentroute_chat/features/chat/data/models/thread_summary.dart' show ActiveRun, TokenTotals;

/// One consistent snapshot of a thread: its newest messages, or a page of older ones.
final class HistoryPage {
  const HistoryPage({
    required this.threadId,
    required this.cursor,
    this.messages = const [],
    this.agentId,
    this.title,
    this.state,
    this.pendingInterrupts = const [],
    this.activeRun,
    this.hasMore = false,
    this.nextBefore,
    this.usage = const TokenTotals(),
  });

  /// Throws a [FormatException] if it is no history. A message that is not known is an [UnknownMessage].
  factory HistoryPage.fromJson(Object? value) {
    final json = JsonObject.of(value, 'a history');
    final activeRun = json.objectOrNull('activeRun');
    return HistoryPage(
      threadId: json.text('threadId'),
      cursor: json.text('cursor'),
      messages: [for (final Object? each in json.list('messages')) ChatMessage.fromJson(each)],
      agentId: json.textOrNull('agentId'),
      title: json.textOrNull('title'),
      state: json.raw['state'],
      pendingInterrupts: [for (final each in json.objects('pendingInterrupts')) Interrupt.fromJson(each.raw)],
      activeRun: activeRun == null ? null : ActiveRun.fromJson(activeRun),
      hasMore: json.flagOrNull('hasMore') ?? false,
      nextBefore: json.textOrNull('nextBefore'),
      usage: TokenTotals.fromJson(json.objectOrNull('usage')),
    );
  }

  final String threadId;

  /// Following from here shows everything after exactly these messages, each event once.
  final String cursor;

  /// Oldest first. While a run is live, with its text so far.
  final List<ChatMessage> messages;
  final String? agentId;
  final String? title;

  /// The shared state.
  final Object? state;

  /// The questions that are open now.
  final List<Interrupt> pendingInterrupts;
  final ActiveRun? activeRun;
  final bool hasMore;

  /// `before` of the page with older messages.
  final String? nextBefore;
  final TokenTotals usage;
}
