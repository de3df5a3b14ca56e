/** The processes of the service, read again and again while somebody looks. */
import { signal } from "@preact/signals";
import { readProcesses, type ServiceProcess } from "../api/embedded";

const PAUSE_MILLISECONDS = 500;

export const processes = signal<readonly ServiceProcess[]>([]);

/** Read until the returned function is called. An API that was killed answers again after a while. */
export function followProcesses(onRead: (processes: readonly ServiceProcess[]) => void): () => void {
  let isOver = false;
  const follow = async () => {
    while (!isOver) {
      if (!document.hidden) {
        await readProcesses().then(
          (read) => {
            if (isOver) return;
            processes.value = read;
            onRead(read);
          },
          () => {},
        );
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    }
  };
  void follow();
  return () => (isOver = true);
}
