import 'package:flutter/material.dart';

/// A list that begins at its end, with a button that leads back there from far away.
class FromTheEnd extends StatefulWidget {
  const FromTheEnd({required this.list, super.key});

  /// Makes the list, which counts its places from the newest one and is scrolled by the controller.
  final Widget Function(ScrollController scroll) list;

  @override
  State<FromTheEnd> createState() => _FromTheEndState();
}

class _FromTheEndState extends State<FromTheEnd> {
  /// Pixels from which on the end is out of sight.
  static const _far = 300.0;

  final ScrollController _scroll = ScrollController();
  bool _isAway = false;

  @override
  void initState() {
    super.initState();
    _scroll.addListener(_look);
  }

  @override
  void dispose() {
    _scroll.dispose();
    super.dispose();
  }

  void _look() {
    final isAway = _scroll.offset > _far;
    if (isAway != _isAway) setState(() => _isAway = isAway);
  }

  @override
  Widget build(BuildContext context) {
    return Stack(
      children: [
        Positioned.fill(child: widget.list(_scroll)),
        if (_isAway)
          Align(
            alignment: Alignment.bottomCenter,
            child: Padding(
              padding: const EdgeInsets.only(bottom: 8),
              child: IconButton.filledTonal(
                tooltip: 'To the newest message',
                icon: const Icon(Icons.arrow_downward),
                // At once: on the way each message would have to be laid out.
                onPressed: () => _scroll.jumpTo(0),
              ),
            ),
          ),
      ],
    );
  }
}
