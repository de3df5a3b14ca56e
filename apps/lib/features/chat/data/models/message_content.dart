import 'package:agentroute_chat/features/chat/data/models/json_object.dart';

/// What a message or a tool's result says: a text, or parts.
final class MessageContent {
  const MessageContent.ofText(String this._text) : _parts = null;

  const MessageContent.ofParts(List<ContentPart> this._parts) : _text = null;

  /// Reads a text or a list of parts. An unknown or broken part becomes an [UnknownPart].
  ///
  /// Throws a [FormatException] if it is neither.
  factory MessageContent.fromJson(Object? value) {
    if (value is String) return MessageContent.ofText(value);
    if (value is List<Object?>) {
      return MessageContent.ofParts([for (final Object? part in value) ContentPart.fromJson(part)]);
    }
    throw const FormatException('the content is neither a text nor a list of parts');
  }

  static const MessageContent empty = MessageContent.ofText('');

  final String? _text;
  final List<ContentPart>? _parts;

  /// The parts; a plain text is one part.
  List<ContentPart> get parts => _parts ?? [TextPart(_text ?? '')];

  /// The text parts, joined by line breaks.
  String get text => _text ?? parts.whereType<TextPart>().map((part) => part.text).join('\n');

  /// The attachments.
  Iterable<MediaPart> get media => parts.whereType<MediaPart>();

  /// The form on the wire: the same as it was read from.
  Object toJson() {
    final parts = _parts;
    return parts == null ? _text ?? '' : [for (final part in parts) part.toJson()];
  }
}

/// One part of a message.
sealed class ContentPart {
  const ContentPart();

  /// Never throws: what is not known becomes an [UnknownPart].
  static ContentPart fromJson(Object? value) {
    try {
      final json = JsonObject.of(value, 'a part');
      return switch (json.text('type')) {
        'text' => TextPart(json.text('text'), raw: json.raw),
        'image' || 'audio' || 'video' || 'document' => MediaPart._(json),
        _ => UnknownPart(value),
      };
    } on FormatException {
      return UnknownPart(value);
    }
  }

  Object? toJson();
}

final class TextPart extends ContentPart {
  const TextPart(this.text, {this.raw});

  final String text;
  final Map<String, dynamic>? raw;

  @override
  Object? toJson() => raw ?? {'type': 'text', 'text': text};
}

/// An image, a sound, a video or a document.
final class MediaPart extends ContentPart {
  const MediaPart({
    required this.kind,
    required this.sourceType,
    required this.value,
    this.mimeType,
    this.metadata = const {},
    this.raw,
  });

  factory MediaPart._(JsonObject json) {
    final source = json.object('source');
    return MediaPart(
      kind: json.text('type'),
      sourceType: source.text('type'),
      value: source.text('value'),
      mimeType: source.textOrNull('mimeType'),
      metadata: JsonObject.asObject(json.raw['metadata']) ?? const {},
      raw: json.raw,
    );
  }

  /// `image`, `audio`, `video` or `document`.
  final String kind;

  /// `data` ([value] is base64), `url`, or `file` ([value] is the id of an uploaded file).
  final String sourceType;
  final String value;
  final String? mimeType;
  final Map<String, dynamic> metadata;
  final Map<String, dynamic>? raw;

  String? get filename => _text('filename');

  /// Where the bytes are: a path of the service for an uploaded file. Null for inline bytes.
  String? get url => sourceType == 'url' ? value : _text('url');

  String? _text(String name) {
    final Object? found = metadata[name];
    return found is String ? found : null;
  }

  @override
  Object? toJson() {
    return raw ??
        {
          'type': kind,
          'source': {
            'type': sourceType,
            'value': value,
            if (mimeType != null) 'mimeType': mimeType,
          },
          if (metadata.isNotEmpty) 'metadata': metadata,
        };
  }
}

/// A part of a kind, or in a form, that this version does not know.
final class UnknownPart extends ContentPart {
  const UnknownPart(this.raw);

  final Object? raw;

  @override
  Object? toJson() => raw;
}
