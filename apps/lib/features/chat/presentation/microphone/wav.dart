import 'dart:typed_data';

/// Returns samples of 16 bits as a WAV file, which every service of speech reads.
Uint8List wavFile(Uint8List samples, {required int sampleRate, int channels = 1}) {
  const headerBytes = 44;
  const sampleBytes = 2;
  final file = Uint8List(headerBytes + samples.length);
  final header = ByteData.view(file.buffer, 0, headerBytes);
  void tag(int at, String text) => file.setAll(at, text.codeUnits);
  tag(0, 'RIFF');
  header.setUint32(4, headerBytes - 8 + samples.length, Endian.little);
  tag(8, 'WAVE');
  tag(12, 'fmt ');
  header
    ..setUint32(16, 16, Endian.little)
    ..setUint16(20, 1, Endian.little) // PCM
    ..setUint16(22, channels, Endian.little)
    ..setUint32(24, sampleRate, Endian.little)
    ..setUint32(28, sampleRate * channels * sampleBytes, Endian.little)
    ..setUint16(32, channels * sampleBytes, Endian.little)
    ..setUint16(34, 8 * sampleBytes, Endian.little);
  tag(36, 'data');
  header.setUint32(40, samples.length, Endian.little);
  file.setAll(headerBytes, samples);
  return file;
}
