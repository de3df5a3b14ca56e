import type { ThreadSession } from "../session/types";
import { lazy } from "../ui/lazy";

const QuestionList = lazy<{ session: ThreadSession }>(() => import("./question-list").then((module) => module.QuestionList));

/** The open questions of a thread; what shows them is loaded with the first one. */
export function OpenQuestions({ session }: { session: ThreadSession }) {
  return session.interrupts.value.length === 0 ? null : <QuestionList session={session} />;
}
