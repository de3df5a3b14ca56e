import { describe, expect, it } from "vitest";
import { byteSize, count, duration, facts, money, plural, shortCount } from "../../src/usage/format";

describe("what people read", () => {
  it.each([
    [0, "0 ms"],
    [87.4, "87 ms"],
    [999.4, "999 ms"],
    [999.6, "1.00 s"],
    [1240, "1.24 s"],
    [9994, "9.99 s"],
    [9996, "10.0 s"],
    [59_949, "59.9 s"],
    [59_960, "1 min"],
    [125_000, "2 min 5 s"],
    [3_599_700, "1 h"],
    [3_780_000, "1 h 3 min"],
    [-5, "0 ms"],
  ])("%d ms is %s", (ms, text) => expect(duration(ms)).toBe(text));

  it.each([
    ["0", "$0"],
    ["12.5", "$12.50"],
    ["0.01", "$0.01"],
    ["0.00042", "$0.00042"],
    ["0.000000123456", "$0.00000012"],
    ["1234567.891", "$1,234,567.89"],
    [null, "unknown"],
    [undefined, "unknown"],
    ["x", "unknown"],
  ])("a cost of %s is %s", (cost, text) => expect(money(cost)).toBe(text));

  it("names the currency", () => expect(money("1.5", "EUR")).toBe("€1.50"));

  it("counts", () => {
    expect([count(1234567), shortCount(9999), shortCount(12_345), shortCount(1_234_567)]).toEqual([
      "1,234,567",
      "9,999",
      "12.3K",
      "1.2M",
    ]);
    expect([plural(1, "token"), plural(2, "token"), plural(0, "reply", "replies")]).toEqual([
      "1 token",
      "2 tokens",
      "0 replies",
    ]);
    expect([byteSize(84), byteSize(1234), byteSize(999_949), byteSize(3_400_000)]).toEqual([
      "84 B",
      "1.2 kB",
      "999.9 kB",
      "3.4 MB",
    ]);
    expect(facts("a", null, false, "", "b")).toBe("a · b");
  });
});
