/**
 * In place of `@ag-ui/core/schemas`, which `@ag-ui/client` imports: a second check of each event's members. The page
 * takes what its own service has checked, and zod with the schemas would be an eighth of the page (docs/adr/0051).
 */

/** Members of events that come in chunks; the service puts them together. */
const chunk = { shape: {} };

export const EventSchema = { options: [] };
export const RunAgentInputSchema = {};
export const TextMessageChunkEventSchema = chunk;
export const ToolCallChunkEventSchema = chunk;
export const ReasoningMessageChunkEventSchema = chunk;
