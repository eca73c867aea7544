// Schemas of any library that has the Standard Schema interface (https://standardschema.dev): zod 4, Valibot, ArkType.

/** Mismatches that a message names. */
const MAX_NAMED = 20;

/** A schema of any library that has the Standard Schema interface: zod 4, Valibot, ArkType. */
export interface StandardSchema<Input = unknown, Output = Input> {
  /** What the interface is: see https://standardschema.dev. */
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    /** What it says of a value. */
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    /** Only of libraries that have the Standard JSON Schema interface, too. */
    readonly jsonSchema?:
      Readonly<Record<"input" | "output", (options: { readonly target: "draft-2020-12" }) => object>> | undefined;
  };
}

/** What a schema says of a value: what it makes of it, or where it doesn't fit. */
export type StandardResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly StandardIssue[] };

/** Where a value doesn't fit. */
export interface StandardIssue {
  /** What is wrong. */
  readonly message: string;
  /** The keys that lead there. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What goes into a handler, or what comes out of it. */
export type Side = "input" | "output";

/** Whether a value is such a schema. Those of some libraries are functions. */
export function isStandardSchema(value: unknown): value is StandardSchema {
  const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
  const standard = isObject ? (value as Partial<StandardSchema>)["~standard"] : undefined;
  return typeof standard?.validate === "function";
}

/** What a schema makes of a value. Throws TypeError that says where it doesn't fit. */
export async function validated<T>(schema: StandardSchema<unknown, T>, value: unknown, name: string): Promise<T> {
  const result = await schema["~standard"].validate(value);
  if (result.issues) {
    throw new TypeError(`${name} doesn't fit its schema: ${summary(result.issues)}`);
  }
  return result.value;
}

/**
 * The JSON Schema of what a schema takes, or of what it makes of it, when its library offers it. Throws what the library
 * throws of a schema that has none.
 */
export function jsonSchemaOf(schema: StandardSchema, side: Side): object | undefined {
  return schema["~standard"].jsonSchema?.[side]({ target: "draft-2020-12" });
}

function summary(issues: readonly StandardIssue[]): string {
  const named: string[] = [];
  for (const { message, path = [] } of issues) {
    if (named.length === MAX_NAMED) {
      named.push(`and ${String(issues.length - MAX_NAMED)} more`);
      break;
    }
    named.push(path.length === 0 ? message : `${pathText(path)}: ${message}`);
  }
  return named.join("; ");
}

/** `user.tags[0]["first name"]`. */
function pathText(path: NonNullable<StandardIssue["path"]>): string {
  return path
    .map((segment) => (typeof segment === "object" ? segment.key : segment))
    .map((key) => {
      if (typeof key === "string") {
        return /^[\p{L}_$][\p{L}\d_$]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
      }
      return `[${String(key)}]`;
    })
    .join("")
    .replace(/^\./, "");
}
