import 'package:flutter/services.dart';

enum EnterDoes { send, interrupt, newLine }

/// What the key Enter does in the composer; null for another key. Pure.
///
/// While an input method composes a word, Enter chooses it. On a phone Enter is a new line: there is a button to send.
EnterDoes? whatEnterDoes(
  LogicalKeyboardKey key, {
  required bool isShift,
  required bool isControl,
  required bool isComposing,
  required bool isBusy,
  required bool isTouch,
}) {
  if (key != LogicalKeyboardKey.enter && key != LogicalKeyboardKey.numpadEnter) return null;
  if (isComposing) return null;
  if (isShift) return EnterDoes.newLine;
  if (isControl) return isBusy ? EnterDoes.interrupt : EnterDoes.send;
  return isTouch ? EnterDoes.newLine : EnterDoes.send;
}
