import 'dart:async';

import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/questions.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/schema_form.dart';
import 'package:agentroute_chat/features/chat/presentation/theme.dart';
import 'package:flutter/material.dart';

/// One open question: what is asked, and the buttons that answer it.
class QuestionCard extends StatefulWidget {
  const QuestionCard({
    required this.question,
    required this.onAnswer,
    this.onConnect,
    this.decided,
    this.onChange,
    this.isAnswered = false,
    this.isSending = false,
    super.key,
  });

  final Question question;
  final ValueChanged<ResumeAnswer> onAnswer;

  /// Lets the user log in where the question needs it.
  final Future<void> Function()? onConnect;

  /// Of several questions: what will be sent for this one.
  final ResumeAnswer? decided;

  /// Takes such a decision back.
  final VoidCallback? onChange;
  final bool isAnswered;
  final bool isSending;

  @override
  State<QuestionCard> createState() => _QuestionCardState();
}

class _QuestionCardState extends State<QuestionCard> {
  final TextEditingController _reason = TextEditingController();
  Timer? _clock;
  bool _isEditing = false;
  bool _asksReason = false;
  bool _isValid = true;
  Object? _edited;

  Question get _question => widget.question;

  @override
  void initState() {
    super.initState();
    if (_question.interrupt.expiresAt != null) {
      _clock = Timer.periodic(const Duration(seconds: 1), (_) => setState(() {}));
    }
  }

  @override
  void dispose() {
    _clock?.cancel();
    _reason.dispose();
    super.dispose();
  }

  @override
  Widget build(BuildContext context) {
    final theme = Theme.of(context);
    final now = DateTime.now();
    final expiry = expiryWords(_question.interrupt.expiresAt, now);
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
              ..._body(context, isExpired: _question.interrupt.isExpired(now)),
            ],
          ),
        ),
      ),
    );
  }

  List<Widget> _body(BuildContext context, {required bool isExpired}) {
    if (widget.isAnswered) return const [_Decided(words: 'Answered', isYes: true)];
    if (isExpired) return _expired();
    final decided = widget.decided;
    if (decided != null) return _decided(decided);
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
    final schema = _question.inputSchema;
    final call = _question.call;
    return [
      if (call != null && schema != null && _isEditing)
        SchemaForm(
          schema: schema,
          initial: _question.arguments,
          onChanged: (value, {required isValid}) => setState(() {
            _edited = value;
            _isValid = isValid;
          }),
        )
      else if (call != null) ...[
        const SizedBox(height: 8),
        Text(call.name, style: Theme.of(context).textTheme.labelLarge),
        SelectableText(laidOut(call.arguments), style: codeStyle(context)),
      ],
      if (_asksReason)
        Padding(
          padding: const EdgeInsets.only(top: 12),
          child: TextField(
            controller: _reason,
            decoration: const InputDecoration(labelText: 'Why not? The assistant reads it.'),
            maxLines: 3,
            minLines: 1,
          ),
        ),
      _buttons([
        _yes(_isEditing ? 'Approve with changes' : 'Approve', _isValid ? _approve : null),
        _no(_asksReason ? 'Decline with this reason' : 'Decline', _decline),
        if (schema != null && call != null && !_isEditing)
          TextButton(onPressed: () => setState(() => _isEditing = true), child: const Text('Edit')),
        if (_isEditing) TextButton(onPressed: _stopEditing, child: const Text('Undo changes')),
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
    return [
      SchemaForm(
        schema: _question.interrupt.responseSchema,
        initial: null,
        onChanged: (value, {required isValid}) => setState(() {
          _edited = value;
          _isValid = isValid;
        }),
      ),
      _buttons([
        _yes('Answer', _isValid && _edited != null ? () => widget.onAnswer(_question.answer(_edited)) : null),
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
      _buttons([_no('Go on without it', () => widget.onAnswer(_question.layAside()))]),
    ];
  }

  List<Widget> _decided(ResumeAnswer decided) {
    final payload = decided.payload;
    final isYes = decided.status == 'resolved' && !(payload is Map && payload['approved'] == false);
    return [
      _Decided(words: isYes ? 'Will be sent' : 'Will be declined', isYes: isYes),
      TextButton(onPressed: widget.onChange, child: const Text('Change')),
    ];
  }

  void _approve() {
    final edited = _edited;
    widget.onAnswer(_question.approve(changed: _isEditing && edited is Map<String, dynamic> ? edited : null));
  }

  void _decline() {
    // Where the question takes a reason, the first tap asks for it and the second one declines.
    if (_question.reasonName != null && !_asksReason) {
      setState(() => _asksReason = true);
    } else {
      widget.onAnswer(_question.decline(reason: _reason.text));
    }
  }

  void _stopEditing() {
    setState(() {
      _isEditing = false;
      _isValid = true;
      _edited = null;
    });
  }

  Widget _buttons(List<Widget> children) {
    return Padding(
      padding: const EdgeInsets.only(top: 12),
      child: Wrap(spacing: 8, runSpacing: 4, children: children),
    );
  }

  Widget _yes(String words, VoidCallback? onPressed) {
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
        children: [Icon(isYes ? Icons.check : Icons.close, size: 18), const SizedBox(width: 8), Text(words)],
      ),
    );
  }
}
