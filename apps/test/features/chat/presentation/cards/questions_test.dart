import 'package:agentroute_chat/features/chat/data/models/chat_message.dart';
import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/question_draft.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/questions.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  const messages = [
    AssistantMessage(
      id: 'a-1',
      toolCalls: [ToolCall(id: 'c-1', name: 'send_mail', arguments: '{"to": "ada"}')],
    ),
  ];

  Question question(String reason, [Map<String, dynamic> schema = const {}]) {
    return Question.of(Interrupt(id: 'i-1', reason: reason, toolCallId: 'c-1', responseSchema: schema), messages);
  }

  Map<String, dynamic> schema(Map<String, String> types, {List<String> needed = const []}) {
    return {
      'type': 'object',
      'properties': {
        for (final entry in types.entries) entry.key: {'type': entry.value},
      },
      'required': needed,
    };
  }

  test('the kind of a question is in its reason and its schema', () {
    expect(question('tool_approval').kind, QuestionKind.approval);
    expect(question('budget_exhausted').kind, QuestionKind.approval);
    expect(question('connection_required').kind, QuestionKind.connection);
    expect(question('other', schema({'approved': 'boolean'})).kind, QuestionKind.approval);
    expect(question('other', schema({'name': 'string'})).kind, QuestionKind.form);
    expect(question('other').kind, QuestionKind.notice);
  });

  test('what an approval has besides is asked for', () {
    expect(question('tool_approval', schema({'approved': 'boolean', 'note': 'string'})).newExtras(), isNull);
    final asked = question(
      'other',
      schema({'approved': 'boolean', 'amount': 'integer'}, needed: ['approved', 'amount']),
    );
    expect(asked.kind, QuestionKind.approval);
    final draft = QuestionDraft(asked);
    expect(draft.approved(asked), isNull, reason: 'the amount is missing');
    expect(draft.extras!.complaintAbout(draft.extras!.fields.single), isNotNull);
    draft.extras!.write(draft.extras!.fields.single, '3');
    expect(draft.approved(asked)?.payload, {'approved': true, 'amount': 3});
    expect(draft.declined(asked).status, 'cancelled', reason: 'a refusal with a payload would lack the amount');
  });

  test('changed arguments that are no JSON object are not sent, and not replaced by the old ones', () {
    final asked = question('tool_approval', schema({'approved': 'boolean', 'input': 'object'}));
    final draft = QuestionDraft(asked)..edit(asked);
    final form = draft.arguments!;
    for (final text in ['[1]', '"ada"', 'null', '{"to":', '']) {
      form.write(form.fields.single, text);
      expect(draft.approved(asked), isNull, reason: text);
      expect(form.complaintAbout(form.fields.single), isNotNull, reason: text);
    }
    form.write(form.fields.single, '{"to": "bob"}');
    expect(draft.approved(asked)?.payload, {
      'approved': true,
      'input': {'to': 'bob'},
    });
  });

  test('a page of a login is one of the web', () {
    Uri? page(String url) {
      return loginPageOf(Interrupt(id: 'i-1', reason: 'connection_required', metadata: {'url': url}));
    }

    expect(page('https://login.example.com/a'), isNotNull);
    expect(page('javascript:alert(1)'), isNull);
    expect(page('file:///etc/passwd'), isNull);
    expect(page(''), isNull);
  });

  test('arguments are sent only if they were changed', () {
    final asked = question('tool_approval', schema({'approved': 'boolean', 'input': 'object'}));
    expect(asked.arguments, {'to': 'ada'});
    expect(asked.approve(changed: {'to': 'ada'}).payload, {'approved': true});
    expect(asked.approve(changed: {'to': 'bob'}).payload, {
      'approved': true,
      'input': {'to': 'bob'},
    });
  });

  test('a reason to decline goes where the question has a place for it', () {
    final asked = question('tool_approval', schema({'approved': 'boolean', 'comment': 'string'}));
    expect(asked.decline(reason: ' too late ').payload, {'approved': false, 'comment': 'too late'});
    expect(question('tool_approval').decline(reason: 'too late').payload, {'approved': false});
    expect(question('connection_required').decline().status, 'cancelled');
  });

  test('the time for an answer is told in words', () {
    final now = DateTime.utc(2026, 11, 27, 12);
    String? words(Duration left) => expiryWords(now.add(left), now);
    expect(expiryWords(null, now), isNull);
    expect(words(Duration.zero), 'expired');
    expect(words(const Duration(seconds: 30)), 'expires in 30 s');
    expect(words(const Duration(minutes: 5)), 'expires in 5 min');
    expect(words(const Duration(hours: 2, minutes: 30)), 'expires in 2 h 30 min');
    expect(words(const Duration(days: 3)), 'expires in 3 days');
  });
}
