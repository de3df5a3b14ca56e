/** Places in a JSON value: reading, changing and comparing; pure, and nothing is changed in place. */
import { isObject } from "../cards/loose-json";
import { pointer } from "../cards/validate";
import { cut } from "../ui/cut";

export type Path = readonly (string | number)[];

export function pointerOf(path: Path): string {
  return path.reduce<string>(pointer, "");
}

/** Return the value with another one at a place. */
export function setAt(value: unknown, path: Path, next: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return next;
  if (Array.isArray(value)) return value.map((item, place) => (place === key ? setAt(item, rest, next) : item));
  const given = isObject(value) ? value : {};
  return { ...given, [key]: setAt(given[key], rest, next) };
}

/** Return the value without what is at a place. */
export function removeAt(value: unknown, path: Path): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (rest.length > 0) {
    const inner = Array.isArray(value) ? value[key as number] : isObject(value) ? value[key] : undefined;
    return setAt(value, [key], removeAt(inner, rest));
  }
  if (Array.isArray(value)) return value.filter((_, place) => place !== key);
  if (!isObject(value)) return value;
  const { [String(key)]: _, ...others } = value;
  return others;
}

export interface Difference {
  pointer: string;
  path: Path;
  /** `undefined`: absent. */
  before: unknown;
  after: unknown;
}

/** Return the smallest places in which two values differ, in the order of the second one. */
export function differences(before: unknown, after: unknown, path: Path = []): Difference[] {
  if (before === after) return [];
  const keys = commonKeys(before, after);
  if (keys === null) {
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ pointer: pointerOf(path), path, before, after }];
  }
  return keys.flatMap((key) => differences(memberOf(before, key), memberOf(after, key), [...path, key]));
}

/** The places that are others now, and the ones that hold them: what a tree marks. */
export function changedPlaces(before: unknown, after: unknown): { exact: Set<string>; holders: Set<string> } {
  const exact = new Set<string>();
  const holders = new Set<string>();
  for (const { path, after: now } of differences(before, after)) {
    // What was removed can be marked only where it was.
    const shown = now === undefined ? path.slice(0, -1) : path;
    exact.add(pointerOf(shown));
    for (let depth = 0; depth < shown.length; depth++) holders.add(pointerOf(shown.slice(0, depth)));
  }
  return { exact, holders };
}

/** A value in few characters. */
export function inShort(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = typeof value === "string" ? `“${value}”` : JSON.stringify(value);
  return cut(text, 60);
}

function commonKeys(before: unknown, after: unknown): (string | number)[] | null {
  if (Array.isArray(before) && Array.isArray(after)) {
    return Array.from({ length: Math.max(before.length, after.length) }, (_, place) => place);
  }
  if (!isObject(before) || !isObject(after)) return null;
  return [...new Set([...Object.keys(after), ...Object.keys(before)])];
}

function memberOf(value: unknown, key: string | number): unknown {
  return Array.isArray(value) ? value[key as number] : (value as Record<string, unknown>)[key];
}
