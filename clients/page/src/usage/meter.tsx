import { FactList, type Facts } from "../ui/fact-list";
import "./meter.css";

interface MeterProps {
  line: string;
  title?: string;
  details: Facts;
}

/** One line of numbers. Unfolds. */
export function Meter({ line, title, details }: MeterProps) {
  return (
    <details class="meter">
      <summary title={title}>{line}</summary>
      <FactList class="meter-details" facts={details} />
    </details>
  );
}
