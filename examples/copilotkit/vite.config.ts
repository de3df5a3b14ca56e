import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // The browser speaks to one host; your own server would pass these requests on.
  server: { proxy: { "/api": process.env.AGENTROUTE_URL ?? "http://127.0.0.1:8000" } },
  preview: { proxy: { "/api": process.env.AGENTROUTE_URL ?? "http://127.0.0.1:8000" } },
});
