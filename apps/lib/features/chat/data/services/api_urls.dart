/// The addresses of a service's routes. No I/O.
final class ApiUrls {
  ApiUrls._(this.service);

  /// Takes the address of a service, with or without `/api/v1/agent`.
  ///
  /// Throws a [FormatException] that says what is wrong with the address.
  factory ApiUrls(String address) {
    final problem = problemOf(address);
    if (problem != null) throw FormatException(problem);
    final url = Uri.parse(address.trim());
    final parts = [...?_partsOf(url)]..removeWhere((part) => part.isEmpty);
    if ('/${parts.join('/')}'.endsWith('/${_api.join('/')}')) parts.length -= _api.length;
    return ApiUrls._(Uri(scheme: url.scheme, host: url.host, port: url.hasPort ? url.port : null, pathSegments: parts));
  }

  static const List<String> _api = ['api', 'v1', 'agent'];

  /// What is between the host and the path.
  static final RegExp _port = RegExp(
    r'^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?:\[[^\]/?#]*\]|[^/?#:@\[]*):([^/?#]+)',
  );
  static final RegExp _hostName = RegExp(r'^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$');
  static final RegExp _number = RegExp(r'^[0-9]{1,5}$');

  /// Says what is wrong with the address of a service, for the user; null if nothing is.
  static String? problemOf(String address) {
    final text = address.trim();
    // `Uri` takes every number as a port, and says nothing before the port is used.
    final port = _port.firstMatch(text)?.group(1);
    if (port != null && !_isPort(port)) return 'The port behind the colon is a number from 1 to 65535.';
    final url = Uri.tryParse(text);
    if (url == null || !url.hasScheme || url.host.isEmpty || _partsOf(url) == null) {
      return 'An address looks like https://chat.example.com.';
    }
    if (url.scheme != 'http' && url.scheme != 'https') return 'The address has to begin with http:// or https://.';
    if (url.userInfo.isNotEmpty || url.hasQuery || url.hasFragment) {
      return 'Only the address, without anything behind it.';
    }
    // What is no name of a host, `Uri` writes in percent signs.
    final isNumber = url.host.contains(':');
    if (!isNumber && !_hostName.hasMatch(url.host)) return 'The name of the host has a character too many.';
    return null;
  }

  static bool _isPort(String text) {
    if (!_number.hasMatch(text)) return false;
    final port = int.parse(text);
    return port >= 1 && port <= 65535;
  }

  /// The parts of the path; null if it is no text. What stands behind a percent sign is decoded when it is asked for.
  static List<String>? _partsOf(Uri url) {
    try {
      return url.pathSegments;
    } on FormatException {
      return null;
    }
  }

  /// The address without the path of the API.
  final Uri service;

  Uri get runs => _url(['runs']);

  Uri get resume => _url(['resume']);

  Uri get agents => _url(['agents']);

  Uri get transcribe => _url(['transcribe']);

  Uri get files => _url(['files']);

  Uri events(Map<String, String> query) => _url(['events'], query);

  Uri history({required String threadId, required int limit, String? before}) {
    return _url(['history'], {'threadId': threadId, 'limit': '$limit', if (before != null) 'before': before});
  }

  Uri cancel(String runId) => _url(['runs', runId, 'cancel']);

  Uri threads({required int limit, String? query, String? before}) {
    return _url(['threads'], {
      'limit': '$limit',
      if (query != null && query.trim().isNotEmpty) 'q': query.trim(),
      if (before != null) 'before': before,
    });
  }

  Uri thread(String threadId) => _url(['threads', threadId]);

  Uri connection(String server) => _url(['connections', server]);

  /// Resolves a path of the service, such as the `url` of a file.
  Uri resolve(String path) => service.replace(path: '/').resolve(path);

  Uri _url(List<String> path, [Map<String, String>? query]) {
    return service.replace(
      pathSegments: [...service.pathSegments, ..._api, ...path],
      queryParameters: query,
    );
  }
}
