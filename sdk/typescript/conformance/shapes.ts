// Reading the fields of instructions. What is missing, of another kind or unknown is a fault.

import { Fault } from "./fault.js";

/** Reads a value; `place` is what faults call it. */
export type Reader<T> = (value: unknown, place: string) => T;

/** The fields of an object, each with its reader. */
export type Shape = Readonly<Record<string, Reader<unknown>>>;

/** What is read by a shape. */
export type Of<S extends Shape> = { readonly [K in keyof S]: ReturnType<S[K]> };

/** An object of just these fields. */
export function fields<S extends Shape>(shape: S): Reader<Of<S>> {
  return (value, place) => {
    const given = object(value, place);
    const unknown = Object.keys(given).find((name) => !Object.hasOwn(shape, name));
    if (unknown !== undefined) {
      throw new Fault(`${place}: the field \`${unknown}\` is unknown`);
    }
    const read = Object.entries(shape).map(([name, reader]) => [name, reader(given[name], `${place}.${name}`)]);
    return Object.fromEntries(read) as Of<S>;
  };
}

/** The same, or undefined when it is absent. */
export function optional<T>(reader: Reader<T>): Reader<T | undefined> {
  return (value, place) => (value === undefined ? undefined : reader(value, place));
}

/** The same, or null. */
export function orNull<T>(reader: Reader<T>): Reader<T | null> {
  return (value, place) => (value === null ? null : reader(value, place));
}

/** A list of such. */
export function list<T>(reader: Reader<T>): Reader<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) {
      throw wrong(value, place, "a list");
    }
    return value.map((item, index) => reader(item, `${place}[${String(index)}]`));
  };
}

/** A string. Which names there are is the SDK's to say: `as` is what it takes for one. */
export function text(value: unknown, place: string): string {
  if (typeof value !== "string") {
    throw wrong(value, place, "a string");
  }
  return value;
}

export function number(value: unknown, place: string): number {
  if (typeof value !== "number" && typeof value !== "bigint") {
    throw wrong(value, place, "a number");
  }
  return Number(value);
}

export function flag(value: unknown, place: string): boolean {
  if (typeof value !== "boolean") {
    throw wrong(value, place, "true or false");
  }
  return value;
}

/** A point in time, in milliseconds since 1970. */
export function time(value: unknown, place: string): Date {
  return new Date(number(value, place));
}

/** An object of any fields. */
export function object(value: unknown, place: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(value, place, "an object");
  }
  return value as Record<string, unknown>;
}

/** An object of strings. */
export const texts = byName(text);

/** An object of numbers. */
export const numbers = byName(number);

function byName<T>(reader: Reader<T>): Reader<Readonly<Record<string, T>>> {
  return (value, place) => {
    const entries = Object.entries(object(value, place));
    return Object.fromEntries(entries.map(([name, one]) => [name, reader(one, `${place}.${name}`)]));
  };
}

function wrong(value: unknown, place: string, wanted: string): Fault {
  return new Fault(value === undefined ? `${place} is missing` : `${place} is not ${wanted}`);
}
