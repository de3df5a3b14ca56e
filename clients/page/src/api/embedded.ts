/** The routes of the embedded mode: only a page that a service of this machine has delivered has them. */
import { Problem } from "../session/types";
import { requestJson } from "./http";

const BASE = new URL("api/v1/embedded", document.baseURI.split("#")[0]).href;
/** A page of another origin cannot send this without asking first, and is refused then. */
const HEADERS = { "X-AgentRoute-Page": "1" };

export interface ModelInUse {
  source: "demo" | "chosen" | "environment";
  baseUrl: string | null;
  name: string;
  hasKey: boolean;
  /** Variables of the environment that decide; with any, nothing can be chosen here. */
  variables: string[];
  /** How requests are adapted for a model that was just chosen. */
  note?: string;
}

export interface LocalModelServer {
  title: string;
  baseUrl: string;
  models: string[];
}

export interface Endpoint {
  baseUrl: string;
  /** `null`: the key that is kept for this address. */
  apiKey: string | null;
}

export type ProcessName = "worker" | "api" | "redis";

export interface Kill {
  name: ProcessName;
  pid: number;
  killedAt: string;
}

export interface ServiceProcess {
  name: ProcessName;
  title: string;
  state: "running" | "starting" | "down" | "elsewhere";
  /** Why it cannot be killed here, of one that runs elsewhere. */
  reason?: string;
  pid?: number | null;
  startedAt?: string;
  restarts?: number;
  lastKill?: { pid: number; killedAt: string; backAt: string | null } | null;
}

function ask<T>(path: string, init: RequestInit & { json?: unknown } = {}): Promise<T> {
  return requestJson<T>(`${BASE}${path}`, { ...init, headers: HEADERS });
}

/** Return the model, and the model servers of this machine; `null` where there is no embedded mode. */
export async function readModel(): Promise<(ModelInUse & { found: LocalModelServer[] }) | null> {
  try {
    return await ask("/model");
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

export function listModels(endpoint: Endpoint, signal: AbortSignal): Promise<{ baseUrl: string; models: string[] }> {
  return ask("/models", { method: "POST", json: endpoint, signal });
}

export function chooseModel(choice: Endpoint & { name: string }): Promise<ModelInUse> {
  return ask("/model", { method: "PUT", json: choice });
}

export function forgetModel(): Promise<ModelInUse> {
  return ask("/model", { method: "DELETE" });
}

export async function readProcesses(): Promise<ServiceProcess[]> {
  return (await ask<{ processes: ServiceProcess[] }>("/processes")).processes;
}

export function killProcess(name: ProcessName): Promise<Kill> {
  return ask(`/processes/${name}/kill`, { method: "POST" });
}
