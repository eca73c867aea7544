import { create, type MessageInitShape } from "@bufbuild/protobuf";

import {
  type Namespace as WireNamespace,
  NamespaceSchema,
  NamespaceService,
  type NamespaceSettings as WireSettings,
  NamespaceSettingsSchema,
} from "../_gen/callboard/v1/namespace_service_pb.js";
import type { RetryPolicy as WireRetryPolicy } from "../_gen/callboard/v1/task_pb.js";
import { date, given, milliseconds, optionalDuration } from "../convert.js";
import { requestIdOr } from "../ids.js";
import { type Limit, limitFrom, limitToWire } from "../limits.js";
import { type RetryPolicy, retryToWire } from "../spec.js";
import { callOf } from "../transport.js";
import type { Caller } from "./caller.js";
import type { CallOptions, CommandOptions, PageOptions } from "./options.js";

/** What applies to every task of a namespace. What is left out is the default. */
export interface NamespaceSettings {
  /** How many distinct lanes may exist. Default 1,000; at most 10,000. */
  readonly maxLanes?: number | undefined;
  /** How many tasks may be live at once. Default 1,000,000; at most 100,000,000. */
  readonly maxLiveTasks?: number | undefined;
  /** The retry policy of tasks that have none. */
  readonly retry?: RetryPolicy | undefined;
  /** The start-to-close timeout of tasks that have none, in milliseconds. Default 300,000. */
  readonly startToClose?: number | undefined;
  /** What tasks with a limit key may do at once, or in a time. At most 1,000, each key once. */
  readonly limits?: readonly Limit[] | undefined;
}

/** The unit of isolation. */
export interface Namespace {
  /** Its name. */
  readonly name: string;
  /** Its settings, defaults filled in. */
  readonly settings: NamespaceSettings;
  /** When it was created. */
  readonly createdAt: Date | undefined;
  /** Rises with every change. */
  readonly version: number;
}

/** Looking after namespaces: `client.namespaces`. */
export class Namespaces {
  readonly #caller: Caller;

  /** @internal */
  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Creates a namespace. */
  create(name: string, settings: NamespaceSettings = {}, options: CommandOptions = {}): Promise<Namespace> {
    const request = { name, settings: settingsToWire(settings), requestId: requestIdOr(options.requestId) };
    return this.#caller.make(
      callOf(NamespaceService.method.createNamespace, request, (answer) => read(answer.namespace)),
      options,
    );
  }

  /** Gives a namespace with its settings; without a name `default`. */
  get(name = "", options: CallOptions = {}): Promise<Namespace> {
    return this.#caller.make(
      callOf(NamespaceService.method.getNamespace, { name }, (answer) => read(answer.namespace)),
      options,
    );
  }

  /** Gives the namespaces by name; pages are fetched as needed. */
  list(options: PageOptions = {}): AsyncGenerator<Namespace, void, undefined> {
    const { pageSize = 0 } = options;
    return this.#caller.pages(
      (pageToken) =>
        callOf(NamespaceService.method.listNamespaces, { pageSize, pageToken }, (answer) => ({
          items: answer.namespaces.map(read),
          nextPageToken: answer.nextPageToken,
        })),
      options,
    );
  }

  /** Replaces all settings of a namespace. */
  update(name: string, settings: NamespaceSettings, options: CommandOptions = {}): Promise<Namespace> {
    const request = { name, settings: settingsToWire(settings), requestId: requestIdOr(options.requestId) };
    return this.#caller.make(
      callOf(NamespaceService.method.updateNamespace, request, (answer) => read(answer.namespace)),
      options,
    );
  }
}

function settingsToWire(settings: NamespaceSettings): WireSettings {
  const { maxLanes, maxLiveTasks, retry, startToClose, limits = [] } = settings;
  const fields: MessageInitShape<typeof NamespaceSettingsSchema> = given({
    maxLanes,
    maxLiveTasks: maxLiveTasks === undefined ? undefined : BigInt(maxLiveTasks),
    retryPolicy: retry === undefined ? undefined : retryToWire(retry, "retry"),
    startToClose: optionalDuration(startToClose, "startToClose"),
    limits: limits.map((limit, index) => limitToWire(limit, `limits[${String(index)}]`)),
  });
  return create(NamespaceSettingsSchema, fields);
}

function read(wire: WireNamespace | undefined): Namespace {
  const { name, settings, createdAt, version } = wire ?? create(NamespaceSchema);
  return {
    name,
    settings: {
      maxLanes: settings?.maxLanes || undefined,
      maxLiveTasks: Number(settings?.maxLiveTasks ?? 0) || undefined,
      retry: settings?.retryPolicy === undefined ? undefined : readRetry(settings.retryPolicy),
      startToClose: settings?.startToClose === undefined ? undefined : milliseconds(settings.startToClose),
      limits: settings?.limits.map(limitFrom) ?? [],
    },
    createdAt: date(createdAt),
    version: Number(version),
  };
}

function readRetry(wire: WireRetryPolicy): RetryPolicy {
  return {
    maxAttempts: wire.maxAttempts || undefined,
    initialBackoff: wire.initialBackoff === undefined ? undefined : milliseconds(wire.initialBackoff),
    multiplier: wire.multiplier || undefined,
    maxBackoff: wire.maxBackoff === undefined ? undefined : milliseconds(wire.maxBackoff),
    nonRetryableTypes: wire.nonRetryableTypes,
  };
}
