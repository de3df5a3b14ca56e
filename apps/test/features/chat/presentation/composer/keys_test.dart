import 'package:agentroute_chat/features/chat/presentation/composer/keys.dart';
import 'package:flutter/services.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  EnterDoes? enter({
    bool isShift = false,
    bool isControl = false,
    bool isComposing = false,
    bool isBusy = false,
    bool isTouch = false,
  }) {
    return whatEnterDoes(
      LogicalKeyboardKey.enter,
      isShift: isShift,
      isControl: isControl,
      isComposing: isComposing,
      isBusy: isBusy,
      isTouch: isTouch,
    );
  }

  test('Enter sends on a keyboard, and is a new line on a phone', () {
    expect(enter(), EnterDoes.send);
    expect(enter(isTouch: true), EnterDoes.newLine);
    expect(enter(isShift: true), EnterDoes.newLine);
    expect(enter(isControl: true), EnterDoes.send);
    expect(enter(isControl: true, isBusy: true), EnterDoes.interrupt);
  });

  test('Enter chooses a word that is being composed', () {
    expect(enter(isComposing: true), isNull);
  });
}
