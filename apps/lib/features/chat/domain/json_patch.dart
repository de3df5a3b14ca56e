/// An operation does not fit the document.
final class PatchException implements Exception {
  const PatchException(this.message);

  final String message;

  @override
  String toString() => 'PatchException: $message';
}

/// The document after all operations of a JSON Patch (RFC 6902). Nothing is changed in place.
///
/// Throws a [PatchException] if one of them does not fit; nothing has changed then.
Object? applyPatch(Object? document, List<Map<String, dynamic>> operations) {
  var changed = document;
  for (final operation in operations) {
    changed = _applied(changed, operation);
  }
  return changed;
}

/// Whether two JSON values are equal: numbers by value, objects in any order.
bool sameJson(Object? left, Object? right) {
  if (left is Map<dynamic, dynamic> && right is Map<dynamic, dynamic>) {
    if (left.length != right.length) return false;
    for (final Object? name in left.keys) {
      if (!right.containsKey(name) || !sameJson(left[name], right[name])) return false;
    }
    return true;
  }
  if (left is List<dynamic> && right is List<dynamic>) {
    if (left.length != right.length) return false;
    for (var place = 0; place < left.length; place++) {
      if (!sameJson(left[place], right[place])) return false;
    }
    return true;
  }
  return left == right;
}

Object? _applied(Object? document, Map<String, dynamic> operation) {
  final path = _tokens(operation['path']);
  switch (operation['op']) {
    case 'add':
      return _added(document, path, _value(operation));
    case 'remove':
      return _removed(document, path);
    case 'replace':
      return _replaced(document, path, _value(operation));
    case 'move':
      final origin = _tokens(operation['from']);
      if (origin.length < path.length && sameJson(path.sublist(0, origin.length), origin)) {
        throw const PatchException('a value cannot move into itself');
      }
      return _added(_removed(document, origin), path, _found(document, origin));
    case 'copy':
      return _added(document, path, _found(document, _tokens(operation['from'])));
    case 'test':
      if (!sameJson(_found(document, path), _value(operation))) throw const PatchException('a test failed');
      return document;
    default:
      throw const PatchException('an unknown operation');
  }
}

Object? _value(Map<String, dynamic> operation) {
  if (!operation.containsKey('value')) throw const PatchException('an operation has no value');
  return operation['value'];
}

/// The names of a JSON Pointer (RFC 6901).
List<String> _tokens(Object? pointer) {
  if (pointer is! String || (pointer != '' && !pointer.startsWith('/'))) {
    throw const PatchException('no JSON Pointer');
  }
  if (pointer == '') return const [];
  return [
    for (final token in pointer.substring(1).split('/')) token.replaceAll('~1', '/').replaceAll('~0', '~'),
  ];
}

/// The place in a list, at most [length].
int _place(String token, int length) {
  final place = int.tryParse(token) ?? -1;
  if (place < 0 || place > length || token != '$place') throw const PatchException('no place in the list');
  return place;
}

Object? _found(Object? document, List<String> path) {
  var found = document;
  for (final token in path) {
    if (found is Map<String, dynamic> && found.containsKey(token)) {
      found = found[token];
    } else if (found is List<dynamic>) {
      found = found[_place(token, found.length - 1)];
    } else {
      throw const PatchException('nothing is there');
    }
  }
  return found;
}

Object? _added(Object? document, List<String> path, Object? value) {
  if (path.isEmpty) return value;
  final token = path.first;
  final rest = path.sublist(1);
  if (document is Map<String, dynamic>) {
    return <String, dynamic>{...document, token: rest.isEmpty ? value : _added(_member(document, token), rest, value)};
  }
  if (document is List<dynamic>) {
    if (rest.isNotEmpty) {
      final place = _place(token, document.length - 1);
      return <dynamic>[...document.take(place), _added(document[place], rest, value), ...document.skip(place + 1)];
    }
    final place = token == '-' ? document.length : _place(token, document.length);
    return <dynamic>[...document.take(place), value, ...document.skip(place)];
  }
  throw const PatchException('nothing is there');
}

Object? _removed(Object? document, List<String> path) {
  if (path.isEmpty) return null;
  final token = path.first;
  final rest = path.sublist(1);
  if (document is Map<String, dynamic>) {
    final member = _member(document, token);
    if (rest.isNotEmpty) return <String, dynamic>{...document, token: _removed(member, rest)};
    return <String, dynamic>{...document}..remove(token);
  }
  if (document is List<dynamic>) {
    final place = _place(token, document.length - 1);
    return <dynamic>[
      ...document.take(place),
      if (rest.isNotEmpty) _removed(document[place], rest),
      ...document.skip(place + 1),
    ];
  }
  throw const PatchException('nothing is there');
}

Object? _replaced(Object? document, List<String> path, Object? value) {
  if (path.isEmpty) return value;
  final token = path.first;
  final rest = path.sublist(1);
  if (document is Map<String, dynamic>) {
    return <String, dynamic>{...document, token: _replaced(_member(document, token), rest, value)};
  }
  if (document is List<dynamic>) {
    final place = _place(token, document.length - 1);
    return <dynamic>[...document.take(place), _replaced(document[place], rest, value), ...document.skip(place + 1)];
  }
  throw const PatchException('nothing is there');
}

Object? _member(Map<String, dynamic> document, String token) {
  if (!document.containsKey(token)) throw const PatchException('nothing is there');
  return document[token];
}
