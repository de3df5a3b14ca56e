import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const SESSION = new URL("../../src/session/", import.meta.url);

test("a session knows nothing of what shows it: it imports its own folder and the requests alone", () => {
  const upward = readdirSync(SESSION).flatMap((name) =>
    [...readFileSync(new URL(name, SESSION), "utf8").matchAll(/from "(\.\.\/[^"]*)"/g)]
      .map(([, path]) => path!)
      .filter((path) => !path.startsWith("../api/"))
      .map((path) => `${name}: ${path}`),
  );
  expect(upward).toEqual([]);
});
