// Tasks for components in JavaScript.
//
// A task is a function that runs in an instance of its own, on whichever core is free. It sees nothing of its spawner's
// memory: its arguments and its result travel as JSON.
//
//     import { main, task, entry, run } from "./hart.js";
//     export { entry, run };
//
//     const square = task("square", (number) => number * number);
//
//     main(async () => {
//       const tasks = [1, 2, 3].map((number) => square.spawn(number));
//       console.log(await Promise.all(tasks.map((task) => task.join())));
//     });
//
// `entry` and `run` are what the component exports. An error that leaves a task reaches whoever joins it as a `JoinError`
// whose `kind` is "failed", with its text. One that leaves `main` is shown, and the program ends with the exit code 1.

import {
  TaskOptions,
  close as closeScope,
  exit,
  parallelism as workers,
  spawn as spawnTask,
  waitAny as waitForAny,
  yield as yieldNow,
} from "hart:exec/tasks@0.1.0";

// What the bytes of an error begin with: what follows is an error of the task's own as JSON, a text, or a text that says
// that there is no such task. The Rust SDK has the same three.
const [OWN, TEXT, NO_SUCH_TASK] = [0, 1, 2];

const registered = new Map();
let program;

/** A task was not started. */
export class SpawnError extends Error {}

/**
 * A task has no result. `kind` is the contract's word: "failed", "trapped", "cancelled", "closed", "out-of-fuel",
 * "out-of-memory", "timed-out", "already-joined" or "other". `value` is the error where the task returned one as JSON.
 */
export class JoinError extends Error {
  constructor(kind, text, value) {
    super(text);
    this.kind = kind;
    this.value = value;
  }
}

/** A task that was spawned. Dropped, the task goes on, and its result is lost. */
export class Handle {
  #task;

  constructor(task) {
    this.#task = task;
  }

  /** A number that no other task of the host has. */
  get id() {
    return this.#task.id();
  }

  /** Whether it has ended. Never waits. */
  get done() {
    return this.#task.isFinished();
  }

  /**
   * Its result, once it has ended. The instance does nothing else until then: spawn all that can run at the same time
   * before the first join.
   */
  async join() {
    let bytes;
    try {
      bytes = this.#task.join();
    } catch (error) {
      throw joinError(error.payload ?? error);
    }
    return decode(bytes);
  }

  /** Ends it and everything that it spawned. */
  cancel() {
    this.#task.cancel();
  }

  /** Waits until one of the tasks has ended, and returns its handle. */
  static async any(handles) {
    if (handles.length === 0) throw new Error("there is no task to wait for");
    return handles[waitForAny(handles.map((handle) => handle.#task))];
  }
}

/**
 * Makes a task of a function, which may be async. What is returned is that function, with `spawn(...arguments)`, and
 * `with(options)` for spawns that have options: see `spawn`.
 */
export function task(name, body) {
  if (registered.has(name)) throw new Error(`two tasks are called "${name}": name one of them otherwise`);
  registered.set(name, body);
  const withOptions = (options) => {
    const call = (...values) => body(...values);
    call.spawn = (...values) => spawn(name, values, options);
    call.with = (more) => withOptions({ ...options, ...more });
    return call;
  };
  return withOptions({});
}

/** Says what the program is: a function, which may be async. A number that it returns is the exit code. */
export function main(body) {
  if (program) throw new Error("there is a main function already");
  program = body;
}

/**
 * Starts the task called `name`, which may be one of another part of the component, in another language. Options: `name`,
 * `fuel`, `cpuTime` and `timeout` (seconds), `memory` (bytes), `maxTasks`, `deny` (an object such as
 * `{ network: true }`), `reuse` and `anywhere`.
 */
export function spawn(entry, values, options = {}) {
  const given = new TaskOptions();
  const nanoseconds = (seconds) => BigInt(Math.round(seconds * 1e9));
  if (options.name !== undefined) given.setName(options.name);
  if (options.fuel !== undefined) given.setFuel(BigInt(options.fuel));
  if (options.cpuTime !== undefined) given.setCpuTime(nanoseconds(options.cpuTime));
  if (options.timeout !== undefined) given.setTimeout(nanoseconds(options.timeout));
  if (options.memory !== undefined) given.setMemory(BigInt(options.memory));
  if (options.maxTasks !== undefined) given.setMaxTasks(options.maxTasks);
  if (options.deny !== undefined) given.deny(options.deny);
  if (options.reuse) given.reuse();
  if (options.anywhere) given.anywhere();
  try {
    return new Handle(spawnTask(entry, encode(values), given));
  } catch (error) {
    const reason = error.payload ?? error;
    throw new SpawnError(`"${entry}" was not spawned: ${reason.val ?? reason.tag ?? reason}`);
  }
}

/** Lets others run. */
export const yieldToOthers = () => yieldNow();

/** Cancels everything that the caller has spawned. It cannot spawn any more. */
export const close = () => closeScope();

/** How many workers there are for these tasks. */
export const parallelism = () => workers();

/** What the component exports so that its tasks can be spawned. */
export const entry = {
  async run(name, input) {
    const body = registered.get(name);
    if (!body) {
      throw bytesOf(NO_SUCH_TASK, `there is no task "${name}"; it has ${[...registered.keys()].join(", ")}`);
    }
    let values;
    try {
      values = decode(input);
    } catch (error) {
      throw bytesOf(TEXT, `its arguments are no JSON (${error.message}): is the spawner of another encoding?`);
    }
    try {
      return encode((await body(...values)) ?? null);
    } catch (error) {
      throw bytesOf(TEXT, String(error));
    }
  },
};

/** What the component exports so that it can be run. */
export const run = {
  async run() {
    if (!program) {
      console.error("hart: nothing was given to `main`");
      exit(1);
    }
    let code;
    try {
      code = await program();
    } catch (error) {
      console.error(`${error}\n${error.stack ?? ""}`);
      code = 1;
    }
    if (code) exit(code & 0xff);
  },
};

function encode(value) {
  return new TextEncoder().encode(JSON.stringify(value));
}

function decode(bytes) {
  return JSON.parse(new TextDecoder().decode(bytes));
}

function bytesOf(kind, text) {
  return new Uint8Array([kind, ...new TextEncoder().encode(text)]);
}

function joinError({ tag, val }) {
  if (tag !== "failed") return new JoinError(tag, val ?? tag);
  const rest = val.subarray(1);
  switch (val[0]) {
    case OWN:
      try {
        const value = decode(rest);
        return new JoinError(tag, String(value), value);
      } catch {
        return new JoinError(tag, "its error is no JSON: is the task of another encoding?");
      }
    case TEXT:
    case NO_SUCH_TASK:
      return new JoinError(tag, new TextDecoder().decode(rest));
    default:
      return new JoinError(tag, "its error is in no encoding that this module knows");
  }
}
