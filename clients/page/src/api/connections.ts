/** The user's own identities at MCP servers. */
import { address, requestJson } from "./http";

export interface Connection {
  server: string;
  auth: "user-token" | "oauth";
  state: "connected" | "absent" | "expired" | "refused";
}

export async function listConnections(): Promise<Connection[]> {
  return (await requestJson<{ connections: Connection[] }>(address("/connections"))).connections;
}

/** Give the user's own token for a server. It is kept by the service, and shown to nobody. */
export async function giveToken(server: string, token: string): Promise<Connection> {
  return await requestJson<Connection>(address(`/connections/${encodeURIComponent(server)}`), {
    method: "PUT",
    json: { token },
  });
}
