import type { RunDetails } from "../api/run-details";

const TONES = {
  waiting: "soft",
  queued: "soft",
  running: "live",
  succeeded: "good",
  interrupted: "warn",
  cancelled: "soft",
  failed: "bad",
} as const;

const WORDS = { interrupted: "waits for you" } as Partial<Record<RunDetails["status"], string>>;

export function RunBadge({ run }: { run: Pick<RunDetails, "status" | "waitsFor"> }) {
  const word = run.waitsFor === "approval" ? WORDS[run.status] : undefined;
  return <span class={`run-badge ${TONES[run.status]}`}>{word ?? run.status}</span>;
}
