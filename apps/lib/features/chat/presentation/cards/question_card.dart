import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/question_draft.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/questions.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/schema_form.dart';
import 'package:agentroute_chat/features/chat/presentation/theme.dart';
import 'package:flutter/material.dart';

/// One open question: what is asked, and the buttons that answer it.
class QuestionCard extends StatefulWidget {
  const QuestionCard({
    required this.question,
    required this.draft,
    required this.now,
    required this.onAnswer,
    this.onConnect,
    this.onChange,
    this.isOnly = true,
    this.answered,
    this.isSending = false,
    super.key,
  });

  final Question question;

  /// What the user has written and decided so far; the thread keeps it.
  final QuestionDraft draft;
  final DateTime now;
  final ValueChanged<ResumeAnswer> onAnswer;

  /// Lets the user log in where the question needs it.
  final Future<void> Function()? onConnect;

  /// Of several questions: takes a decision back.
  final VoidCallback? onChange;

  /// No other question is open: its answer is sent at once.
  final bool isOnly;

  /// How the question was answered; null while it was not.
  final String? answered;
  final bool isSending;

  @override
  State<QuestionCard> createState() => _QuestionCardState();
}

class _QuestionCardState extends State<QuestionCard> {
  late final TextEditingController _reason = TextEditingController(text: widget.draft.reason);

  Question get _question => widget.question;

  QuestionDraft get _draft => widget.draft;

  @override
  void dispose() {
    _reason.dispose();
    super.dispose();
  }

  @override
  Widget build(BuildContext context) {
    final theme = Theme.of(context);
    final expiry = expiryWords(_question.interrupt.expiresAt, widget.now);
    return Semantics(
      container: true,
      child: Card(
        margin: const EdgeInsets.symmetric(vertical: 8),
        color: theme.colorScheme.secondaryContainer,
        child: Padding(
          padding: const EdgeInsets.all(16),
          child: Column(
            crossAxisAlignment: CrossAxisAlignment.start,
            children: [
              Semantics(header: true, child: Text(_question.title, style: theme.textTheme.titleMedium)),
              if (expiry != null) Text(expiry, style: theme.textTheme.bodySmall),
              const SizedBox(height: 8),
              Text(_question.message),
              ..._body(context),
            ],
          ),
        ),
      ),
    );
  }

  List<Widget> _body(BuildContext context) {
    final answered = widget.answered;
    if (answered != null) return [_Decided(words: answered, isYes: true)];
    if (_question.interrupt.isExpired(widget.now)) return _expired();
    final decided = _draft.decided;
    if (decided != null && !widget.isOnly) return _decided(decided);
    return switch (_question.kind) {
      QuestionKind.approval => _approval(context),
      QuestionKind.connection => _connection(),
      QuestionKind.form => _form(),
      QuestionKind.notice => [
          _buttons([
            _yes('Go on', () => widget.onAnswer(_question.approve())),
            _no('Decline', () => widget.onAnswer(_question.decline())),
          ]),
        ],
    };
  }

  List<Widget> _approval(BuildContext context) {
    final call = _question.call;
    final changes = _draft.arguments;
    final extras = _draft.extras;
    final asksReason = _draft.reason != null;
    return [
      if (changes != null)
        SchemaForm(draft: changes)
      else if (call != null) ...[
        const SizedBox(height: 8),
        Text(call.name, style: Theme.of(context).textTheme.labelLarge),
        SelectableText(laidOut(call.arguments), style: codeStyle(context)),
      ],
      if (extras != null) SchemaForm(draft: extras),
      if (asksReason)
        Padding(
          padding: const EdgeInsets.only(top: 12),
          child: TextField(
            controller: _reason,
            decoration: const InputDecoration(labelText: 'Why not? The assistant reads it.'),
            maxLines: 3,
            minLines: 1,
            onChanged: (text) => _draft.reason = text,
          ),
        ),
      _buttons([
        _yes(changes == null ? 'Approve' : 'Approve with changes', () => _send(_draft.approved(_question))),
        _no(asksReason ? 'Decline with this reason' : 'Decline', _decline),
        if (_question.isEditable && changes == null)
          TextButton(onPressed: () => setState(() => _draft.edit(_question)), child: const Text('Edit')),
        if (changes != null)
          TextButton(
            onPressed: () => setState(() => _draft.arguments = null),
            child: const Text('Undo changes'),
          ),
      ]),
    ];
  }

  List<Widget> _connection() {
    final connect = widget.onConnect;
    return [
      _buttons([
        if (connect != null) FilledButton.tonal(onPressed: connect, child: const Text('Log in')),
        _yes('Go on', () => widget.onAnswer(_question.approve())),
        _no('Go on without the login', () => widget.onAnswer(_question.decline())),
      ]),
    ];
  }

  List<Widget> _form() {
    final answer = _draft.answer;
    return [
      if (answer != null) SchemaForm(draft: answer),
      _buttons([
        _yes('Answer', () => _send(_draft.answered(_question))),
        _no('Do not answer', () => widget.onAnswer(_question.decline())),
      ]),
    ];
  }

  List<Widget> _expired() {
    return [
      const SizedBox(height: 8),
      const Text(
        'Nobody answered in time, so nothing was done. You can go on without it, or write a new message.',
      ),
      // Of several, the button below all of them lays it aside.
      if (widget.isOnly) _buttons([_no('Go on without it', () => widget.onAnswer(_question.layAside()))]),
    ];
  }

  List<Widget> _decided(ResumeAnswer decided) {
    final payload = decided.payload;
    final isYes = decided.status == 'resolved' && !(payload is Map<String, dynamic> && payload['approved'] == false);
    return [
      _Decided(words: decisionWords(_question.kind, isYes: isYes), isYes: isYes),
      TextButton(onPressed: widget.onChange, child: const Text('Change')),
    ];
  }

  /// Sends an answer. Without one something that was written does not fit: the form says what.
  void _send(ResumeAnswer? answer) {
    setState(() {});
    if (answer != null) widget.onAnswer(answer);
  }

  void _decline() {
    // Where the question takes a reason, the first tap asks for it and the second one declines.
    if (_question.reasonName != null && _draft.reason == null) {
      setState(() => _draft.reason = '');
    } else {
      widget.onAnswer(_draft.declined(_question));
    }
  }

  Widget _buttons(List<Widget> children) {
    return Padding(
      padding: const EdgeInsets.only(top: 12),
      child: Wrap(spacing: 8, runSpacing: 4, children: children),
    );
  }

  Widget _yes(String words, VoidCallback onPressed) {
    return FilledButton(onPressed: widget.isSending ? null : onPressed, child: Text(words));
  }

  Widget _no(String words, VoidCallback onPressed) {
    return OutlinedButton(onPressed: widget.isSending ? null : onPressed, child: Text(words));
  }
}

class _Decided extends StatelessWidget {
  const _Decided({required this.words, required this.isYes});

  final String words;
  final bool isYes;

  @override
  Widget build(BuildContext context) {
    return Padding(
      padding: const EdgeInsets.only(top: 12),
      child: Row(
        children: [
          Icon(isYes ? Icons.check : Icons.close, size: 18),
          const SizedBox(width: 8),
          Expanded(child: Text(words)),
        ],
      ),
    );
  }
}
