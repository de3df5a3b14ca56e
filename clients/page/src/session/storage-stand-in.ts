/**
 * Stands in where a browser lets no page store anything: even a look at `localStorage` fails there. Imported before what
 * looks at it.
 */
import { MemoryStorage } from "./memory-storage";

for (const name of ["localStorage", "sessionStorage"] as const) {
  try {
    void window[name];
  } catch {
    Object.defineProperty(window, name, { value: new MemoryStorage() });
  }
}
