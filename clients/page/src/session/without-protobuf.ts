/**
 * In place of `@ag-ui/proto`, which `@ag-ui/client` imports: the binary form of the protocol. The service speaks JSON
 * only, and the code for the other form would be a sixth of the page.
 */

/** Never in an answer of the service. */
export const AGUI_MEDIA_TYPE = "application/vnd.ag-ui.event+proto";

export function encode(): never {
  throw new Error("This page speaks JSON only.");
}

export const decode = encode;

export class AGUIUnknownEventTypeError extends Error {}
