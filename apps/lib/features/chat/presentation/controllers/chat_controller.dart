import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/accepted_run.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/models/problem.dart';
import 'package:agentroute_chat/features/chat/data/models/run_input.dart';
import 'package:agentroute_chat/features/chat/data/services/ag_ui_service.dart';
import 'package:agentroute_chat/features/chat/data/services/link_state.dart';
import 'package:agentroute_chat/features/chat/data/services/thread_session.dart';
import 'package:agentroute_chat/features/chat/domain/chat_reducer.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/question_draft.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/questions.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/app_tool.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/message_edit.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/own_runs.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/thread_inputs.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/foundation.dart';

/// An open thread on the screen: what a [ThreadSession] tells, what the reducer makes of it, and what this app sends.
///
/// - A run is started and not awaited: its events come on the line of the thread, like those of other devices.
/// - What this app sends is shown at once, and again without it when the service refuses.
/// - What is sent again is the same input, so that a lost answer never means two runs.
class ChatController extends ChangeNotifier {
  ChatController({
    required AgUiService service,
    required this.threadId,
    required bool isNew,
    List<AppTool> tools = const [],
    List<UnsentMessage> unsent = const [],
    this.onActivity,
    this.agentId,
  })  : _service = service,
        _session = ThreadSession(service, threadId),
        _runner = ToolRunner(tools),
        _inputs = ThreadInputs(threadId: threadId, tools: [for (final tool in tools) tool.tool]),
        _isNew = isNew,
        _isOpened = isNew,
        _link = isNew ? LinkState.live : LinkState.connecting,
        _unsent = unsent,
        _state = ChatState(threadId: threadId) {
    _updates = _session.updates.listen(_take);
  }

  final AgUiService _service;
  final ThreadSession _session;
  late final StreamSubscription<ThreadUpdate> _updates;
  final ThreadInputs _inputs;
  final ToolRunner _runner;
  final String threadId;

  /// The agent of a new thread; the default one if null.
  final String? agentId;

  /// A run was accepted or has ended.
  final VoidCallback? onActivity;

  ChatState _state;
  LinkState _link;
  bool _isNew;
  bool _isOpened;
  bool _isGone = false;
  bool _isDisposed = false;
  bool _needsSignIn = false;
  bool _isAnswering = false;
  bool _isLoadingOlder = false;
  String? _title;
  ShownProblem? _openProblem;
  ShownProblem? _answerProblem;
  ShownProblem? _toolProblem;
  List<RunInput> _own = const [];
  List<UnsentMessage> _unsent;
  Set<String> _sending = const {};
  Set<String> _answered = const {};

  MessageEdit? _edited;

  /// Ids of calls and messages of reasoning that the user has unfolded.
  final Set<String> unfolded = {};

  /// By interrupt. They are kept here because a card that is scrolled away is gone.
  final Map<String, QuestionDraft> _drafts = {};

  /// The results of calls that the service has not accepted. They are sent again; the calls are not made again.
  RunInput? _refusedResults;

  /// Runs that this app has begun and has not seen the end of.
  final Set<String> _ownLive = {};

  ChatState get state => _state;

  /// The line to the service.
  LinkState get link => _link;

  /// The title of the thread when it was read; null if it had none.
  String? get title => _title;

  /// The messages are here, or the thread has none.
  bool get isOpened => _isOpened;

  /// The service has accepted nothing for this thread.
  bool get isNew => _isNew;

  /// The thread was deleted.
  bool get isGone => _isGone;

  /// The service wants a token, or another one.
  bool get needsSignIn => _needsSignIn;

  /// Why the thread could not be read, or is not followed any more.
  ShownProblem? get openProblem => _openProblem;

  /// Why the last answer to a question was refused.
  ShownProblem? get answerProblem => _answerProblem;

  /// Why the result of a tool of this app was refused.
  ShownProblem? get toolProblem => _toolProblem;

  bool get isAnswering => _isAnswering;

  bool get isLoadingOlder => _isLoadingOlder;

  /// Messages that the service has refused, oldest first.
  List<UnsentMessage> get unsent => _unsent;

  /// The thread's messages, with those of this app that are on their way.
  List<ChatMessage> get messages => withOwn(_state.messages, _own);

  /// Whether an answer grows, or is about to.
  bool get isBusy => _state.isRunning || _own.isNotEmpty;

  /// Whether a message is on its way to the service.
  bool isSending(String messageId) => _sending.contains(messageId);

  /// Whether a message of this app waits for its turn, behind a live run.
  bool isWaiting(String messageId) {
    return !isSending(messageId) &&
        _state.isRunning &&
        _own.any((input) => input.messages.any((message) => message.id == messageId));
  }

  /// Whether a question was answered; it goes with the next event.
  bool isAnswered(String interruptId) => _answered.contains(interruptId);

