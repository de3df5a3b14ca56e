import 'package:agentroute_chat/features/chat/data/models/interrupt.dart';
import 'package:agentroute_chat/features/chat/presentation/cards/questions.dart';
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
  final page = loginPageOf(interrupt);
  if (page != null) {
    final isOpened = await openLink(page);
    if (!isOpened) messenger.showSnackBar(const SnackBar(content: Text('The page of the login cannot be opened.')));
    return;
  }
  final server = interrupt.server;
  if (server == null) return;
  final token = await showDialog<String>(context: context, builder: (context) => _TokenDialog(server: server));
  if (token == null) return;
  try {
    await connectServer(server, token);
    messenger.showSnackBar(const SnackBar(content: Text('The token is stored. Go on now.')));
  } on Object catch (error) {
    final problem = ShownProblem.of(error);
    final words = wordsOf(problem.code, problem.message, retryable: problem.isRetryable);
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
  String? _complaint;

  @override
  void dispose() {
    _token.dispose();
    super.dispose();
  }

  void _store() {
    final token = _token.text.trim();
    if (token.isEmpty) {
      setState(() => _complaint = 'Paste the token first.');
    } else {
      Navigator.pop(context, token);
    }
  }

  @override
  Widget build(BuildContext context) {
    return AlertDialog(
      title: Text('Your token for ${widget.server}'),
      content: TextField(
        controller: _token,
        autofocus: true,
        obscureText: true,
        autocorrect: false,
        enableSuggestions: false,
        decoration: InputDecoration(
          labelText: 'Token',
          helperText: 'It is stored encrypted, sent to this server only, and never shown again.',
          helperMaxLines: 3,
          errorText: _complaint,
        ),
        onSubmitted: (_) => _store(),
      ),
      actions: [
        TextButton(onPressed: () => Navigator.pop(context), child: const Text('Cancel')),
        FilledButton(onPressed: _store, child: const Text('Store')),
      ],
    );
  }
}
