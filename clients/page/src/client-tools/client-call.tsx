import { useEffect, useState } from "preact/hooks";
import { findAnswered } from "../api/history";
import { parsed } from "../cards/loose-json";
import type { ToolCallView } from "../cards/tool-calls";
import type { ThreadSession } from "../session/types";
import { Button } from "../ui/button";
import { carryOutOf } from "./carry-out";
import { lazy } from "../ui/lazy";
import { chartData, type ChartData } from "./chart-data";
import { clientTools } from "./registry";
import "./client-call.css";

const Chart = lazy<{ data: ChartData }>(() => import("./chart").then((module) => module.Chart));

/** The window that began the run answers at once; another one is asked only if it does not. */
const PATIENCE_MILLISECONDS = 2_500;

/** What a client tool adds to its card: the chart itself, and the offer to carry out a call that nobody answered. */
export function ClientCall({ session, call }: { session: ThreadSession; call: ToolCallView }) {
  return (
    <>
      {call.name === "show_chart" && <ShownChart call={call} />}
      {call.status === "pending" && <Pending session={session} call={call} />}
    </>
  );
}

function ShownChart({ call }: { call: ToolCallView }) {
  // Half written arguments draw nothing: a chart that grows by itself is no chart of the numbers.
  if (call.status === "writing" || call.status === "declined" || call.status === "failed") return null;
  const data = chartData(parsed(call.arguments));
  return typeof data === "string" ? null : <Chart data={data} />;
}

function Pending({ session, call }: { session: ThreadSession; call: ToolCallView }) {
  const carryOut = carryOutOf(session, clientTools, findAnswered);
  const isLate = useLate(PATIENCE_MILLISECONDS);
  const { busy, problem } = carryOut.state.value;
  if (!carryOut.canCarryOut(call)) {
    return <p class="call-offer">This page does not have this tool. Another application has to answer, or write a new message.</p>;
  }
  const run = session.run.value;
  const isOwn = run !== null && session.isOwn(run.runId);
  if (busy.has(call.id) || (!isLate && problem === null) || (isOwn && problem === null)) return null;
  return (
    <div class="call-offer" role="status">
      <span>{problem ?? "The window that began this has not carried it out."}</span>
      <Button onClick={() => void carryOut.answerAsked([call])}>{problem ? "Try again" : "Carry out here"}</Button>
    </div>
  );
}

function useLate(milliseconds: number): boolean {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), milliseconds);
    return () => clearTimeout(timer);
  }, [milliseconds]);
  return isLate;
}
