/** The recorded streams of the service's own tests: every byte that clients get for a run. */
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../../backend/tests/recorded/streams/", import.meta.url);

export interface Recording {
  readonly name: string;
  /** `id:` and `data:` lines of one event each. */
  readonly frames: readonly string[];
}

/** Every recorded run that begins and ends as the protocol says. */
export function recordings(): Recording[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => ({ name: name.replace(".json", ""), frames: framesOf(name) }))
    .filter(({ frames }) => frames[0]?.includes('"RUN_STARTED"') && /"RUN_(FINISHED|ERROR)"/.test(frames.at(-1) ?? ""));
}

function framesOf(name: string): string[] {
  return (JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")) as { frames: string[] }).frames;
}
