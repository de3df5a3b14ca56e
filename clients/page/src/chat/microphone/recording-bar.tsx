import { useEffect, useRef } from "preact/hooks";
import { ProblemNote } from "../../problems/problem-note";
import { wordsOf } from "../../problems/words";
import { Button, IconButton, Spinner } from "../../ui/button";
import { AlertIcon, CheckIcon, CloseIcon } from "../../ui/icons";
import type { Dictaphone } from "./dictation";
import { clock, type Recorder } from "./recorder";
import "./microphone.css";

/** What stands in place of the composer's buttons while somebody speaks; nothing when nobody does. */
export function RecordingBar({ dictaphone }: { dictaphone: Dictaphone }) {
  const now = dictaphone.now.value;
  switch (now.state) {
    case "idle":
      return null;
    case "asking":
      return (
        <div class="recording-bar">
          <Spinner label="Waiting for the microphone" />
          <span class="recording-words">Allow the microphone in your browser…</span>
          <IconButton icon={CloseIcon} label="Cancel" onClick={() => dictaphone.cancel()} />
        </div>
      );
    case "recording":
      return <Recording recorder={now.recorder} dictaphone={dictaphone} />;
    case "writing":
      return (
        <div class="recording-bar">
          <Spinner label="Writing down what you said" />
          <span class="recording-words" aria-hidden="true">
            Writing down what you said…
          </span>
          <IconButton icon={CloseIcon} label="Cancel the transcription" onClick={() => dictaphone.cancel()} />
        </div>
      );
    case "failed":
      return (
        <ProblemNote
          problem={now.problem}
          retryAt={now.retryAt}
          onRetry={wordsOf(now.problem).remedy === "again" && now.problem.code !== "audio-empty" ? () => void dictaphone.retry() : undefined}
        >
          <Button onClick={() => dictaphone.cancel()}>Discard the recording</Button>
        </ProblemNote>
      );
    case "refused":
      return (
        <div class="recording-bar refused">
          <AlertIcon />
          <span class="recording-words" role="alert">
            <strong>{now.refusal.title}</strong> {now.refusal.advice}
          </span>
          <IconButton icon={CloseIcon} label="Dismiss" onClick={() => dictaphone.cancel()} />
        </div>
      );
  }
}

function Recording({ recorder, dictaphone }: { recorder: Recorder; dictaphone: Dictaphone }) {
  const done = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    done.current?.querySelector("button")?.focus();
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && dictaphone.cancel();
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [dictaphone]);
  return (
    <div class="recording-bar" role="group" aria-label="Recording">
      <IconButton icon={CloseIcon} label="Discard the recording" onClick={() => dictaphone.cancel()} />
      <span class="recording-dot" aria-hidden="true" />
      <span class="recording-clock" role="timer" aria-label="Recorded time">
        {clock(recorder.seconds.value)}
      </span>
      <Levels recorder={recorder} />
      <span ref={done}>
        <IconButton class="send" icon={CheckIcon} label="Write it down" onClick={() => void dictaphone.finish()} />
      </span>
    </div>
  );
}

function Levels({ recorder }: { recorder: Recorder }) {
  const bars = useRef<HTMLSpanElement>(null);
  const levels = recorder.levels.value;
  useEffect(() => {
    levels.forEach((level, place) => {
      const bar = bars.current?.children[place] as HTMLElement | undefined;
      if (!bar) return;
      bar.style.transform = `scaleY(${Math.max(0.08, level)})`;
      bar.classList.toggle("loud", level > 0.2);
    });
  }, [levels]);
  return (
    <span class="recording-levels" ref={bars} aria-hidden="true">
      {levels.map((_, place) => (
        <i key={place} />
      ))}
    </span>
  );
}
