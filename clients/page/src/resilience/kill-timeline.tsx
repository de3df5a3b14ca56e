import { count, plural } from "../usage/format";
import type { KillWatch, Verdict } from "./kill-watch";

/** What happened since a kill, drawn as a line from top to bottom. */
export function KillTimeline({ watch }: { watch: KillWatch }) {
  const verdict = watch.verdict.value;
  return (
    <section class="kill-timeline" aria-label="What happened">
      <h3>What happened</h3>
      <ol>
        {watch.beats.value.map((beat) => (
          <li key={`${beat.at} ${beat.text}`} class={beat.tone}>
            <time>{offset(beat.at - watch.killedAt)}</time>
            <span>{beat.text}</span>
          </li>
        ))}
        {verdict === null && <li class="waiting">…</li>}
      </ol>
      <div role="status">{verdict && <VerdictWords verdict={verdict} />}</div>
    </section>
  );
}

function VerdictWords({ verdict }: { verdict: Verdict }) {
  const isGood = verdict.isEqual && verdict.twice === 0;
  return (
    <div class={`kill-verdict ${isGood ? "good" : "bad"}`}>
      <strong>{isGood ? "None lost, none twice." : "Something differs."}</strong>
      <p>
        {plural(verdict.count, "event")} since the kill, {verdict.twice === 0 ? "each once" : `${verdict.twice} of them twice`}. The text{" "}
        {verdict.isEqual ? "equals" : "differs from"} what is stored ({count(verdict.characters)} characters).
      </p>
    </div>
  );
}

function offset(milliseconds: number): string {
  return milliseconds <= 0 ? "0.0 s" : `+${(milliseconds / 1000).toFixed(1)} s`;
}
