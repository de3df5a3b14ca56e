import 'dart:async';

import 'package:agentroute_chat/features/chat/data/services/link_state.dart';
import 'package:flutter/material.dart';

/// Says that the line is broken, if it stays so.
class ConnectionBanner extends StatefulWidget {
  const ConnectionBanner({required this.link, required this.isOpened, this.onRetry, super.key});

  /// A stream that comes back by itself within this time is nobody's business.
  static const patience = Duration(milliseconds: 2500);

  final LinkState link;

  /// Whether the conversation was there before the line broke.
  final bool isOpened;

  /// Tries at once.
  final VoidCallback? onRetry;

  @override
  State<ConnectionBanner> createState() => _ConnectionBannerState();
}

class _ConnectionBannerState extends State<ConnectionBanner> {
  Timer? _timer;
  bool _isLong = false;

  @override
  void initState() {
    super.initState();
    _watch();
  }

  @override
  void didUpdateWidget(ConnectionBanner oldWidget) {
    super.didUpdateWidget(oldWidget);
    if (oldWidget.link != widget.link) _watch();
  }

  @override
  void dispose() {
    _timer?.cancel();
    super.dispose();
  }

  /// Called where the widget is built anyway.
  void _watch() {
    // An attempt begins and fails within the same break.
    if (widget.link == LinkState.reconnecting || (_timer != null && widget.link == LinkState.connecting)) {
      _timer ??= Timer(ConnectionBanner.patience, () => setState(() => _isLong = true));
      return;
    }
    _timer?.cancel();
    _timer = null;
    _isLong = false;
  }

  @override
  Widget build(BuildContext context) {
    final retry = widget.onRetry;
    if (!_isLong) return const SizedBox.shrink();
    return MaterialBanner(
      leading: const Icon(Icons.cloud_off),
      content: Semantics(
        liveRegion: true,
        child: Text(
          widget.isOpened
              ? 'Connection lost. Reconnecting; the answer goes on meanwhile.'
              : 'The service cannot be reached. It is tried again.',
        ),
      ),
      actions: [
        if (retry == null)
          const SizedBox.square(dimension: 20, child: CircularProgressIndicator(strokeWidth: 2))
        else
          TextButton(onPressed: retry, child: const Text('Try again')),
      ],
    );
  }
}
