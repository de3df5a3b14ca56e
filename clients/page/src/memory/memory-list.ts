/** The user's memories as far as they were read, newest first. What is deleted never comes back with a late page. */
import { batch, signal } from "@preact/signals";
import { deleteMemories, deleteMemory, listMemories, type Memory } from "../api/memory";
import { asProblem, Problem } from "../session/types";

export class MemoryList {
  /** `null` until the first page is here. */
  readonly items = signal<readonly Memory[] | null>(null);
  readonly nextBefore = signal<string | null>(null);
  readonly isReading = signal(false);
  /** Why the last page could not be read. */
  readonly problem = signal<Problem | null>(null);
  readonly #deleted = new Set<string>();
  #asked = new AbortController();

  /** Read the first page, or the next one. One at a time. */
  async read(): Promise<void> {
    if (this.isReading.peek()) return;
    const { signal: stop } = (this.#asked = new AbortController());
    this.isReading.value = true;
    this.problem.value = null;
    try {
      const page = await listMemories(this.nextBefore.peek(), stop);
      if (stop.aborted) return;
      batch(() => {
        const fresh = page.memories.filter(({ memoryId }) => !this.#deleted.has(memoryId));
        this.items.value = [...(this.items.peek() ?? []), ...fresh];
        this.nextBefore.value = page.nextBefore;
        this.isReading.value = false;
      });
    } catch (error) {
      if (stop.aborted) return;
      batch(() => {
        this.problem.value = asProblem(error);
        this.isReading.value = false;
      });
    }
  }

  /**
   * Delete one.
   *
   * @throws Problem when the service refuses. One that is gone already is no error.
   */
  async delete(memoryId: string): Promise<void> {
    await deleteMemory(memoryId).catch((error: unknown) => {
      if (!(error instanceof Problem && error.code === "not-found")) throw error;
    });
    this.#deleted.add(memoryId);
    this.items.value = this.items.peek()?.filter((one) => one.memoryId !== memoryId) ?? null;
    // Nothing in view is not nothing at all.
    if (this.items.peek()?.length === 0 && this.nextBefore.peek() !== null) await this.read();
  }

  /** Delete all, also those that were not read yet. */
  async deleteAll(): Promise<void> {
    await deleteMemories();
    this.stop();
    batch(() => {
      this.items.value = [];
      this.nextBefore.value = null;
      this.problem.value = null;
    });
  }

  /** What is under way says nothing any more. */
  stop(): void {
    this.#asked.abort();
    this.isReading.value = false;
  }
}
