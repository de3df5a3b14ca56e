import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/presentation/messages/markdown_text.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/problem_words.dart';
import 'package:agentroute_chat/features/chat/presentation/problems/shown_problem.dart';
import 'package:flutter/material.dart';

/// Logs in where a question needs it: opens the page of the login, or asks for a token.
Future<void> connect(
  BuildContext context,
  Interrupt interrupt,
  Future<void> Function(String server, String token) connectServer,
) async {
  final messenger = ScaffoldMessenger.of(context);
  final url = Uri.tryParse(interrupt.url ?? '');
  if (url != null && url.hasScheme) {
    final isOpened = await openLink(url);
    if (!isOpened) messenger.showSnackBar(const SnackBar(content: Text('The page of the login cannot be opened.')));
    return;
  }
  final server = interrupt.server;
  if (server == null) return;
  final token = await showDialog<String>(context: context, builder: (context) => _TokenDialog(server: server));
  if (token == null || token.isEmpty) return;
  try {
    await connectServer(server, token);
    messenger.showSnackBar(const SnackBar(content: Text('The token is stored. Go on now.')));
  } on Object catch (error) {
    final problem = ShownProblem.of(error);
    final words = wordsOf(problem.code, problem.message);
    messenger.showSnackBar(SnackBar(content: Text('${words.title} ${words.advice}')));
  }
}

class _TokenDialog extends StatefulWidget {
  const _TokenDialog({required this.server});

  final String server;

  @override
  State<_TokenDialog> createState() => _TokenDialogState();
}

class _TokenDialogState extends State<_TokenDialog> {
  final TextEditingController _token = TextEditingController();

  @override
  void dispose() {
    _token.dispose();
    super.dispose();
  }

  @override
  Widget build(BuildContext context) {
    return AlertDialog(
      title: Text('Your token for ${widget.server}'),
      content: TextField(
        controller: _token,
        autofocus: true,
        obscureText: true,
        decoration: const InputDecoration(labelText: 'Token'),
      ),
      actions: [
        TextButton(onPressed: () => Navigator.pop(context), child: const Text('Cancel')),
        FilledButton(onPressed: () => Navigator.pop(context, _token.text.trim()), child: const Text('Store')),
      ],
    );
  }
}
