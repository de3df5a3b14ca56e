import { fileURLToPath } from "node:url";
import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [preact()],
  // Relative addresses: the service may be mounted below a path of another host.
  base: "./",
  resolve: {
    alias: {
      "@agentroute/client": here("../js/src/index.ts"),
      "@ag-ui/proto": here("src/session/without-protobuf.ts"),
    },
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
