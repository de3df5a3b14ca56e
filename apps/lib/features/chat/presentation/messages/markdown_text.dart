import 'package:flutter/material.dart';
import 'package:flutter_markdown_plus/flutter_markdown_plus.dart';
import 'package:url_launcher/url_launcher.dart';

const _schemes = {'http', 'https', 'mailto', 'tel'};

/// Opens an address outside of the app. Returns whether it was opened.
typedef LinkOpener = Future<bool> Function(Uri uri);

/// Opens what a person may want to open; an answer may name other schemes, and those are left alone. Never throws.
Future<bool> openLink(Uri uri) async {
  if (!_schemes.contains(uri.scheme.toLowerCase())) return false;
  try {
    return await launchUrl(uri, mode: LaunchMode.externalApplication);
  } on Exception {
    // The platform has nothing that opens it.
    return false;
  }
}

/// Opens a link, and says so if nothing opens it.
Future<void> openOrSay(BuildContext context, Uri? uri, {LinkOpener open = openLink}) async {
  final messenger = ScaffoldMessenger.maybeOf(context);
  final isOpened = uri != null && await open(uri);
  if (!isOpened) messenger?.showSnackBar(const SnackBar(content: Text('This link cannot be opened.')));
}

/// An answer as Markdown. HTML in it is shown as text, and an image is a link: the app asks no other host for
/// anything because an answer says so.
class MarkdownText extends StatelessWidget {
  const MarkdownText({required this.text, this.onOpenLink = openLink, super.key});

  final String text;
  final LinkOpener onOpenLink;

  @override
  Widget build(BuildContext context) {
    final theme = Theme.of(context);
    return MarkdownBody(
      data: text,
      softLineBreak: true,
      styleSheet: MarkdownStyleSheet.fromTheme(theme).copyWith(
        codeblockDecoration: BoxDecoration(
          color: theme.colorScheme.surfaceContainerHighest,
          borderRadius: BorderRadius.circular(8),
        ),
        codeblockPadding: const EdgeInsets.all(12),
      ),
      onTapLink: (text, href, title) => _open(context, href),
      // Newer versions have `sizedImageBuilder` beside it; this one is in all of them.
      // ignore: deprecated_member_use
      imageBuilder: (uri, _, alt) => _ImageLink(
        words: alt == null || alt.isEmpty ? 'image' : alt,
        onTap: () => _open(context, uri.toString()),
      ),
    );
  }

  Future<void> _open(BuildContext context, String? href) {
    return openOrSay(context, href == null ? null : Uri.tryParse(href), open: onOpenLink);
  }
}

class _ImageLink extends StatelessWidget {
  const _ImageLink({required this.words, required this.onTap});

  final String words;
  final VoidCallback onTap;

  @override
  Widget build(BuildContext context) {
    return TextButton.icon(onPressed: onTap, icon: const Icon(Icons.image_outlined), label: Text(words));
  }
}
