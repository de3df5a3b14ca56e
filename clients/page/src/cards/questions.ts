/** Open questions of a run as cards show them: pure, from AG-UI's interrupts. */
import type { Interrupt, Message, ResumeEntry } from "@ag-ui/client";
import { isObject, parsed } from "./loose-json";
import { type Field, type Member, type Schema, fieldOf } from "./schema";

export interface Question {
  interrupt: Interrupt;
  /** `approval`: yes or no. `connection`: a login first. `form`: an answer of a shape of its own. `notice`: go on. */
  kind: "approval" | "connection" | "form" | "notice";
  /** The tool that the question is about. */
  toolName: string | null;
  /** The call's arguments as JSON text. */
  argumentsText: string | null;
  /** The form of the call's arguments, if whoever approves may change them. */
  input: Field | null;
  /** The member of the answer that says why the user declined. */
  reasonName: string | null;
  /** What else the answer has. */
  extras: readonly Member[];
  /** The form of the whole answer, for `kind` "form". */
  answer: Field | null;
}

/** What the user has decided so far about one question. */
export interface Draft {
  decision: "approve" | "decline" | null;
  reason: string;
  /** Changed arguments; `undefined`: as the agent wrote them. */
  input: unknown;
  extras: Record<string, unknown>;
  answer: unknown;
}

const REASON_NAMES = ["reason", "comment", "feedback", "note", "explanation"];

export function questionOf(interrupt: Interrupt, messages: readonly Message[]): Question {
  const call = callNamed(interrupt.toolCallId, messages);
  const schema: Schema = isObject(interrupt.responseSchema) ? interrupt.responseSchema : {};
  const members = membersOf(schema);
  const approved = members.find((member) => member.name === "approved" && member.field.kind === "boolean");
  const others = members.filter((member) => member !== approved);
  const reason = others.find((member) => REASON_NAMES.includes(member.name) && member.field.kind === "text");
  const base = {
    interrupt,
    toolName: call?.function.name ?? null,
    argumentsText: call?.function.arguments ?? null,
    input: null,
    reasonName: null,
    extras: [],
    answer: null,
  };
  if (interrupt.reason === "connection_required") return { ...base, kind: "connection" };
  if (approved) {
    const input = others.find((member) => member.name === "input");
    return {
      ...base,
      kind: "approval",
      input: input?.field ?? null,
      reasonName: reason?.name ?? null,
      extras: others.filter((member) => member !== input && member !== reason),
    };
  }
  if (Object.keys(schema).length === 0) return { ...base, kind: "notice" };
  return { ...base, kind: "form", answer: fieldOf(schema) };
}

export function emptyDraft(): Draft {
  return { decision: null, reason: "", input: undefined, extras: {}, answer: undefined };
}

/** Return the arguments that the form begins with. */
export function argumentsOf(question: Question): unknown {
  return parsed(question.argumentsText ?? "") ?? {};
}

/** Return the entry for `POST /resume`; `null` while nothing is decided. */
export function entryOf(question: Question, draft: Draft, isExpired: boolean): ResumeEntry | null {
  const interruptId = question.interrupt.id;
  // An expired question can only be laid aside: the service takes no other answer.
  if (isExpired) return { interruptId, status: "cancelled" };
  if (draft.decision === null) return null;
  if (draft.decision === "decline") {
    if (question.kind !== "approval" || question.extras.some((member) => member.isRequired)) {
      return { interruptId, status: "cancelled" };
    }
    const reason = question.reasonName && draft.reason.trim() ? { [question.reasonName]: draft.reason.trim() } : {};
    return { interruptId, status: "resolved", payload: { approved: false, ...reason } };
  }
  switch (question.kind) {
    case "connection":
    case "notice":
      return { interruptId, status: "resolved" };
    case "form":
      return { interruptId, status: "resolved", payload: draft.answer };
    case "approval":
      return { interruptId, status: "resolved", payload: approval(question, draft) };
  }
}

export function isExpired(interrupt: Interrupt, now: number): boolean {
  return interrupt.expiresAt !== undefined && Date.parse(interrupt.expiresAt) <= now;
}

function approval(question: Question, draft: Draft): Record<string, unknown> {
  const isEdited =
    draft.input !== undefined && JSON.stringify(draft.input) !== JSON.stringify(argumentsOf(question));
  return { approved: true, ...draft.extras, ...(question.input && isEdited ? { input: draft.input } : {}) };
}

function membersOf(schema: Schema): readonly Member[] {
  const field = fieldOf(schema);
  return field.kind === "object" ? field.members : [];
}

function callNamed(id: string | undefined, messages: readonly Message[]) {
  if (id === undefined) return undefined;
  for (let at = messages.length - 1; at >= 0; at--) {
    const message = messages[at]!;
    if (message.role !== "assistant") continue;
    const call = message.toolCalls?.find((one) => one.id === id);
    if (call) return call;
  }
  return undefined;
}
