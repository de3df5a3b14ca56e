import type { Message } from "@ag-ui/client";
import { describe, expect, it } from "vitest";
import { messageFacts } from "../../src/usage/message-facts";

const of = (metadata: Record<string, unknown>) =>
  messageFacts({ id: "m", role: "assistant", content: "x", metadata } as unknown as Message);

describe("what an answer took", () => {
  it("is one line, and unfolds", () => {
    const found = of({
      model: "large",
      inputTokens: 1200,
      cachedInputTokens: 1000,
      outputTokens: 34,
      reasoningTokens: 12,
      cost: "0.00042",
      currency: "EUR",
      ttftMs: 210,
      latencyMs: 1840,
      finishReason: "stop",
    });
    expect(found!.line).toBe("large · 1,234 tokens · €0.00042 · 1.84 s");
    expect(Object.fromEntries(found!.details)).toEqual({
      Model: "large",
      Input: "1,200 tokens",
      "of them cached": "1,000",
      Output: "34 tokens",
      "of them reasoning": "12",
      Cost: "€0.00042",
      "First token after": "210 ms",
      "Complete after": "1.84 s",
      "Finish reason": "stop",
    });
  });

  it("does not call an unknown cost free", () => {
    const found = of({ model: "x", inputTokens: 1, outputTokens: 0, latencyMs: 5 })!;
    expect(found.line).toBe("x · 1 token · 5 ms");
    expect(found.details).toContainEqual(["Cost", "unknown"]);
  });

  it("is nothing while the message is being written, or for a message of a user", () => {
    expect([of({}), of({ incomplete: true })]).toEqual([null, null]);
    expect(messageFacts({ id: "m", role: "user", content: "x" })).toBeNull();
  });
});
