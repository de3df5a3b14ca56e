/** From the microphone to text: asked for, recorded, written down. */
import { signal } from "@preact/signals";
import { transcribe } from "../../api/transcribe";
import { retryTime } from "../../problems/countdown";
import { asProblem, Problem } from "../../session/types";
import { Recorder, type MicrophoneRefusal } from "./recorder";

export type Dictation =
  | { state: "idle" }
  | { state: "asking" }
  | { state: "recording"; recorder: Recorder }
  | { state: "writing" }
  /** The recording is kept: it can be sent again. */
  | { state: "failed"; problem: Problem; recording: Blob; retryAt: number | null }
  | { state: "refused"; refusal: MicrophoneRefusal };

export class Dictaphone {
  readonly now = signal<Dictation>({ state: "idle" });
  readonly #onText: (text: string) => void;
  #sending: AbortController | null = null;

  constructor(onText: (text: string) => void) {
    this.#onText = onText;
  }

  async start(maxSeconds: number): Promise<void> {
    this.now.value = { state: "asking" };
    try {
      const recorder = await Recorder.start(maxSeconds, () => void this.finish());
      if (this.now.peek().state === "asking") this.now.value = { state: "recording", recorder };
      else recorder.cancel();
    } catch (refusal) {
      this.now.value = { state: "refused", refusal: refusal as MicrophoneRefusal };
    }
  }

  /** End the recording, and have it written down. */
  async finish(): Promise<void> {
    const now = this.now.peek();
    if (now.state !== "recording") return;
    this.now.value = { state: "writing" };
    await this.#write(await now.recorder.stop());
  }

  async retry(): Promise<void> {
    const now = this.now.peek();
    if (now.state !== "failed") return;
    this.now.value = { state: "writing" };
    await this.#write(now.recording);
  }

  /** Throw everything away. */
  cancel(): void {
    const now = this.now.peek();
    if (now.state === "recording") now.recorder.cancel();
    this.#sending?.abort();
    this.now.value = { state: "idle" };
  }

  async #write(recording: Blob): Promise<void> {
    const sending = (this.#sending = new AbortController());
    try {
      const { text } = await transcribe(recording, sending.signal);
      if (sending.signal.aborted) return;
      if (text.trim() === "") throw new Problem("audio-empty", "No speech was heard.", 422, false);
      this.now.value = { state: "idle" };
      this.#onText(text.trim());
    } catch (error) {
      if (sending.signal.aborted) return;
      const problem = asProblem(error);
      this.now.value = { state: "failed", problem, recording, retryAt: retryTime(problem) };
    }
  }
}
