import 'dart:convert';
import 'dart:typed_data';

/// One event of a stream of server-sent events.
final class SseFrame {
  const SseFrame({required this.id, required this.data, this.event = ''});

  /// The event's own `id`; empty without one.
  final String id;
  final String data;

  /// Name of the event; AgentRoute names none.
  final String event;
}

/// Reads server-sent events from bytes, however the bytes are cut. No I/O.
///
/// One parser reads one body. Half of an event at the end of a body is no event: the server tells it again. The rules
/// are those of WHATWG HTML, section 9.2.6, and of the Python client; `contract/sse` has examples for both.
final class SseParser {
  static const int _lineFeed = 0x0a;
  static const int _carriageReturn = 0x0d;
  static const List<int> _byteOrderMark = [0xef, 0xbb, 0xbf];
  static final RegExp _digits = RegExp(r'^[0-9]{1,15}$');

  final BytesBuilder _line = BytesBuilder();
  bool _isFirstLine = true;
  bool _isAfterCarriageReturn = false;
  String _id = '';
  String _event = '';
  List<String> _data = [];
  Duration? _retry;

  /// How long the server asks clients to wait before they come back; null until it does.
  Duration? get retry => _retry;

  /// Takes in the next bytes. Returns the events that they complete.
  List<SseFrame> feed(List<int> chunk) {
    final frames = <SseFrame>[];
    var start = 0;
    for (var place = 0; place < chunk.length; place++) {
      final byte = chunk[place];
      // The line feed of a line end in two bytes, which another chunk may have begun.
      if (_isAfterCarriageReturn && byte == _lineFeed) start = place + 1;
      final isSecondHalf = _isAfterCarriageReturn && byte == _lineFeed;
      _isAfterCarriageReturn = byte == _carriageReturn;
      if (isSecondHalf || (byte != _lineFeed && byte != _carriageReturn)) continue;
      _line.add(chunk.sublist(start, place));
      start = place + 1;
      final frame = _take(_line.takeBytes());
      if (frame != null) frames.add(frame);
    }
    if (start < chunk.length) _line.add(chunk.sublist(start));
    return frames;
  }

  SseFrame? _take(Uint8List bytes) {
    final isFirstLine = _isFirstLine;
    _isFirstLine = false;
    // A mark in front of the first line is left away, as the decoder does. In front of another line it is a character
    // of the field's name, and no field has such a name.
    if (!isFirstLine && _beginsWithMark(bytes)) return null;
    final line = utf8.decode(bytes, allowMalformed: true);
    if (line.isEmpty) return _dispatch();
    final colon = line.indexOf(':');
    final name = colon < 0 ? line : line.substring(0, colon);
    var value = colon < 0 ? '' : line.substring(colon + 1);
    if (value.startsWith(' ')) value = value.substring(1);
    switch (name) {
      case 'data':
        _data.add(value);
      case 'id':
        if (!value.contains('\u0000')) _id = value;
      case 'event':
        _event = value;
      case 'retry':
        if (_digits.hasMatch(value)) _retry = Duration(milliseconds: int.parse(value));
      default:
        // A comment, or what a later version of the format may bring.
        break;
    }
    return null;
  }

  SseFrame? _dispatch() {
    final frame = _data.isEmpty ? null : SseFrame(id: _id, data: _data.join('\n'), event: _event);
    _data = [];
    _id = '';
    _event = '';
    return frame;
  }

  static bool _beginsWithMark(Uint8List bytes) {
    if (bytes.length < _byteOrderMark.length) return false;
    for (var place = 0; place < _byteOrderMark.length; place++) {
      if (bytes[place] != _byteOrderMark[place]) return false;
    }
    return true;
  }
}
