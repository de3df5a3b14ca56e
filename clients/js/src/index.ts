/** Clients of an AgentRoute service that survive a lost connection. */
export { ConnectingAgent } from "./connecting-agent.js";
export { FollowedThread, type FollowEnd, type FollowOptions, type Frame } from "./followed-thread.js";
export type { Fetch } from "./line.js";
export { resumingFetch, type ResumingFetchOptions } from "./resuming-fetch.js";
export type { ConnectionState, RetryOptions } from "./retries.js";
export { INPUT_EVENT, withInput, type RunInput } from "./run-input.js";
export { blocksOf, type SseBlock } from "./sse-blocks.js";
export { StreamError } from "./stream-error.js";
export { ThreadAgent, type ThreadAgentConfig } from "./thread-agent.js";
export { anyWake, Bell, browserWake, type Wake } from "./wake.js";
