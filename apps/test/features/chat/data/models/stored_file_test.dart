import 'package:agentroute_chat/features/chat/data/models/stored_file.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('a file is a part of a message, of the kind that its bytes are', () {
    final file = StoredFile.fromJson({
      'fileId': '5891',
      'mediaType': 'image/png',
      'bytes': 6,
      'name': 'cat.png',
      'createdAt': '2026-11-27T08:30:00Z',
      'url': '/api/v1/agent/files/5891',
    });
    expect((file.fileId, file.bytes, file.name), ('5891', 6, 'cat.png'));
    expect(file.part.toJson(), {
      'type': 'image',
      'source': {'type': 'file', 'value': '5891', 'mimeType': 'image/png'},
      'metadata': {'filename': 'cat.png'},
    });
    for (final (mediaType, kind) in [
      ('audio/wav', 'audio'),
      ('application/pdf', 'document'),
      ('text/csv', 'document'),
    ]) {
      expect(StoredFile(fileId: 'f', mediaType: mediaType, bytes: 1).part.kind, kind);
    }
    expect(const StoredFile(fileId: 'f', mediaType: 'text/csv', bytes: 1).part.metadata, isEmpty);
  });

  test('another answer is refused', () {
    expect(() => StoredFile.fromJson({'fileId': '5891'}), throwsFormatException);
    expect(() => StoredFile.fromJson(<Object>[]), throwsFormatException);
  });
}
