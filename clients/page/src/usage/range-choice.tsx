import { lastDays, lengthInDays, rangeProblem, type UsageRange } from "./usage-range";

const PERIODS = [7, 30, 90, 365];

/** The period: one of the usual ones, or two days. */
export function RangeChoice({ range, onChange }: { range: UsageRange; onChange(range: UsageRange): void }) {
  const today = lastDays(1, Date.now()).to;
  const problem = rangeProblem(range);
  const days = range.to === today ? lengthInDays(range) : null;
  return (
    <div class="range-choice">
      <fieldset class="choice">
        <legend class="unseen">Period</legend>
        {PERIODS.map((period) => (
          <label key={period}>
            <input type="radio" name="usage-period" checked={days === period} onChange={() => onChange(lastDays(period, Date.now()))} />
            {period === 365 ? "1 year" : `${period} days`}
          </label>
        ))}
      </fieldset>
      <label class="range-day">
        <span>From</span>
        <input class="field" type="date" value={range.from} max={range.to} onChange={(event) => onChange({ ...range, from: event.currentTarget.value })} />
      </label>
      <label class="range-day">
        <span>To</span>
        <input class="field" type="date" value={range.to} max={today} onChange={(event) => onChange({ ...range, to: event.currentTarget.value })} />
      </label>
      {problem !== null && (
        <p class="range-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}
