import 'dart:async';

import 'package:agentroute_chat/features/chat/presentation/problems/problem_words.dart';
import 'package:agentroute_chat/features/chat/presentation/theme.dart';
import 'package:flutter/material.dart';

/// Says in words what went wrong and what can be done; the exact refusal is folded.
class ProblemNote extends StatelessWidget {
  const ProblemNote({
    required this.code,
    required this.message,
    this.retryable,
    this.requestId,
    this.retryAt,
    this.onRetry,
    this.actions = const [],
    super.key,
  });

  final String code;
  final String message;
  final bool? retryable;
  final String? requestId;

  /// Before this time another try is refused again.
  final DateTime? retryAt;

  /// What is tried again, if anything can be.
  final VoidCallback? onRetry;

  /// Further buttons.
  final List<Widget> actions;

  @override
  Widget build(BuildContext context) {
    final scheme = Theme.of(context).colorScheme;
    final words = wordsOf(code, message, retryable: retryable);
    final retry = onRetry;
    return Card(
      color: scheme.errorContainer,
      margin: const EdgeInsets.symmetric(vertical: 8),
      child: Padding(
        padding: const EdgeInsets.all(12),
        child: Column(
          crossAxisAlignment: CrossAxisAlignment.start,
          children: [
            Semantics(
              liveRegion: true,
              child: Text.rich(
                TextSpan(
                  style: TextStyle(color: scheme.onErrorContainer),
                  children: [
                    TextSpan(text: words.title, style: const TextStyle(fontWeight: FontWeight.w600)),
                    if (words.advice.isNotEmpty) TextSpan(text: ' ${words.advice}'),
                  ],
                ),
              ),
            ),
            if (retry != null || actions.isNotEmpty)
              Padding(
                padding: const EdgeInsets.only(top: 8),
                child: Wrap(
                  spacing: 8,
                  children: [
                    if (retry != null) RetryButton(onPressed: retry, notBefore: retryAt),
                    ...actions,
                  ],
                ),
              ),
            _Details(code: code, message: message, requestId: requestId),
          ],
        ),
      ),
    );
  }
}

class _Details extends StatelessWidget {
  const _Details({required this.code, required this.message, required this.requestId});

  final String code;
  final String message;
  final String? requestId;

  @override
  Widget build(BuildContext context) {
    final request = requestId;
    return Theme(
      data: Theme.of(context).copyWith(dividerColor: Colors.transparent),
      child: ExpansionTile(
        title: Text('Details', style: Theme.of(context).textTheme.bodySmall),
        tilePadding: EdgeInsets.zero,
        expandedCrossAxisAlignment: CrossAxisAlignment.start,
        children: [
          SelectableText(message),
          SelectableText(request == null ? code : '$code · request $request', style: codeStyle(context)),
        ],
      ),
    );
  }
}

/// A button to try again, which counts the seconds down while the service would refuse.
class RetryButton extends StatefulWidget {
  const RetryButton({required this.onPressed, this.notBefore, super.key});

  final VoidCallback onPressed;
  final DateTime? notBefore;

  @override
  State<RetryButton> createState() => _RetryButtonState();
}

class _RetryButtonState extends State<RetryButton> {
  Timer? _timer;

  @override
  void initState() {
    super.initState();
    _count();
  }

  @override
  void didUpdateWidget(RetryButton oldWidget) {
    super.didUpdateWidget(oldWidget);
    if (oldWidget.notBefore != widget.notBefore) _count();
  }

  @override
  void dispose() {
    _timer?.cancel();
    super.dispose();
  }

  void _count() {
    _timer?.cancel();
    _timer = null;
    if (_seconds == 0) return;
    _timer = Timer.periodic(const Duration(milliseconds: 500), (timer) {
      if (_seconds == 0) timer.cancel();
      setState(() {});
    });
  }

  int get _seconds {
    final end = widget.notBefore;
    if (end == null) return 0;
    final left = end.difference(DateTime.now()).inMilliseconds;
    return left <= 0 ? 0 : (left / 1000).ceil();
  }

  @override
  Widget build(BuildContext context) {
    final seconds = _seconds;
    return FilledButton.tonalIcon(
      onPressed: seconds > 0 ? null : widget.onPressed,
      icon: const Icon(Icons.refresh),
      label: Text(seconds > 0 ? 'Try again in $seconds s' : 'Try again'),
    );
  }
}
