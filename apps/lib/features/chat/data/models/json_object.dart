/// Reads the members of a JSON object.
///
/// A member may be absent or null if it is optional. Members that nobody asks for are ignored.
final class JsonObject {
  const JsonObject(this.raw);

  /// Returns [value] as an object.
  ///
  /// Throws a [FormatException] if it is none.
  factory JsonObject.of(Object? value, String what) {
    final found = asObject(value);
    if (found == null) throw FormatException('$what is no object');
    return JsonObject(found);
  }

  final Map<String, dynamic> raw;

  /// Returns [value] as a JSON object; null if it is none.
  static Map<String, dynamic>? asObject(Object? value) {
    if (value is Map<String, dynamic>) return value;
    if (value is! Map<Object?, Object?>) return null;
    final found = <String, dynamic>{};
    for (final entry in value.entries) {
      final name = entry.key;
      if (name is! String) return null;
      found[name] = entry.value;
    }
    return found;
  }

  bool has(String name) => raw.containsKey(name);

  /// All of these throw a [FormatException] if the member has another type, or if it is required and not there.
  String text(String name) => _required(name, textOrNull(name));

  String? textOrNull(String name) => _member<String>(name, 'a text');

  int? integerOrNull(String name) {
    final value = numberOrNull(name);
    // 1e999 is JSON, and infinite: no integer, and toInt would throw an error that nobody catches.
    if (value != null && !value.isFinite) throw FormatException('$name is not finite');
    return value?.toInt();
  }

  num? numberOrNull(String name) => _member<num>(name, 'a number');

  bool? flagOrNull(String name) => _member<bool>(name, 'true or false');

  List<dynamic> list(String name) => _required(name, listOrNull(name));

  List<dynamic>? listOrNull(String name) => _member<List<dynamic>>(name, 'a list');

  JsonObject object(String name) => _required(name, objectOrNull(name));

  JsonObject? objectOrNull(String name) {
    final Object? value = raw[name];
    return value == null ? null : JsonObject.of(value, name);
  }

  /// The texts of a list.
  List<String> texts(String name) {
    return [
      for (final Object? value in listOrNull(name) ?? const <dynamic>[])
        if (value is String) value else throw FormatException('$name has something that is no text'),
    ];
  }

  /// The objects of a list.
  List<JsonObject> objects(String name) {
    return [
      for (final Object? value in listOrNull(name) ?? const <dynamic>[]) JsonObject.of(value, name),
    ];
  }

  /// Any value, null too; it must be there.
  Object? any(String name) {
    if (!raw.containsKey(name)) throw FormatException('$name is missing');
    return raw[name];
  }

  /// A time of RFC 3339.
  DateTime? timeOrNull(String name) {
    final text = textOrNull(name);
    if (text == null) return null;
    final time = DateTime.tryParse(text);
    if (time == null) throw FormatException('$name is no time');
    return time;
  }

  T? _member<T extends Object>(String name, String what) {
    final Object? value = raw[name];
    if (value == null) return null;
    if (value is T) return value;
    throw FormatException('$name is not $what');
  }

  T _required<T extends Object>(String name, T? value) {
    if (value == null) throw FormatException('$name is missing');
    return value;
  }
}
