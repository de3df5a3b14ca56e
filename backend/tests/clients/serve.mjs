// Reads scenarios from stdin, one `name [argument…]` a line; answers each with one line of JSON: what came of it.

import { createInterface } from "node:readline";
import { scenarios } from "./scenarios.mjs";

const PATIENCE_MS = 30_000;

/** Serve scenarios with one client until stdin ends. */
export async function serve(client, base) {
  // What a client complains about belongs to the report: a field it strips, a promise that nobody caught.
  let complaints = [];
  for (const level of ["warn", "error"]) {
    console[level] = (...words) => void complaints.push(words.map(String).join(" "));
  }
  process.on("unhandledRejection", (error) => void complaints.push(`unhandled: ${error?.stack ?? error}`));

  for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...argument] = line.split(" ");
    complaints = [];
    const late = new Promise((_, reject) => {
      setTimeout(() => reject(new Error(`no end after ${PATIENCE_MS} ms`)), PATIENCE_MS).unref();
    });
    const report = await Promise.race([scenarios[name](client, base, ...argument), late]).catch((error) => ({
      error: error.stack,
    }));
    // A turn of the event loop later, a promise that nobody caught has been noticed.
    await new Promise(setImmediate);
    process.stdout.write(`${JSON.stringify({ ...report, complaints })}\n`);
  }
  process.exit();
}
