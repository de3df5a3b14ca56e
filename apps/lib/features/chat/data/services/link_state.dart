/// What the line of a stream does.
enum LinkState {
  /// No answer yet.
  connecting,

  /// The stream is open.
  live,

  /// The line broke, and is tried again by itself.
  reconnecting,

  /// The app is in the background, and has let go of the line.
  paused,

  /// Nothing more will come.
  ended,
}

/// Told of every change.
typedef LinkListener = void Function(LinkState state);
