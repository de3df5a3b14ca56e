import type { Message, ResumeEntry } from "@ag-ui/client";
import { Problem, type ClientTool } from "../session/types";
import { address, requestJson } from "./http";
import type { RunStatus } from "./run-details";
import { rememberRequest } from "./sent-requests";

/** What a run is started with; members that are left out say nothing. */
export interface RunBody {
  threadId: string;
  runId: string;
  messages?: readonly Message[];
  resume?: readonly ResumeEntry[];
  state?: unknown;
  tools?: readonly Pick<ClientTool, "name" | "description" | "parameters">[];
  forwardedProps?: Record<string, unknown>;
}

export interface Accepted {
  runId: string;
  threadId: string;
  status: RunStatus;
}

const TRIES = 4;

/**
 * Start a run, or answer interrupts if the body has `resume`. A lost answer does no harm: the same run id and body are
 * sent again, and mean the same run.
 */
export async function startRun(body: RunBody): Promise<Accepted> {
  const path = body.resume ? "/resume" : "/runs";
  const url = address(path);
  const json = { protocolVersion: "1.0", ...body };
  rememberRequest(body.runId, { path, body: JSON.stringify(json) });
  for (let tried = 1; ; tried++) {
    try {
      return await requestJson<Accepted>(url, { method: "POST", json });
    } catch (error) {
      const again = error instanceof Problem && (error.status === 0 || error.status >= 500) && error.retryable;
      if (!again || tried === TRIES) throw error;
      const seconds = Math.max(error.retryAfter ?? 0, 2 ** (tried - 1)) * (0.75 + Math.random() / 2);
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    }
  }
}

/** Stop a run. A run that has ended meanwhile is no error. */
export async function cancelRun(threadId: string, runId: string): Promise<void> {
  try {
    await requestJson(address(`/runs/${encodeURIComponent(runId)}/cancel`), { method: "POST", json: { threadId } });
  } catch (error) {
    if (!(error instanceof Problem && error.code === "run-finished")) throw error;
  }
}
