import { describe, expect, it } from "vitest";
import { isAtEnd, scrollToShow, windowRange } from "../../src/inspector/window-range";

describe("a list of any length", () => {
  it("draws what is seen and a few rows around it", () => {
    expect(windowRange(10_000, 28, 0, 560, 5)).toEqual({ first: 0, end: 25, height: 280_000 });
    expect(windowRange(10_000, 28, 2_800, 560, 5)).toEqual({ first: 95, end: 125, height: 280_000 });
    expect(windowRange(10_000, 28, 1e9, 560, 5)).toEqual({ first: 9_975, end: 10_000, height: 280_000 });
    expect(windowRange(0, 28, 0, 560)).toEqual({ first: 0, end: 0, height: 0 });
    expect(windowRange(3, 28, 500, 560)).toEqual({ first: 0, end: 3, height: 84 });
  });

  it("draws as many elements for a million rows as for a thousand", () => {
    const drawn = (rows: number) => {
      const { first, end } = windowRange(rows, 28, 5_000, 560);
      return end - first;
    };
    expect(drawn(1_000_000)).toBe(drawn(1_000));
  });

  it("scrolls to a row only as far as needed", () => {
    expect(scrollToShow(10, 28, 0, 560)).toBe(0);
    expect(scrollToShow(30, 28, 0, 560)).toBe(308);
    expect(scrollToShow(2, 28, 308, 560)).toBe(56);
  });

  it("stays at the end when it is there", () => {
    expect(isAtEnd(440, 560, 1000)).toBe(true);
    expect(isAtEnd(400, 560, 1000)).toBe(false);
    expect(isAtEnd(0, 560, 84)).toBe(true);
  });
});
