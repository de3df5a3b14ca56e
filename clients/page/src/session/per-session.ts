/** What other parts of the page keep for an open thread. */
import type { ThreadSession } from "./types";

/**
 * Return a function that makes something for a session at the first call, and gives the same at each later one. It goes
 * with its session: nothing of a thread outlives it, and none sees what is another's.
 */
export function perSession<T extends object, Rest extends readonly unknown[] = []>(
  make: (session: ThreadSession, ...rest: Rest) => T,
): (session: ThreadSession, ...rest: Rest) => T {
  const made = new WeakMap<ThreadSession, T>();
  return (session, ...rest) => {
    let own = made.get(session);
    if (own === undefined) made.set(session, (own = make(session, ...rest)));
    return own;
  };
}
