import 'dart:convert';
import 'dart:io';

import 'package:agentroute_chat/features/chat/data/models/ag_ui_envelope.dart';
import 'package:agentroute_chat/features/chat/data/models/ag_ui_event.dart';
import 'package:agentroute_chat/features/chat/data/models/history_page.dart';
import 'package:agentroute_chat/features/chat/data/services/sse_parser.dart';
import 'package:agentroute_chat/features/chat/domain/chat_reducer.dart';
import 'package:agentroute_chat/features/chat/domain/chat_state.dart';

typedef Json = Map<String, dynamic>;

/// One scenario of `contract/vectors`, by `contract/README.md`. `flutter test` runs in the folder `apps`.
final class Vector {
  Vector._(this.name, this.steps);

  final String name;
  final List<VectorStep> steps;

  static List<Vector> all() {
    final files = Directory('../contract/vectors').listSync().whereType<File>().toList()
      ..sort((one, other) => one.path.compareTo(other.path));
    return [for (final file in files) Vector._read(file)];
  }

  static Vector _read(File file) {
    final content = jsonDecode(file.readAsStringSync()) as Json;
    return Vector._(
      file.uri.pathSegments.last,
      [for (final Object? step in content['steps'] as List<dynamic>) VectorStep._(step as Json)],
    );
  }
}

/// One step of a scenario.
final class VectorStep {
  VectorStep._(this._json);

  final Json _json;

  String get name => _json['step'] as String;

  bool get holdsNothing => _json['holds'] == 'nothing';

  /// What a route answered that is no stream.
  HistoryPage get answer => HistoryPage.fromJson(_json['answer']);

  Json get begins => _json['begins'] as Json? ?? const {};

  List<VectorFrame> get stream {
    return [
      for (final Object? frame in _json['stream'] as List<dynamic>? ?? const <dynamic>[]) VectorFrame._(frame as Json),
    ];
  }

  /// The state of an app before the stream: what it does by itself.
  ChatState begin(ChatState held) {
    var state = held;
    if (holdsNothing) state = name == 'history' ? opened(answer) : const ChatState();
    if (name == 'older') return withOlder(state, answer);
    final asks = _json['asks'] as Json?;
    if (asks == null) return state;
    final messages = [for (final Object? each in asks['messages'] as List<dynamic>) ChatMessage.fromJson(each)];
    return asked(state, messages, regenerateFrom: asks['regenerateFrom'] as String?);
  }
}

/// One block of a stream.
final class VectorFrame {
  VectorFrame._(this._json);

  final Json _json;

  Json get changes => _json['changes'] as Json? ?? const {};

  /// Null for a comment, and for the time to wait.
  AgUiEnvelope? get envelope => envelopeOf(_json['sse'] as String);
}

/// What a block of a stream tells; null for a comment, and for the time to wait.
AgUiEnvelope? envelopeOf(String sse) {
  final frames = SseParser().feed(utf8.encode(sse));
  if (frames.isEmpty) return null;
  final frame = frames.single;
  final event = AgUiEvent.fromJson(jsonDecode(frame.data) as Json);
  return AgUiEnvelope(frame.id.isEmpty ? null : frame.id, event);
}

/// One run that the service's own tests have recorded: what it told, and the messages that history has of it.
final class RecordedRun {
  RecordedRun._(this.name, this.told, this.messages);

  final String name;
  final List<AgUiEnvelope> told;
  final List<Json> messages;

  static List<RecordedRun> all() {
    final files = Directory('../backend/tests/recorded/streams').listSync().whereType<File>().toList()
      ..sort((one, other) => one.path.compareTo(other.path));
    return [for (final file in files) RecordedRun._read(file)];
  }

  static RecordedRun _read(File file) {
    final content = jsonDecode(file.readAsStringSync()) as Json;
    final frames = (content['frames'] as List<dynamic>).cast<String>();
    return RecordedRun._(
      file.uri.pathSegments.last,
      [for (final sse in frames) envelopeOf(sse)].nonNulls.toList(),
      (content['messages'] as List<dynamic>).cast<Json>(),
    );
  }
}

/// A JSON value after changes of the form of `contract/README.md`.
Object? changed(Object? value, Json changes) {
  // A copy, in a list of its own: a change of the whole value is one like the others.
  final holder = <dynamic>[jsonDecode(jsonEncode(value))];
  for (final MapEntry(key: place, value: change) in changes.entries) {
    final path = ['0', for (final name in place.split('/').skip(1)) name.replaceAll('~1', '/').replaceAll('~0', '~')];
    Object? inner = holder;
    for (final name in path.take(path.length - 1)) {
      inner = inner is Json ? inner[name] : (inner as List<dynamic>)[int.parse(name)];
    }
    _change(inner, path.last, change as Json);
  }
  return holder.single;
}

void _change(Object? inner, String name, Json change) {
  if (inner is Json) {
    if (change.containsKey('remove')) {
      inner.remove(name);
    } else if (change.containsKey('append')) {
      inner[name] = '${inner[name]}${change['append']}';
    } else {
      inner[name] = change['set'];
    }
    return;
  }
  final list = inner! as List<dynamic>;
  final place = int.parse(name);
  if (change.containsKey('remove')) {
    list.removeAt(place);
  } else if (change.containsKey('append')) {
    list[place] = '${list[place]}${change['append']}';
  } else if (place == list.length) {
    list.add(change['set']);
  } else {
    list[place] = change['set'];
  }
}
