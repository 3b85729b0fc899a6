/** A program in a process group of its own, which can be stopped as a whole and does not outlive us. */

import { spawn } from "node:child_process";
import { constants } from "node:os";
import { access, constants as fileConstants, readFile, readdir, stat } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const LEADER_SCRIPT = fileURLToPath(new URL("./process-group.sh", import.meta.url));
const KILLED_GROUP_TIMEOUT_MS = 2000;
const POLL_MS = 20;
const MAXIMUM_LINE = 4096;

/** @typedef {{code: number | null, signal: string | null}} Exit */

/**
 * The path of a program as a shell would find it, or undefined.
 * @param {string} program
 * @param {string | undefined} searchPath value of PATH
 * @returns {Promise<string | undefined>}
 */
export async function findProgram(program, searchPath) {
  const candidates = program.includes("/")
    ? [program]
    : (searchPath ?? "")
        .split(delimiter)
        .filter((part) => part !== "")
        .map((part) => join(part, program));
  for (const candidate of candidates) {
    try {
      await access(candidate, fileConstants.X_OK);
      if ((await stat(candidate)).isFile()) {
        return candidate;
      }
    } catch {
      continue;
    }
  }
  return undefined;
}

/**
 * Hand over complete lines, cut to a bounded length and without control characters.
 * @param {NodeJS.ReadableStream} stream
 * @param {(line: string) => void} onLine
 */
export function forwardLines(stream, onLine) {
  let pending = "";
  /** @param {string} line */
  const hand = (line) => {
    const clean = line
      .slice(0, MAXIMUM_LINE)
      .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "")
      .replace(/[\u0000-\u001f\u007f-\u009f]/g, " ")
      .trimEnd();
    if (clean !== "") {
      onLine(clean);
    }
  };
  stream.setEncoding("utf8");
  stream.on("data", (/** @type {string} */ piece) => {
    const lines = (pending + piece).split("\n");
    pending = lines.pop() ?? "";
    lines.forEach(hand);
    if (pending.length > MAXIMUM_LINE) {
      hand(pending);
      pending = "";
    }
  });
  stream.on("end", () => {
    hand(pending);
    pending = "";
  });
  stream.on("error", () => {});
}

export class ProcessGroup {
  /** @type {import("node:child_process").ChildProcess} */
  #leader;
  #stopTimeoutMs;
  #leaderExited = false;
  #gone = false;
  /** @type {Promise<Exit>} */
  exited;

  /**
   * @param {readonly string[]} command program and arguments
   * @param {object} options
   * @param {Record<string, string>} options.environment the whole environment
   * @param {string} options.directory working directory
   * @param {number} options.stopTimeoutMs milliseconds between SIGTERM and SIGKILL
   * @param {(line: string) => void} options.onLine gets each line of output
   */
  constructor(command, { environment, directory, stopTimeoutMs, onLine }) {
    this.#stopTimeoutMs = stopTimeoutMs;
    const graceSeconds = String(Math.max(1, Math.ceil(stopTimeoutMs / 1000)));
    this.#leader = spawn("/bin/sh", [LEADER_SCRIPT, graceSeconds, ...command], {
      cwd: directory,
      env: environment,
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { stdin, stdout, stderr } = this.#leader;
    stdin?.on("error", () => {});
    if (stdout !== null && stderr !== null) {
      forwardLines(stdout, onLine);
      forwardLines(stderr, onLine);
    }
    this.exited = new Promise((resolve) => {
      this.#leader.once("error", (error) => {
        onLine(`cannot be started: ${error.message}`);
        resolve({ code: null, signal: null });
      });
      this.#leader.once("exit", (code, signal) => {
        this.#leaderExited = true;
        this.#signal("SIGKILL");
        resolve(signal === null && code !== null && code > 128 ? exitBySignal(code) : { code, signal });
      });
    });
  }

  /** @returns {number | undefined} process id of the leader, which is the id of the group */
  get id() {
    return this.#leader.pid;
  }

  /**
   * End every process of the group: SIGTERM, then SIGKILL for what is left after the stop timeout.
   * @returns {Promise<boolean>} whether the group is gone
   */
  async stop() {
    this.#signal("SIGTERM");
    await Promise.race([this.exited, delay(this.#stopTimeoutMs, undefined, { ref: false })]);
    const deadline = Date.now() + KILLED_GROUP_TIMEOUT_MS;
    while (this.#signal("SIGKILL") && (await hasLivingMember(this.#leader.pid ?? 0))) {
      if (Date.now() > deadline) {
        return false;
      }
      await delay(POLL_MS);
    }
    await this.exited;
    return true;
  }

  /**
   * @param {NodeJS.Signals} signal
   * @returns {boolean} whether there was a process to receive it
   */
  #signal(signal) {
    if (this.#leader.pid === undefined || this.#gone) {
      return false;
    }
    try {
      process.kill(-this.#leader.pid, signal);
      return true;
    } catch {
      // From now on the number may belong to a group of somebody else.
      this.#gone = this.#leaderExited;
      return false;
    }
  }
}

/**
 * Whether a process group has a member that is no zombie. Zombies stay where PID 1 does not collect
 * them, as in many containers, and they still count as receivers of a signal.
 * @param {number} group
 * @returns {Promise<boolean>} true also when it cannot be told
 */
async function hasLivingMember(group) {
  let names;
  try {
    names = await readdir("/proc");
  } catch {
    return true;
  }
  for (const name of names) {
    if (!/^\d+$/.test(name)) {
      continue;
    }
    // proc(5): after the name in parentheses come state, parent and process group.
    const status = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const [state, , member] = status.slice(status.lastIndexOf(")") + 2).split(" ");
    if (Number(member) === group && state !== "Z" && state !== "X") {
      return true;
    }
  }
  return false;
}

/**
 * A shell reports the death of its child by a signal as 128 plus the signal's number.
 * @param {number} code
 * @returns {Exit}
 */
function exitBySignal(code) {
  const name = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return name === undefined ? { code, signal: null } : { code: null, signal: name };
}
