import { fileURLToPath } from "node:url";
import preact from "@preact/preset-vite";
import { defaultClientConditions, defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [preact()],
  // Relative addresses: the service may be mounted below a path of another host.
  base: "./",
  resolve: {
    // rxjs for browsers of today: its other form brings helpers for those without classes.
    conditions: ["es2015", ...defaultClientConditions],
    alias: [
      { find: "@agentroute/client", replacement: here("../js/src/index.ts") },
      // What the official client imports and the page does not use.
      { find: "@ag-ui/proto", replacement: here("src/session/without-protobuf.ts") },
      { find: "@ag-ui/core/schemas", replacement: here("src/session/without-schemas.ts") },
      { find: "untruncate-json", replacement: here("src/session/without-partial-arguments.ts") },
      { find: /^fast-json-patch$/, replacement: here("src/session/json-patch.ts") },
    ],
  },
  build: {
    outDir: here("../../backend/src/agentroute/page/built"),
    emptyOutDir: true,
    target: "es2022",
    // An inline script or a data: font would need an exception in the page's Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Names without a hash: the files are committed, and the service sends an ETag.
    rollupOptions: {
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8000" } },
  test: { include: ["tests/**/*.test.{ts,tsx}"] },
} as import("vite").UserConfig);
