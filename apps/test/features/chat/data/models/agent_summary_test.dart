import 'package:agentroute_chat/features/chat/data/models/agent_summary.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('the agents of a service are read, with what is new to this version left out', () {
    final agents = AgentSummary.listFromJson({
      'agents': [
        {
          'id': 'default',
          'name': 'Assistant',
          'description': 'Answers questions.',
          'greeting': 'Hello!',
          'suggestions': ['What is 6*7?'],
          'default': true,
          'tools': <Object>[],
        },
        {'id': 'coder', 'greeting': null},
      ],
    });
    expect([for (final agent in agents) agent.id], ['default', 'coder']);
    expect(agents.first.suggestions, ['What is 6*7?']);
    expect((agents.first.isDefault, agents.last.isDefault, agents.last.greeting), (true, false, null));
  });

  test('another answer is refused', () {
    expect(() => AgentSummary.listFromJson({'agents': 'none'}), throwsFormatException);
    expect(() => AgentSummary.listFromJson(<Object>[]), throwsFormatException);
  });
}
