import 'package:agentroute_chat/features/chat/presentation/format/format.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('numbers are read in groups', () {
    expect(count(0), '0');
    expect(count(999), '999');
    expect(count(1234567), '1,234,567');
    expect(plural(1, 'token'), '1 token');
    expect(plural(2000, 'token'), '2,000 tokens');
  });

  test('times have a unit that fits', () {
    expect(duration(87), '87 ms');
    expect(duration(1240), '1.24 s');
    expect(duration(12400), '12.4 s');
    expect(duration(125000), '2 min 5 s');
    expect(duration(3780000), '1 h 3 min');
  });

  test('small costs do not look free, and unknown ones are not zero', () {
    expect(money('1.2'), r'$1.20');
    expect(money('0.00123'), r'$0.0012');
    expect(money('0.0000004'), r'$0.0000004');
    expect(money('0'), r'$0');
    expect(money('2', currency: 'CHF'), 'CHF 2.00');
    expect(money(null), 'unknown');
    expect(money('cheap'), 'unknown');
  });

  test('long texts are cut between characters', () {
    expect(cut('short', 5), 'short');
    expect(cut('😀😀😀', 2), '😀…');
  });

  test('a recording has a clock', () {
    expect(clock(const Duration(minutes: 1, seconds: 5)), '1:05');
  });
}
