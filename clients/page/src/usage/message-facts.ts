/** What the service says of the model calls that wrote a message, in `metadata`. */
import type { Message } from "@ag-ui/client";
import { count, duration, facts, money, plural } from "./format";

export interface MessageFacts {
  /** One short line. */
  line: string;
  /** Everything, name and value. */
  details: [name: string, value: string][];
}

/** `null` for a message that says nothing of its cost, such as one that is still being written. */
export function messageFacts(message: Message): MessageFacts | null {
  const metadata = ("metadata" in message ? (message.metadata ?? {}) : {}) as Record<string, unknown>;
  const number = (name: string) => (typeof metadata[name] === "number" ? (metadata[name] as number) : null);
  const text = (name: string) => (typeof metadata[name] === "string" ? (metadata[name] as string) : null);
  const [input, output, latency, first] = [number("inputTokens"), number("outputTokens"), number("latencyMs"), number("ttftMs")];
  if (input === null && output === null && latency === null) return null;

  const cost = money(text("cost"), text("currency") ?? "USD");
  const details: [string, string | null][] = [
    ["Model", text("model")],
    ["Input", input === null ? null : plural(input, "token")],
    ["of them cached", amount(number("cachedInputTokens"))],
    ["Output", output === null ? null : plural(output, "token")],
    ["of them reasoning", amount(number("reasoningTokens"))],
    ["Cost", cost],
    ["First token after", first === null ? null : duration(first)],
    ["Complete after", latency === null ? null : duration(latency)],
    ["Finish reason", text("finishReason")],
  ];
  return {
    line: facts(
      text("model"),
      plural((input ?? 0) + (output ?? 0), "token"),
      text("cost") !== null && cost,
      latency !== null && duration(latency),
    ),
    details: details.filter((pair): pair is [string, string] => pair[1] !== null),
  };
}

function amount(tokens: number | null): string | null {
  return tokens === null || tokens === 0 ? null : count(tokens);
}
