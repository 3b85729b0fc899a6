/** What the tests of the supervisor share: settings, a free port, a log, a look into /proc. */

import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { DEFAULTS } from "../settings.js";
import { TIMING } from "../supervisor.js";

export const FAKE_PROXY = fileURLToPath(new URL("./fake-proxy.js", import.meta.url));
export const QUICK = Object.freeze({ ...TIMING, portWaitMs: 300, readyWaitMs: 4000, pollMs: 20, stableMs: 60_000 });

/** @returns {Promise<number>} */
export function freePort() {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen({ host: "127.0.0.1", port: 0 }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/**
 * @param {number} port
 * @param {Partial<import("../settings.js").Settings>} [changes]
 * @returns {import("../settings.js").Settings}
 */
export function settingsFor(port, changes) {
  return {
    ...DEFAULTS,
    port,
    command: [process.execPath, FAKE_PROXY],
    passEnvironment: ["FAKE_PROXY"],
    restartDelayMs: 100,
    stopTimeoutMs: 400,
    ...changes,
  };
}

/** A logger and a health reporter that remember. */
export function recorder() {
  /** @type {string[]} */
  const lines = [];
  /** @type {string[]} */
  const failures = [];
  let healthy = true;
  const log = (/** @type {string} */ line) => void lines.push(line);
  return {
    lines,
    failures,
    isHealthy: () => healthy,
    logger: { info: log, warn: log, error: log },
    health: {
      reportFailure(/** @type {unknown} */ error) {
        healthy = false;
        failures.push(error instanceof Error ? error.message : String(error));
      },
      clearFailure() {
        healthy = true;
      },
    },
  };
}

/**
 * Wait for a condition, at most eight seconds.
 * @param {() => boolean} condition
 * @param {() => string} what
 */
export async function until(condition, what) {
  const deadline = Date.now() + 8000;
  while (!condition()) {
    if (Date.now() > deadline) {
      throw new Error(`not in time: ${what()}`);
    }
    await delay(20);
  }
}

/**
 * Living processes that were started for a port, by their environment.
 * @param {number} port
 * @returns {number[]}
 */
export function processesFor(port) {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const variables = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
        return variables.includes(`CLAUDE_PROXY_PORT=${port}`) && !/\nState:\t[ZX]/.test(readFileSync(`/proc/${pid}/status`, "utf8"));
      } catch {
        return false;
      }
    });
}
