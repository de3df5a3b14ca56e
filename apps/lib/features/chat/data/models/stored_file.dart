import 'package:agentroute_chat/features/chat/data/models/json_object.dart';
import 'package:agentroute_chat/features/chat/data/models/message_content.dart';

/// A file that the service has stored. Messages name it by its [part].
///
/// One that no message names within a day is deleted.
final class StoredFile {
  const StoredFile({required this.fileId, required this.mediaType, required this.bytes, this.name = ''});

  /// Throws a [FormatException] if it is no file.
  factory StoredFile.fromJson(Object? value) {
    final json = JsonObject.of(value, 'a file');
    return StoredFile(
      fileId: json.text('fileId'),
      mediaType: json.text('mediaType'),
      bytes: json.integerOrNull('bytes') ?? 0,
      name: json.textOrNull('name') ?? '',
    );
  }

  static const Set<String> _kinds = {'image', 'audio', 'video'};

  final String fileId;

  /// What the service found the bytes to be.
  final String mediaType;

  /// The size.
  final int bytes;
  final String name;

  /// The part of a message that shows the file to the agent.
  MediaPart get part {
    final kind = mediaType.split('/').first;
    return MediaPart(
      kind: _kinds.contains(kind) ? kind : 'document',
      sourceType: 'file',
      value: fileId,
      mimeType: mediaType,
      metadata: {if (name.isNotEmpty) 'filename': name},
    );
  }
}
