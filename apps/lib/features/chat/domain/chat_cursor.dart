/// Whether an event at [cursor] came before, or is the one at [last].
///
/// A cursor is `<run>-<event>`. The events of an opening count down to one: `3-17.2`, `3-17.1`, `3-17`.
bool isBehind(String cursor, String? last) {
  final place = _placeOf(cursor);
  final reached = last == null ? null : _placeOf(last);
  if (place == null || reached == null) return false;
  for (var part = 0; part < place.length; part++) {
    if (place[part] != reached[part]) return place[part] < reached[part];
  }
  return true;
}

// No more digits than a number has on the web.
final RegExp _cursor = RegExp(r'^(\d{1,15})-(\d{1,15})(?:\.(\d{1,15}))?$');

List<int>? _placeOf(String cursor) {
  final found = _cursor.firstMatch(cursor);
  if (found == null) return null;
  return [int.parse(found[1]!), int.parse(found[2]!), -int.parse(found[3] ?? '0')];
}
