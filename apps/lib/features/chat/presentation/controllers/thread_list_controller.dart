import 'package:agentroute_chat/features/chat/data/models/thread_summary.dart';
import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/foundation.dart';

/// The user's threads, newest activity first: pages, search, rename and delete.
class ThreadListController extends ChangeNotifier {
  ThreadListController({required AgUiService service}) : _service = service;

  final AgUiService _service;

  List<ThreadSummary> _threads = const [];
  String? _nextBefore;
  String _query = '';
  bool _isLoading = false;
  bool _isLoadingMore = false;
  bool _isDisposed = false;

  /// Titles of all threads seen so far, also of those that a search leaves out.
  final Map<String, String> _titles = {};
  ShownProblem? _problem;

  /// What an older request answers is not shown: the words may be others by then.
  int _turn = 0;

  List<ThreadSummary> get threads => _threads;

  String get query => _query;

  /// Nothing is known yet.
  bool get isLoading => _isLoading && _threads.isEmpty;

  bool get isLoadingMore => _isLoadingMore;

  bool get hasMore => _nextBefore != null;

  /// Why the list could not be read.
  ShownProblem? get problem => _problem;

  String? titleOf(String threadId) => _titles[threadId];

  /// Reads the list from its beginning. What was loaded behind the first page stays.
  Future<void> refresh() => _read(keepsRest: true);

  /// Shows the threads with these words; all of them without words.
  Future<void> search(String words) {
    _query = words.trim();
    return _read(keepsRest: false);
  }

  /// Reads the next page. Throws what the service refuses.
  Future<void> loadMore() async {
    final before = _nextBefore;
    if (before == null || _isLoadingMore) return;
    _isLoadingMore = true;
    _notify();
    final turn = _turn;
    try {
      final page = await _service.threads(query: _words, before: before);
      if (turn != _turn) return;
      final known = {for (final thread in _threads) thread.threadId};
      _threads = [
        ..._threads,
        for (final thread in page.threads)
          if (!known.contains(thread.threadId)) thread,
      ];
      _nextBefore = page.nextBefore;
    } finally {
      _isLoadingMore = false;
      _notify();
    }
  }

  /// Throws what the service refuses.
  Future<void> rename(String threadId, String title) async {
    final renamed = await _service.renameThread(threadId, title.trim());
    _threads = [for (final thread in _threads) thread.threadId == threadId ? renamed : thread];
    _notify();
  }

  /// Throws what the service refuses.
  Future<void> delete(String threadId) async {
    await _service.deleteThread(threadId);
    _threads = [
      for (final thread in _threads)
        if (thread.threadId != threadId) thread,
    ];
    _notify();
  }

  @override
  void dispose() {
    _isDisposed = true;
    super.dispose();
  }

  String? get _words => _query.isEmpty ? null : _query;

  Future<void> _read({required bool keepsRest}) async {
    final turn = ++_turn;
    _isLoading = true;
    if (!keepsRest) _threads = const [];
    _notify();
    try {
      final page = await _service.threads(query: _words);
      if (turn != _turn) return;
      // A page without a next one has everything: what else was loaded is gone.
      final rest = keepsRest && page.nextBefore != null ? _behind(page.threads) : const <ThreadSummary>[];
      _threads = [...page.threads, ...rest];
      if (rest.isEmpty) _nextBefore = page.nextBefore;
      _problem = null;
    } on Object catch (error) {
      if (turn != _turn) return;
      _problem = ShownProblem.of(error);
    }
    _isLoading = false;
    _notify();
  }

  /// The loaded threads that are older than a page.
  List<ThreadSummary> _behind(List<ThreadSummary> page) {
    final end = page.lastOrNull?.updatedAt;
    if (end == null) return const [];
    final inPage = {for (final thread in page) thread.threadId};
    return [
      for (final thread in _threads)
        if (!inPage.contains(thread.threadId) && (thread.updatedAt?.isBefore(end) ?? false)) thread,
    ];
  }

  void _notify() {
    for (final ThreadSummary(:threadId, :title) in _threads) {
      if (title != null) _titles[threadId] = title;
    }
    if (!_isDisposed) notifyListeners();
  }
}
