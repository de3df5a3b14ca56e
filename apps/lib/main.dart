import 'package:flutter/material.dart';

void main() => runApp(const ChatApp());

/// The app: what is inside comes with the features.
class ChatApp extends StatelessWidget {
  const ChatApp({super.key});

  @override
  Widget build(BuildContext context) {
    return const MaterialApp(title: 'AgentRoute', home: Scaffold());
  }
}
