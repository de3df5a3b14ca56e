/**
 * In place of `untruncate-json`, which `@ag-ui/client` imports: it completes the arguments of a call that is still being
 * written, for a callback that this page does not have.
 */
export default function untruncateJson(): never {
  throw new Error("Nobody asks for half written arguments.");
}
