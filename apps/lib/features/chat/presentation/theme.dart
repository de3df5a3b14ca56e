import 'package:flutter/material.dart';

const _seed = Color(0xFF4F46E5);

/// The look of the app, light or dark; what is tapped is at least 48 dp high.
ThemeData chatTheme(Brightness brightness) {
  final scheme = ColorScheme.fromSeed(seedColor: _seed, brightness: brightness);
  return ThemeData(
    colorScheme: scheme,
    useMaterial3: true,
    visualDensity: VisualDensity.standard,
    materialTapTargetSize: MaterialTapTargetSize.padded,
    inputDecorationTheme: const InputDecorationTheme(border: OutlineInputBorder()),
    snackBarTheme: const SnackBarThemeData(behavior: SnackBarBehavior.floating),
  );
}

/// Text of programs: arguments, results, states.
TextStyle codeStyle(BuildContext context) {
  final style = Theme.of(context).textTheme.bodySmall ?? const TextStyle();
  return style.copyWith(fontFamily: 'monospace', fontFamilyFallback: const ['Menlo', 'Courier']);
}
