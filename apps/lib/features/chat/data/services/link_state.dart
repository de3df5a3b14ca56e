/// What the line of a stream does.
///
/// [connecting]: no answer yet. [live]: the stream is open. [reconnecting]: the line broke, and is tried again by itself.
/// [paused]: the app is in the background, and has let go of the line. [ended]: nothing more will come.
enum LinkState { connecting, live, reconnecting, paused, ended }

typedef LinkListener = void Function(LinkState state);
