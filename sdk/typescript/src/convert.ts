// Plain JavaScript values to and from protobuf's: times, durations, names of enum values.

import { create, type DescEnum, type EnumShape } from "@bufbuild/protobuf";
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

/** The fields without those that are undefined: protobuf's types tell apart what is unset and what is undefined. */
export function given<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}

/** A length of time for the wire, rounded to microseconds. Throws RangeError, naming the field, when it is no number. */
export function duration(milliseconds: number, field: string): Duration {
  if (!Number.isFinite(milliseconds)) {
    throw new RangeError(`${field} is ${String(milliseconds)}: give a finite number of milliseconds`);
  }
  const micros = Math.round(milliseconds * 1_000);
  const seconds = Math.trunc(micros / 1_000_000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: (micros - seconds * 1_000_000) * 1_000 });
}

/** The same of an option: undefined stays undefined. */
export function optionalDuration(milliseconds: number | undefined, field: string): Duration | undefined {
  return milliseconds === undefined ? undefined : duration(milliseconds, field);
}

/** A length of time from the wire, in milliseconds. */
export function milliseconds(value: Duration): number {
  return Number(value.seconds) * 1_000 + value.nanos / 1_000_000;
}

/** A time for the wire. Throws RangeError, naming the field, when it is no valid date. */
export function timestamp(date: Date, field: string): Timestamp {
  const time = date.getTime();
  if (Number.isNaN(time)) {
    throw new RangeError(`${field} is an invalid Date: give one like new Date(Date.now() + 60_000)`);
  }
  const seconds = Math.floor(time / 1_000);
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: (time - seconds * 1_000) * 1_000_000 });
}

/** The same of an option: undefined stays undefined. */
export function optionalTimestamp(date: Date | undefined, field: string): Timestamp | undefined {
  return date === undefined ? undefined : timestamp(date, field);
}

/** A time from the wire, to the millisecond; undefined when it is unset. */
export function date(value: Timestamp | undefined): Date | undefined {
  if (value === undefined) {
    return undefined;
  }
  return new Date(Number(value.seconds) * 1_000 + Math.floor(value.nanos / 1_000_000));
}

/** The name of an enum value without its prefix; a value newer than this SDK is shown as its number. */
export function enumName(schema: DescEnum, number: number, prefix: string): string {
  const name = schema.value[number]?.name;
  return name === undefined ? String(number) : name.replace(prefix, "");
}

/** The number of an enum value from its name. Throws TypeError, naming the field, when there is none. */
export function enumNumber<D extends DescEnum>(schema: D, name: string, prefix: string, field: string): EnumShape<D> {
  const wanted = prefix + name.toUpperCase();
  const value = schema.values.find((one) => one.name === wanted);
  if (value === undefined) {
    const known = schema.values.filter((one) => one.number !== 0).map((one) => one.name.replace(prefix, ""));
    throw new TypeError(`${field} ${JSON.stringify(name)} is unknown: it is one of ${known.join(", ")}`);
  }
  return value.number as EnumShape<D>;
}

/** The values as a list; a lone string is refused, because it would count as a list of its letters. */
export function stringList(values: readonly string[] | undefined, field: string): string[] {
  if (typeof values === "string") {
    throw new TypeError(`${field} is the string ${JSON.stringify(values)}: give a list of strings`);
  }
  return [...(values ?? [])];
}

/** The text in at most so many bytes of UTF-8, never ending within a character. Broken surrogates become `\uFFFD`. */
export function cut(text: string, limit: number): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= limit) {
    return text.toWellFormed();
  }
  let end = limit;
  // A byte that goes on a character must not be the first that is left out.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) {
    end -= 1;
  }
  return new TextDecoder().decode(bytes.subarray(0, end));
}
