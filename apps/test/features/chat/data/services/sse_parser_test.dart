import 'dart:convert';

import 'package:agentroute_chat/features/chat/data/services/sse_parser.dart';
import 'package:flutter_test/flutter_test.dart';

import '../../../../support/contract.dart';

void main() {
  group('frames are the same wherever the body is cut:', () {
    for (final example in contractCases('sse/frames.json')) {
      test('${example['name']}', () {
        final body = bodyOf(example);
        for (var cut = 0; cut <= body.length; cut++) {
          _expectFrames([body.sublist(0, cut), body.sublist(cut)], example);
        }
        _expectFrames([for (final byte in body) [byte]], example);
      });
    }
  });

  test('every recorded stream is read, one byte at a time', () {
    for (final MapEntry(key: name, value: frames) in recordedStreams().entries) {
      final parser = SseParser();
      final found = <SseFrame>[
        for (final byte in utf8.encode(frames.join())) ...parser.feed([byte]),
      ];
      expect(found.length, frames.length, reason: name);
      for (final frame in found) {
        expect(jsonDecode(frame.data), isA<Map<String, dynamic>>(), reason: name);
        expect(frame.id, isNotEmpty, reason: name);
      }
    }
  });
}

void _expectFrames(List<List<int>> chunks, Map<String, dynamic> example) {
  final parser = SseParser();
  final frames = [
    for (final chunk in chunks)
      for (final frame in parser.feed(chunk)) {'id': frame.id, 'data': frame.data, 'event': frame.event},
  ];
  expect(frames, example['frames']);
  expect(parser.retry?.inMilliseconds, example['retryMs']);
}
