/// The addresses of a service's routes. No I/O.
final class ApiUrls {
  ApiUrls._(this.service);

  /// Takes the address of a service, with or without `/api/v1/agent`.
  ///
  /// Throws a [FormatException] that says what is wrong with the address.
  factory ApiUrls(String address) {
    final url = Uri.tryParse(address.trim());
    if (url == null || (url.scheme != 'http' && url.scheme != 'https') || url.host.isEmpty) {
      throw FormatException('"$address" is no address: write one like http://127.0.0.1:8000');
    }
    final parts = url.pathSegments.where((part) => part.isNotEmpty).toList();
    if ('/${parts.join('/')}'.endsWith('/${_api.join('/')}')) parts.length -= _api.length;
    return ApiUrls._(Uri(scheme: url.scheme, host: url.host, port: url.hasPort ? url.port : null, pathSegments: parts));
  }

  static const List<String> _api = ['api', 'v1', 'agent'];

  /// The address without the path of the API.
  final Uri service;

  Uri get runs => _url(['runs']);

  Uri get resume => _url(['resume']);

  Uri get agents => _url(['agents']);

  Uri get transcribe => _url(['transcribe']);

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
