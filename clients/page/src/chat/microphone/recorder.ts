/** A recording of the microphone: its level while it runs, and its bytes at the end. */
import { signal } from "@preact/signals";

export type MicrophoneRefusal = { title: string; advice: string };

/** The forms that browsers record, the best first; the service reads all of them. */
const FORMS = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const LEVELS = 56;

export class Recorder {
  /** The last loudnesses, 0 to 1, newest last. */
  readonly levels = signal<readonly number[]>(new Array<number>(LEVELS).fill(0));
  readonly seconds = signal(0);
  readonly #stream: MediaStream;
  readonly #media: MediaRecorder;
  readonly #context = new AudioContext();
  readonly #analyser: AnalyserNode;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #startedAt = performance.now();
  #pieces: Blob[] = [];

  private constructor(stream: MediaStream, maxSeconds: number, onLimit: () => void) {
    this.#stream = stream;
    const mimeType = FORMS.find((form) => MediaRecorder.isTypeSupported(form));
    this.#media = new MediaRecorder(stream, mimeType ? { mimeType } : {});
    this.#media.ondataavailable = ({ data }) => data.size > 0 && this.#pieces.push(data);
    this.#media.start(1000);
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = 512;
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
    this.#timer = setInterval(() => {
      this.#measure();
      if (this.seconds.peek() >= maxSeconds) onLimit();
    }, 80);
  }

  /**
   * Ask for the microphone and begin.
   *
   * @param onLimit Called when the recording is as long as the service takes.
   * @throws MicrophoneRefusal when there is none, or it may not be used.
   */
  static async start(maxSeconds: number, onLimit: () => void): Promise<Recorder> {
    // Browsers have no `mediaDevices` on a page that came over plain http from another machine.
    if (!navigator.mediaDevices?.getUserMedia || typeof MediaRecorder === "undefined") throw microphoneRefusal("InsecureContext");
    try {
      const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
      return new Recorder(await navigator.mediaDevices.getUserMedia({ audio }), maxSeconds, onLimit);
    } catch (error) {
      throw microphoneRefusal(error instanceof DOMException ? error.name : "");
    }
  }

  /** End the recording and return it. */
  async stop(): Promise<Blob> {
    const stopped = new Promise((resolve) => this.#media.addEventListener("stop", resolve, { once: true }));
    if (this.#media.state !== "inactive") {
      this.#media.stop();
      await stopped;
    }
    this.#release();
    return new Blob(this.#pieces, { type: this.#media.mimeType });
  }

  cancel(): void {
    if (this.#media.state !== "inactive") this.#media.stop();
    this.#pieces = [];
    this.#release();
  }

  #release(): void {
    clearInterval(this.#timer);
    for (const track of this.#stream.getTracks()) track.stop();
    if (this.#context.state !== "closed") void this.#context.close();
  }

  #measure(): void {
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    this.levels.value = [...this.levels.peek().slice(1), Math.min(1, Math.sqrt(power) * 4)];
    this.seconds.value = (performance.now() - this.#startedAt) / 1000;
  }
}

/** Say in words why there is no microphone. */
export function microphoneRefusal(name: string): MicrophoneRefusal {
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return { title: "The microphone is blocked for this page.", advice: "Allow it beside the address in your browser, then try again." };
    case "NotFoundError":
    case "OverconstrainedError":
      return { title: "No microphone was found.", advice: "Connect one, then try again." };
    case "NotReadableError":
    case "AbortError":
      return { title: "The microphone is in use.", advice: "Close the other program that records, then try again." };
    case "InsecureContext":
      return { title: "This browser offers no microphone here.", advice: "Browsers allow it over https, or on this machine itself." };
    default:
      return { title: "The microphone cannot be used.", advice: "Check it in your system's settings, then try again." };
  }
}

/** Minutes and seconds, as a clock shows them. */
export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
