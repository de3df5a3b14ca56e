import 'dart:typed_data';

import 'package:agentroute_chat/features/chat/presentation/microphone/wav.dart';
import 'package:flutter_test/flutter_test.dart';

void main() {
  test('a recording is a WAV file', () {
    final samples = Uint8List.fromList([1, 2, 3, 4]);
    final file = wavFile(samples, sampleRate: 16000);
    final header = ByteData.view(file.buffer);
    expect(String.fromCharCodes(file.take(4)), 'RIFF');
    expect(header.getUint32(4, Endian.little), file.length - 8);
    expect(String.fromCharCodes(file.skip(8).take(8)), 'WAVEfmt ');
    expect(header.getUint16(22, Endian.little), 1);
    expect(header.getUint32(24, Endian.little), 16000);
    expect(header.getUint32(28, Endian.little), 32000);
    expect(header.getUint32(40, Endian.little), samples.length);
    expect(file.sublist(44), samples);
  });
}
