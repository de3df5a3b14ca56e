import 'dart:convert';
import 'dart:io';

/// Reads the entries of a file of examples. `flutter test` runs in the folder `apps`.
List<Map<String, dynamic>> contractCases(String path) {
  final entries = jsonDecode(File('../contract/$path').readAsStringSync()) as List<dynamic>;
  return entries.cast<Map<String, dynamic>>();
}

/// The bytes of an example's body.
List<int> bodyOf(Map<String, dynamic> example) {
  final text = example['text'] as String?;
  return text == null ? base64.decode(example['base64'] as String) : utf8.encode(text);
}

/// The streams that the service's own tests have recorded: the frames of each by its name.
Map<String, List<String>> recordedStreams() {
  final files = Directory('../backend/tests/recorded/streams').listSync().whereType<File>().toList()
    ..sort((one, other) => one.path.compareTo(other.path));
  return {
    for (final file in files) file.uri.pathSegments.last: _frames(file),
  };
}

List<String> _frames(File file) {
  final content = jsonDecode(file.readAsStringSync()) as Map<String, dynamic>;
  return (content['frames'] as List<dynamic>).cast<String>();
}
