import 'package:agentroute_chat/features/chat/presentation/cards/loose_json.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/summary.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('a call is one line', () {
    expect(summarise('{"city": "Paris", "days": 3}'), 'city: Paris, days: 3');
    expect(summarise('{"city": "Paris"}'), 'Paris');
    expect(summarise('{"title": "A chart", "rows": []}'), 'A chart');
    expect(summarise('{"rows": [{}, {}]}'), '2 items');
    expect(summarise('{"city": "Par'), '{"city": "Par');
    expect(summarise('{"text": "${'x' * 200}"}').length, lessThanOrEqualTo(60));
  });

  test('a number without an end is shown, too', () {
    expect(summarise('{"a": {"size": 1e999}, "b": 1}'), 'a: {"size":"Infinity"}, b: 1');
    expect(laidOut('[1e999]'), '[\n  "Infinity"\n]');
    expect(isSendable(parsedJson('{"a": [1, 2]}')), isTrue);
    expect(isSendable(parsedJson('{"a": [1, 1e999]}')), isFalse);
  });
}
