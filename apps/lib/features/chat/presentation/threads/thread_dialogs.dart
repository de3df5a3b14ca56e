import 'package:flutter/material.dart';

/// Asks for another title; null if there is to be none.
Future<String?> askForTitle(BuildContext context, String title) {
  return showDialog<String>(context: context, builder: (context) => _RenameDialog(title: title));
}

/// Asks whether a conversation may go.
Future<bool> confirmDelete(BuildContext context, String title) async {
  final isSure = await showDialog<bool>(
    context: context,
    builder: (context) => AlertDialog(
      title: const Text('Delete the conversation?'),
      content: Text('“$title” is deleted with all its messages. This cannot be undone.'),
      actions: [
        TextButton(autofocus: true, onPressed: () => Navigator.pop(context, false), child: const Text('Cancel')),
        FilledButton(onPressed: () => Navigator.pop(context, true), child: const Text('Delete')),
      ],
    ),
  );
  return isSure ?? false;
}

class _RenameDialog extends StatefulWidget {
  const _RenameDialog({required this.title});

  final String title;

  @override
  State<_RenameDialog> createState() => _RenameDialogState();
}

class _RenameDialogState extends State<_RenameDialog> {
  late final TextEditingController _title = TextEditingController(text: widget.title);

  @override
  void dispose() {
    _title.dispose();
    super.dispose();
  }

  void _save() {
    final title = _title.text.trim();
    if (title.isNotEmpty) Navigator.pop(context, title);
  }

  @override
  Widget build(BuildContext context) {
    return AlertDialog(
      title: const Text('Rename the conversation'),
      content: TextField(
        controller: _title,
        autofocus: true,
        maxLength: 200,
        decoration: const InputDecoration(labelText: 'Title'),
        onSubmitted: (_) => _save(),
      ),
      actions: [
        TextButton(onPressed: () => Navigator.pop(context), child: const Text('Cancel')),
        FilledButton(onPressed: _save, child: const Text('Save')),
      ],
    );
  }
}
