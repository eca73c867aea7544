// JSON that keeps what JSON.parse and JSON.stringify would lose without a word: integers beyond 2^53, which are bigints
// here, and values that have no JSON.

/** Digits that may be more than a number holds exactly: 2^53 has 16. */
const MANY_DIGITS = /\d{16}/;

/**
 * The value of a JSON text. An integer that a number can't hold exactly is a bigint; a number with a fraction or an
 * exponent is the nearest number. Throws SyntaxError when it isn't JSON.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  return MANY_DIGITS.test(text) ? new ExactReader(text).value() : value;
}

/** Reads a text that JSON.parse has found to be JSON. */
class ExactReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(): unknown {
    this.#space();
    const value = this.#one();
    this.#space();
    return value;
  }

  #one(): unknown {
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object();
      case "[":
        return this.#array();
      case '"':
        return this.#string();
      default:
        return this.#scalar();
    }
  }

  #object(): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    this.#enter();
    while (!this.#leaves("}")) {
      const key = this.#string();
      this.#space();
      this.#at += 1;
      // As JSON.parse does: a key `__proto__` is a key like any other.
      Object.defineProperty(object, key, {
        value: this.value(),
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
    return object;
  }

  #array(): unknown[] {
    const array: unknown[] = [];
    this.#enter();
    while (!this.#leaves("]")) {
      array.push(this.value());
    }
    return array;
  }

  #enter(): void {
    this.#at += 1;
    this.#space();
  }

  /** Whether this is the end; passes it, or the comma before what follows. */
  #leaves(end: string): boolean {
    const next = this.#text[this.#at];
    if (next === end) {
      this.#at += 1;
      return true;
    }
    if (next === ",") {
      this.#enter();
    }
    return false;
  }

  #string(): string {
    const from = this.#at;
    do {
      this.#at += this.#text[this.#at] === "\\" ? 2 : 1;
    } while (this.#text[this.#at] !== '"');
    this.#at += 1;
    return JSON.parse(this.#text.slice(from, this.#at)) as string;
  }

  #scalar(): unknown {
    const scalar = /[^\s,\]}]*/y;
    scalar.lastIndex = this.#at;
    const word = scalar.exec(this.#text)?.[0] ?? "";
    this.#at += word.length;
    const value: unknown = JSON.parse(word);
    const isInteger = /^-?\d+$/.test(word);
    return isInteger && !Number.isSafeInteger(value) ? BigInt(word) : value;
  }

  #space(): void {
    while (/\s/.test(this.#text[this.#at] ?? "")) {
      this.#at += 1;
    }
  }
}

/**
 * The JSON text of a value. bigints are integers; objects with `toJSON` (a Date) are what that gives; properties that
 * are undefined are left out, as JSON.stringify does. Throws TypeError, naming the place, for what JSON.stringify would
 * change without a word: NaN and infinities, functions, symbols, Maps, Sets, bytes inside, text that isn't Unicode, and
 * for a value that contains itself.
 */
export function stringifyJson(value: unknown): string {
  return write(value, "", new Set());
}

function write(value: unknown, place: string, inside: Set<object>): string {
  switch (typeof value) {
    case "string":
      return writeString(value, place);
    case "number":
      if (!Number.isFinite(value)) {
        throw wrong(place, `is ${String(value)}, which JSON has no number for`);
      }
      // JSON.stringify makes 0 of -0.
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
    case "boolean":
      return String(value);
    case "undefined":
      return "null";
    case "object":
      return value === null ? "null" : writeObject(value, place, inside);
    default:
      throw wrong(place, `is a ${typeof value}`);
  }
}

function writeString(value: string, place: string): string {
  if (!value.isWellFormed()) {
    throw wrong(place, "is not valid Unicode: it has a lone surrogate");
  }
  return JSON.stringify(value);
}

function writeObject(value: object, place: string, inside: Set<object>): string {
  if ("toJSON" in value && typeof value.toJSON === "function") {
    const key = place.split(".").at(-1) ?? "";
    return write((value.toJSON as (key: string) => unknown)(key), place, inside);
  }
  if (inside.has(value)) {
    throw wrong(place, "contains itself");
  }
  if (isOpaque(value)) {
    throw wrong(place, `is a ${value.constructor.name}: make an array, an object or a string of it`);
  }
  inside.add(value);
  const text = Array.isArray(value) ? writeArray(value, place, inside) : writeProperties(value, place, inside);
  inside.delete(value);
  return text;
}

/** Whether JSON would show little or nothing of what is in it. */
function isOpaque(value: object): boolean {
  const isBytes = value instanceof ArrayBuffer || ArrayBuffer.isView(value);
  return isBytes || value instanceof Map || value instanceof Set || value instanceof Promise;
}

function writeArray(values: readonly unknown[], place: string, inside: Set<object>): string {
  const items = Array.from(values, (item, index) => write(item, `${place}[${String(index)}]`, inside));
  return `[${items.join(",")}]`;
}

function writeProperties(value: object, place: string, inside: Set<object>): string {
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return write(value.valueOf(), place, inside);
  }
  const properties = Object.entries(value)
    .filter(([, property]) => property !== undefined)
    .map(([key, property]) => `${writeString(key, place)}:${write(property, `${place}.${key}`, inside)}`);
  return `{${properties.join(",")}}`;
}

function wrong(place: string, fault: string): TypeError {
  return new TypeError(`${place === "" ? "the value" : place} ${fault}`);
}