  /// What the user has written and decided about an open question.
  QuestionDraft draftOf(Question question) => _drafts.putIfAbsent(question.id, () => QuestionDraft(question));

  /// Reads the thread and follows it. A thread that nobody has begun is not asked for.
  void open() {
    final waits = _unsent.any((one) => one.problem.code == ShownProblem.network);
    if (!_isNew || waits) _session.open();
  }

  /// The app went to the background: lets go of the line.
  void pause() => _session.pause();

  /// The app is back: reads the history and follows it.
  void resume() => _session.resume();

  /// Reads everything again at once.
  void restart() {
    _openProblem = null;
    _notify();
    _session.restart();
  }

  /// Sends a message. A refusal is shown, not thrown; returns whether the message was accepted.
  Future<bool> send(String text, {String onBusy = 'enqueue', String onInterrupt = 'refuse'}) {
    return _send(
      _inputs.message(text, onBusy: onBusy, onInterrupt: onInterrupt, agentId: _isNew ? agentId : null),
    );
  }

  /// Sends a refused message again. With other options it is another request, so it gets another run.
  Future<bool> retry(String messageId, {String? onBusy, String? onInterrupt}) async {
    final unsent = _unsent.where((one) => one.id == messageId).firstOrNull;
    if (unsent == null) return false;
    return _send(_inputs.again(unsent.input, onBusy: onBusy, onInterrupt: onInterrupt));
  }

  /// Takes a refused message out, to change it or to forget it. Returns its text.
  String? takeBack(String messageId) {
    final text = _unsent.where((one) => one.id == messageId).firstOrNull?.text;
    _unsent = [
      for (final one in _unsent)
        if (one.id != messageId) one,
    ];
    _notify();
    return text;
  }

  /// Has a message of the user answered once more; what followed it is replaced. Throws what the service refuses.
  Future<void> answerAgain(String messageId) => _start(_inputs.regenerate(messageId));

  /// The message that is being changed; one at a time.
  MessageEdit? get edited => _edited;

  void beginEdit(UserMessage message) {
    _edited = MessageEdit(message);
    _notify();
  }

  void endEdit() {
    _edited = null;
    _notify();
  }

  /// Sends the changed message; what followed the old one is replaced. A refusal is shown, not thrown.
  Future<void> sendEdit() async {
    final edit = _edited;
    if (edit == null || edit.isSending || edit.isEmpty) return;
    edit
      ..isSending = true
      ..problem = null;
    try {
      await _start(edit.request(_inputs));
      if (_edited == edit) _edited = null;
    } on Object catch (error) {
      edit.problem = ShownProblem.of(error);
    } finally {
      edit.isSending = false;
      _notify();
    }
  }

  /// Answers all open questions at once. A refusal is shown, not thrown.
  Future<void> answer(List<ResumeAnswer> answers) async {
    if (_isAnswering || answers.isEmpty) return;
    _isAnswering = true;
    _answerProblem = null;
    _notify();
    try {
      await _start(_inputs.answers(answers));
      _answered = {..._answered, for (final one in answers) one.interruptId};
    } on Object catch (error) {
      final problem = ShownProblem.of(error);
      _answerProblem = problem;
      // What was answered elsewhere stays visible as that until the stream tells what came of it.
      if (isQuestionOver(problem)) _answered = {..._answered, for (final one in answers) one.interruptId};
    } finally {
      _isAnswering = false;
      _notify();
    }
  }

  /// Gives the user's own token for a server that a question names. Throws what the service refuses.
  Future<void> connectServer(String server, String token) => _service.connectServer(server, token);

  /// Stops the live run; what it has said is kept. Throws what the service refuses.
  Future<void> cancel() async {
    final runId = _state.isRunning ? _state.runId : _own.firstOrNull?.runId;
    if (runId == null) return;
    await _service.cancel(threadId: threadId, runId: runId);
  }

  /// Puts a page of older messages in front. Throws what the service refuses.
  Future<void> loadOlder() async {
    final before = _state.nextBefore;
    if (before == null || _isLoadingOlder) return;
    _isLoadingOlder = true;
    _notify();
    try {
      final page = await _service.history(threadId, before: before);
      if (before != _state.nextBefore) return;
      _state = withOlder(_state, page);
    } finally {
      _isLoadingOlder = false;
      _notify();
    }
  }

  /// Carries out the calls of this app's tools that the thread waits for, and sends their results.
  Future<void> carryOut() async {
    final results = await _runner.carryOut(_state);
    if (results != null && !_isDisposed) await _sendResults(_inputs.toolResults(results));
  }

  /// Sends the refused results of this app's tools again.
  Future<void> sendResults() async {
    final refused = _refusedResults;
    if (refused != null) await _sendResults(refused);
  }

  @override
  void dispose() {
    _isDisposed = true;
    unawaited(_updates.cancel());
    _session.close();
    super.dispose();
  }

