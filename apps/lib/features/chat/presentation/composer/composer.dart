import 'package:agentroute_chat/features/chat/presentation/composer/keys.dart';
import 'package:agentroute_chat/features/chat/presentation/composer/recording_bar.dart';
import 'package:agentroute_chat/features/chat/presentation/controllers/dictation_controller.dart';
import 'package:flutter/foundation.dart';
import 'package:flutter/material.dart';
import 'package:flutter/services.dart';

/// Where the user writes and speaks.
class Composer extends StatefulWidget {
  const Composer({
    required this.text,
    required this.isBusy,
    required this.onSend,
    required this.onInterrupt,
    required this.onStop,
    required this.dictation,
    super.key,
  });

  /// What is written, kept by the screen: dictation and messages that are taken back write to it.
  final TextEditingController text;

  /// Whether an answer grows, or is about to.
  final bool isBusy;
  final ValueChanged<String> onSend;

  /// Stops the answer and sends.
  final ValueChanged<String> onInterrupt;
  final VoidCallback onStop;
  final DictationController dictation;

  @override
  State<Composer> createState() => _ComposerState();
}

class _ComposerState extends State<Composer> {
  late final FocusNode _focus = FocusNode(onKeyEvent: _onKey);

  static bool get _isTouch {
    return defaultTargetPlatform == TargetPlatform.android || defaultTargetPlatform == TargetPlatform.iOS;
  }

  @override
  void dispose() {
    _focus.dispose();
    super.dispose();
  }

  KeyEventResult _onKey(FocusNode node, KeyEvent event) {
    if (event is! KeyDownEvent) return KeyEventResult.ignored;
    final pressed = HardwareKeyboard.instance;
    final does = whatEnterDoes(
      event.logicalKey,
      isShift: pressed.isShiftPressed || pressed.isAltPressed,
      isControl: pressed.isControlPressed || pressed.isMetaPressed,
      isComposing: widget.text.value.isComposingRangeValid && !widget.text.value.composing.isCollapsed,
      isBusy: widget.isBusy,
      isTouch: _isTouch,
    );
    switch (does) {
      case EnterDoes.send:
        _take(widget.onSend);
        return KeyEventResult.handled;
      case EnterDoes.interrupt:
        _take(widget.onInterrupt);
        return KeyEventResult.handled;
      case EnterDoes.newLine || null:
        return KeyEventResult.ignored;
    }
  }

  void _take(ValueChanged<String> send) {
    final text = widget.text.text.trim();
    if (text.isEmpty) return;
    widget.text.clear();
    send(text);
    // Whoever clicks on the button goes on writing; on a phone the keyboard stays as it is.
    if (!_isTouch) _focus.requestFocus();
  }

  @override
  Widget build(BuildContext context) {
    return SafeArea(
      top: false,
      child: Padding(
        padding: const EdgeInsets.fromLTRB(12, 4, 12, 12),
        child: ListenableBuilder(
          listenable: Listenable.merge([widget.text, widget.dictation]),
          builder: (context, _) => Column(
            mainAxisSize: MainAxisSize.min,
            children: [
              RecordingBar(dictation: widget.dictation),
              _field(),
            ],
          ),
        ),
      ),
    );
  }

  Widget _field() {
    final canSend = widget.text.text.trim().isNotEmpty;
    final isBusy = widget.isBusy;
    return Row(
      crossAxisAlignment: CrossAxisAlignment.end,
      children: [
        Expanded(
          child: TextField(
            controller: widget.text,
            focusNode: _focus,
            minLines: 1,
            maxLines: 6,
            keyboardType: TextInputType.multiline,
            textCapitalization: TextCapitalization.sentences,
            decoration: InputDecoration(
              labelText: isBusy ? 'Write the next message' : 'Write a message',
              floatingLabelBehavior: FloatingLabelBehavior.never,
            ),
          ),
        ),
        IconButton(
          tooltip: 'Dictate',
          icon: const Icon(Icons.mic_none),
          onPressed: widget.dictation.now is DictationIdle ? widget.dictation.start : null,
        ),
        if (isBusy)
          IconButton(tooltip: 'Stop', icon: const Icon(Icons.stop_circle_outlined), onPressed: widget.onStop),
        if (isBusy && canSend)
          PopupMenuButton<ValueChanged<String>>(
            tooltip: 'How to send',
            onSelected: _take,
            itemBuilder: (context) => [
              PopupMenuItem(value: widget.onSend, child: const Text('Send after this answer')),
              PopupMenuItem(value: widget.onInterrupt, child: const Text('Interrupt and send')),
            ],
          ),
        IconButton.filled(
          tooltip: isBusy ? 'Send after this answer' : 'Send',
          icon: const Icon(Icons.arrow_upward),
          onPressed: canSend ? () => _take(widget.onSend) : null,
        ),
      ],
    );
  }
}
