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

  test('JSON is compared by what it says', () {
    expect(sameJson({'a': [1, {'b': null}]}, {'a': [1, {'b': null}]}), isTrue);
    expect(sameJson({'a': null}, {'b': null}), isFalse);
    expect(sameJson([1, 2], [2, 1]), isFalse);
  });
}