  Future<bool> _send(RunInput input) async {
    final id = input.messages.last.id;
    _unsent = [
      for (final one in _unsent)
        if (one.id != id) one,
    ];
    _sending = {..._sending, id};
    _notify();
    try {
      await _start(input);
      return true;
    } on Object catch (error) {
      final problem = ShownProblem.of(error);
      _unsent = [..._unsent, UnsentMessage(input: input, problem: problem)];
      // The line of the thread knows when the network is back; a new thread has none yet.
      if (problem.code == ShownProblem.network) _session.open();
      return false;
    } finally {
      _sending = {..._sending}..remove(id);
      _notify();
    }
  }

  Future<void> _sendResults(RunInput results) async {
    _refusedResults = null;
    _toolProblem = null;
    _notify();
    try {
      await _start(results);
    } on Object catch (error) {
      _refusedResults = results;
      _toolProblem = ShownProblem.of(error);
      _notify();
    }
  }

  Future<void> _start(RunInput input) async {
    _own = [..._own, input];
    _ownLive.add(input.runId);
    _notify();
    final AcceptedRun accepted;
    try {
      accepted = await _service.start(input);
    } on Object catch (error) {
      _own = [
        for (final one in _own)
          if (one.runId != input.runId) one,
      ];
      _ownLive.remove(input.runId);
      _noteSignIn(error);
      _notify();
      rethrow;
    }
    if (accepted.runId != input.runId) {
      // Answers may go on with the run that asked.
      _ownLive
        ..remove(input.runId)
        ..add(accepted.runId);
    }
    if (_isDisposed) return;
    _isNew = false;
    _needsSignIn = false;
    onActivity?.call();
    // A line that was given up is worth another try: the service has just answered.
    if (_openProblem != null) return restart();
    _session
      ..open()
      ..begun();
  }

  void _take(ThreadUpdate update) {
    switch (update) {
      case ThreadLoaded(:final page):
        _show(page);
      case ThreadEvent(:final envelope):
        _receive(envelope);
      case ThreadLink(:final state):
        _link = state;
        if (state == LinkState.live) unawaited(_sendAgain());
      case ThreadGone():
        _isGone = true;
      case ThreadFailed(:final error):
        _openProblem = ShownProblem.of(error);
        _noteSignIn(error);
    }
    _notify();
  }

  void _show(HistoryPage page) {
    _state = behindOlder(opened(page), _state);
    _title = page.title;
    _isOpened = true;
    _openProblem = null;
    _needsSignIn = false;
    _settle();
    if (page.activeRun == null && _own.isEmpty && _ownLive.isNotEmpty) {
      // A run of this app has ended while the line was away: its calls for the app are known by what they lack.
      _ownLive.clear();
      _state = _state.copyWith(pendingToolCallIds: unansweredCalls(_state));
      unawaited(carryOut());
    }
  }

  void _receive(AgUiEnvelope envelope) {
    _state = receive(_state, envelope);
    _settle();
    if (!envelope.event.isTerminal) return;
    onActivity?.call();
    // Only the app that began the run carries its calls out: others may have the same tools.
    if (_ownLive.remove(_state.runId)) unawaited(carryOut());
    // A snapshot was too large for the stream: the history has it.
    if (_state.isIncomplete) _session.restart();
  }

  /// Forgets what the stream has told meanwhile.
  void _settle() {
    _own = untold(_own, _state);
    final open = {for (final interrupt in _state.interrupts) interrupt.id};
    _answered = _answered.intersection(open);
    _drafts.removeWhere((id, _) => !open.contains(id));
    final edit = _edited;
    // Replaced meanwhile, by this app or by another one.
    if (edit != null && _state.message(edit.message.id) == null) _edited = null;
    if (open.isEmpty) _answerProblem = null;
    final results = _refusedResults?.messages.whereType<ToolMessage>();
    if (results != null && results.every((result) => _state.resultOf(result.toolCallId) != null)) {
      // Another device was faster, or only the reply was lost.
      _refusedResults = null;
      _toolProblem = null;
    }
    _unsent = [
      for (final one in _unsent)
        if (_state.message(one.id) == null) one,
    ];
  }

  /// The network is back: what only the network refused is sent, in the order in which it was written.
  Future<void> _sendAgain() async {
    if (_toolProblem?.code == ShownProblem.network) await sendResults();
    for (final one in _unsent) {
      // It may have been sent, or taken back, meanwhile.
      if (one.problem.code != ShownProblem.network || !_unsent.contains(one)) continue;
      if (!await retry(one.id)) return;
    }
  }

  void _noteSignIn(Object error) {
    if (error is ProblemException && error.code == ProblemCode.unauthenticated) _needsSignIn = true;
  }

  void _notify() {
    if (!_isDisposed) notifyListeners();
  }
}
