import 'package:agentroute_chat/features/chat/data/services/api_urls.dart';
import 'package:agentroute_chat/features/chat/presentation/settings/app_settings.dart';
import 'package:flutter/material.dart';

/// Which service is used, and the token for it.
class SettingsScreen extends StatefulWidget {
  const SettingsScreen({required this.settings, super.key});

  final AppSettings settings;

  @override
  State<SettingsScreen> createState() => _SettingsScreenState();
}

class _SettingsScreenState extends State<SettingsScreen> {
  final _form = GlobalKey<FormState>();
  late final TextEditingController _url = TextEditingController(text: widget.settings.serverUrl);
  late final TextEditingController _token = TextEditingController(text: widget.settings.token);

  @override
  void dispose() {
    _url.dispose();
    _token.dispose();
    super.dispose();
  }

  Future<void> _save() async {
    if (!(_form.currentState?.validate() ?? false)) return;
    await widget.settings.change(serverUrl: _url.text, token: _token.text);
    if (mounted) await Navigator.of(context).maybePop();
  }

  @override
  Widget build(BuildContext context) {
    return Scaffold(
      appBar: AppBar(title: const Text('Settings')),
      body: SafeArea(
        child: Form(
          key: _form,
          child: ListView(
            padding: const EdgeInsets.all(16),
            children: [
              TextFormField(
                controller: _url,
                decoration: const InputDecoration(
                  labelText: 'Address of the service',
                  helperText: 'With or without /api/v1/agent behind it.',
                  helperMaxLines: 3,
                  errorMaxLines: 3,
                ),
                keyboardType: TextInputType.url,
                autocorrect: false,
                textInputAction: TextInputAction.next,
                validator: (text) => ApiUrls.problemOf(text ?? ''),
              ),
              const SizedBox(height: 16),
              TextFormField(
                controller: _token,
                decoration: const InputDecoration(
                  labelText: 'Bearer token',
                  helperText: 'Only where the service wants one. It is kept until the app is closed.',
                  helperMaxLines: 3,
                  errorMaxLines: 3,
                ),
                validator: (text) => tokenProblem(text ?? ''),
                obscureText: true,
                autocorrect: false,
                enableSuggestions: false,
                onFieldSubmitted: (_) => _save(),
              ),
              const SizedBox(height: 24),
              FilledButton(onPressed: _save, child: const Text('Save')),
            ],
          ),
        ),
      ),
    );
  }
}
