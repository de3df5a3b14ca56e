/** Quoting for POSIX shells: what is pasted into a terminal must reach the program byte for byte. */

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/**
 * One word of a shell command. Everything between single quotes is literal, also in an interactive shell (`!`, `$`,
 * backslashes, line ends); only the single quote itself has to be left and entered again.
 *
 * A NUL byte can be in no argument of any program: throws a `RangeError`.
 */
export function shellQuote(text: string): string {
  if (text.includes("\0")) throw new RangeError("A shell word cannot contain NUL.");
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
