/**
 * What each code of docs/problems.md means to the person in front of the page, and what can be done about it.
 * A test compares the two lists.
 */
import type { Problem } from "../session/types";

/** What helps. `again`: the same once more. `edit`: another message. `thread`: a new thread. `none`: nothing here. */
export type Remedy = "again" | "edit" | "thread" | "none";

export interface Words {
  /** What has happened, as a sentence. */
  title: string;
  /** What to do, as one or two sentences. */
  advice: string;
  remedy: Remedy;
}

const words = (title: string, advice: string, remedy: Remedy = "none"): Words => ({ title, advice, remedy });

const REPORT = "Try again. If it happens again, tell the operator of this service.";
const BUG = "This looks like a fault of the page. Reload it; if that does not help, tell the operator.";

export const WORDS: Readonly<Record<string, Words>> = {
  // The model and the run.
  "model-unavailable": words("The model cannot be reached.", "It did not answer, even after retries. Try again in a moment.", "again"),
  "model-timeout": words("The model took too long.", "Try again, or ask for less at once.", "again"),
  "model-stream-error": words("The answer was cut off.", "The part that arrived is kept. Try again for a whole answer.", "again"),
  "model-empty": words("The model gave no answer.", "Try again, or ask in other words.", "again"),
  "context-too-long": words("The conversation is too long for the model.", "Send a shorter message, or start a new thread.", "thread"),
  "content-filtered": words("A content filter stopped this.", "What arrived before is kept. Ask in other words.", "edit"),
  "max-iterations": words("The agent used all of its steps.", "Ask for a smaller task, or let it go on from here.", "edit"),
  "run-timeout": words("The answer took too long and was stopped.", "Try again, or ask for a smaller task.", "again"),
  "queue-timeout": words("Nobody was free to answer in time.", "The service is busy. Try again in a moment.", "again"),
  "worker-lost": words("The process that was answering has died.", "What arrived is kept. Try again.", "again"),
  "worker-shutdown": words("The service was restarted during the answer.", "What arrived is kept. Try again.", "again"),
  "output-too-large": words("The answer grew too large to be stored.", "What arrived is kept. Ask for less at once.", "edit"),
  "output-not-storable": words("A part of the answer could not be stored.", "What arrived is kept. Send the next message.", "again"),
  "budget-exhausted": words("The budget is used up.", "Wait until tomorrow, or ask the operator for more."),
  "agent-failed": words("The agent's own code failed.", "The operator finds the reason in the log. You can try again.", "again"),
  "agent-missing": words("The agent of this run is gone.", "It was taken out of the service. Choose another agent in a new thread.", "thread"),
  "agent-unknown": words("This agent does not exist any more.", "The conversation stays readable. Start a new thread with another agent.", "thread"),
  "agent-fixed": words("This thread belongs to another agent.", "Start a new thread to talk to this one.", "thread"),
  "internal-error": words("Something went wrong inside the service.", REPORT, "again"),

  // The state of the thread.
  "run-active": words("The agent is still answering.", "Wait for the end of its answer, or stop it.", "again"),
  "run-finished": words("The answer had already ended.", "There was nothing left to stop."),
  "interrupt-open": words("The agent waits for an answer of yours.", "Answer its question above, or send your message and decline it."),
  "interrupt-expired": words("The question can no longer be answered.", "Send a new message instead.", "edit"),
  "interrupt-resolved": words("The question was answered already.", "Perhaps in another tab or on another device."),
  "interrupt-uncovered": words("Not every open question was answered.", "Answer all of them at once."),
  conflict: words("The thread has changed meanwhile.", "Look at what is new, then decide.", "again"),
  "queue-full": words("Too many messages wait for the agent.", "Wait until the agent has caught up.", "again"),
  "not-found": words("This does not exist any more.", "It was deleted, or belongs to another user."),
  "events-expired": words("Old events of this thread were deleted.", "Its messages are kept. Reload the page to read them."),

  // Attachments, files and speech.
  "attachment-unsupported": words("An attachment cannot be given to the model.", "It takes images, PDF, text, and sound as WAV or MP3. Remove the attachment, or convert it.", "edit"),
  "file-empty": words("The file is empty.", "Choose another one.", "edit"),
  "file-unknown": words("An attached file is no longer stored.", "Attach it again.", "edit"),
  "file-quota-exceeded": words("There is no room left for your files.", "Delete threads with files that you no longer need.", "again"),
  "file-gone": words("This file was deleted.", "Attach it again if you need it. The conversation stays.", "edit"),
  "storage-quota-exceeded": words("There is no room left to store more.", "Delete threads or files that you no longer need, then send it again.", "again"),
  "erasure-under-way": words("Your data is being erased.", "Wait until it is over. Then you can begin anew.", "again"),
  "files-unavailable": words("The store of files does not answer.", "Try again in a moment.", "again"),
  "files-off": words("This service keeps no files.", "Send text instead, or ask the operator to switch files on.", "edit"),
  "range-not-satisfiable": words("The file is shorter than expected.", "Reload the page, and open it again."),
  "url-not-allowed": words("The service does not fetch addresses.", "Attach the file itself.", "edit"),
  "audio-empty": words("Nothing was recorded.", "Check that the right microphone is chosen, then record again.", "again"),
  "audio-too-long": words("The recording is too long.", "Speak in shorter pieces."),
  "transcription-failed": words("The speech could not be turned into text.", "Try again in a moment.", "again"),
  "transcription-timeout": words("The speech service took too long.", "Try again, or record a shorter piece.", "again"),
  "upload-timeout": words("The upload took too long.", "Try again over a faster connection, or send less.", "again"),

  // Size and form of what was sent.
  "body-too-large": words("This is too large to be sent.", "Send less at once: a shorter text, or a smaller file.", "edit"),
  "limit-exceeded": words("A part of the message is too long.", "Shorten it, or send it in pieces.", "edit"),
  "invalid-text": words("The text has a character that cannot be stored.", "Remove it; it may be invisible, and have come with a paste.", "edit"),
  "invalid-request": words("The service did not accept this.", "Change the message, and send it again.", "edit"),
  "idempotency-mismatch": words("Another message was sent under the same number.", "Send it again.", "again"),
  "malformed-json": words("The service could not read the request.", BUG),
  "malformed-http": words("The service could not read the request.", "Something between this page and the service changes what is sent."),
  "unsupported-media-type": words("The service does not take this kind of content.", "Send text, or attach a file of another type.", "edit"),
  "method-not-allowed": words("The service cannot do this.", BUG),
  "target-too-long": words("The request was too long.", BUG),
  "headers-too-large": words("The browser sent too much with the request.", "Delete the cookies of this site, then reload the page."),
  "bad-cursor": words("The page lost its place in the thread.", "Reload the page."),
  "cursor-ahead": words("The page lost its place in the thread.", "The service was perhaps restored from a backup. Reload the page."),

  // Who you are, and what you may.
  unauthenticated: words("You are not signed in.", "Sign in again. Your text is kept.", "again"),
  "ticket-invalid": words("The ticket for this stream is not valid.", "It is used up, or has expired. Reload the page for a new one."),
  "tickets-unavailable": words("There are no tickets for streams at the moment.", "Try again in a moment.", "again"),
  "key-ended": words("This API key has ended.", "It was revoked, or has expired. Create a new one."),
  "schedule-unreadable": words("The service cannot read this schedule.", "A newer version of it may have written it. Delete the schedule, or ask the operator to update the service."),
  "requeue-refused": words("This run cannot be queued again.", "It would be done twice, or it has ended. The details say why."),
  forbidden: words("You are not allowed to do this.", "Ask the operator for the permission."),
  "login-not-wanted": words("This server needs no login of yours.", "There is nothing to connect."),
  "token-not-wanted": words("This server takes no token of yours.", "There is nothing to connect."),

  // The model that is chosen, and the processes that may be killed, on a machine of one's own.
  "model-refused": words("The model did not answer.", "Check its address, key and name. The details say what to correct."),
  "model-fixed": words("The model is set in the environment.", "Remove those variables and start the service again to choose one here."),
  "model-not-used": words("The model could not be taken into use.", "It answers, but the service kept the one before. The details say why."),
  "process-unavailable": words("This process cannot be stopped now.", "It is starting, or it is a server of your own. Wait a moment."),
  "supervisor-unavailable": words("The service's supervisor does not answer.", "Try again; if that does not help, start the service again.", "again"),

  // The service is busy, or away.
  "rate-limited": words("You have sent a lot in a short time.", "Wait a moment, then try again.", "again"),
  overloaded: words("The service is very busy.", "Wait a moment, then try again.", "again"),
  "store-unavailable": words("The service cannot reach its database.", "Try again in a moment. Nothing is lost.", "again"),
  "issuer-unavailable": words("The service cannot check your sign-in now.", "Try again in a moment. You stay signed in.", "again"),
  "schema-incompatible": words("The service is being updated.", "Try again in a minute.", "again"),
  "page-not-built": words("This page is not built in the checkout.", "Build it as the message in the details says, then reload."),
  "request-timeout": words("The request took too long to arrive.", "Check your connection, then try again.", "again"),
};

/** Refusals that are not the service's: its code, or that of what stands in front of it, is not in the list. */
const OTHERS: Readonly<Record<string, Words>> = {
  network: words("The service cannot be reached.", "Check your connection. Your text is kept.", "again"),
  unsent: words("This message was not sent.", "The page was closed before the service had it.", "again"),
};

/** Return the words for a refusal. A code that nobody knows gets the service's own sentence. */
export function wordsOf({ code, message, retryable }: Pick<Problem, "code" | "message"> & { retryable?: boolean }): Words {
  const known = Object.hasOwn(WORDS, code) ? WORDS[code] : Object.hasOwn(OTHERS, code) ? OTHERS[code] : undefined;
  if (known) return known;
  if (/^http-5/.test(code)) return words("The service does not answer properly.", REPORT, "again");
  return words(message || "Something went wrong.", retryable ? "Try again in a moment." : "", retryable === false ? "none" : "again");
}
