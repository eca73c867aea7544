// JSON that keeps every digit of an integer, apart from the SDK's own: what is tested must not be what tests it.

import { randomUUID } from "node:crypto";

/** Stands before the digits of a number that is to be written as it is. Nobody else has this text. */
const MARK = randomUUID();
const MARKED = new RegExp(`"${MARK}([^"]+)"`, "g");
/** Digits that may be more than a number holds exactly: 2^53 has 16. */
const MANY_DIGITS = /\d{16}/;
const INTEGER = /(?<![\w.+-])-?\d{16,}(?![\w.+-])/g;

/** The value of a JSON text; integers that a number can't hold exactly are bigints. Throws SyntaxError. */
export function parseJson(text: string): unknown {
  if (!MANY_DIGITS.test(text)) {
    return JSON.parse(text);
  }
  return JSON.parse(markIntegers(text), (_, value: unknown) => {
    const isMarked = typeof value === "string" && value.startsWith(MARK);
    return isMarked ? exactly(value.slice(MARK.length)) : value;
  });
}

/** The JSON text of a value, on one line. */
export function writeJson(value: unknown): string {
  const text = JSON.stringify(value, (_, one: unknown) => {
    const isLost = typeof one === "bigint" || Object.is(one, -0);
    return isLost ? `${MARK}${Object.is(one, -0) ? "-0" : String(one)}` : one;
  });
  return text.replace(MARKED, "$1");
}

/** Makes marked strings of the long integers between the strings of a JSON text. */
function markIntegers(text: string): string {
  const parts: string[] = [];
  let at = 0;
  while (at < text.length) {
    const quote = text.indexOf('"', at);
    const start = quote === -1 ? text.length : quote;
    const end = quote === -1 ? text.length : endOfString(text, quote);
    parts.push(text.slice(at, start).replace(INTEGER, `"${MARK}$&"`), text.slice(start, end));
    at = end;
  }
  return parts.join("");
}

function endOfString(text: string, quote: number): number {
  for (let at = quote + 1; at < text.length; at += 1) {
    const next = text[at];
    if (next === '"') {
      return at + 1;
    }
    at += next === "\\" ? 1 : 0;
  }
  return text.length;
}

function exactly(digits: string): number | bigint {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}
