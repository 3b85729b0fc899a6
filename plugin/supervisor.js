/** Keeps one proxy running: start, restart with back-off, give up in the end, stop without leftovers. */

import { homedir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

import { childEnvironment } from "./child-environment.js";
import { accepts, listenProblem } from "./port.js";
import { ProcessGroup, findProgram } from "./process-group.js";
import { PLUGIN_ID } from "./settings.js";

/** @typedef {import("./settings.js").Settings} Settings */

/**
 * @typedef {object} Logger
 * @property {(message: string) => void} info
 * @property {(message: string) => void} warn
 * @property {(message: string) => void} error
 */

/**
 * @typedef {object} Health
 * @property {(error: unknown) => void} reportFailure
 * @property {() => void} clearFailure
 */

/**
 * @typedef {object} Timing milliseconds
 * @property {number} portWaitMs how long a port may stay taken before that counts as an error
 * @property {number} readyWaitMs how long the proxy may take to open its port
 * @property {number} pollMs between two looks
 * @property {number} stableMs after this long a run counts as a success
 * @property {number} maximumDelayMs cap of the restart delay
 */

/** @type {Readonly<Timing>} */
export const TIMING = Object.freeze({
  // A gateway that was killed leaves its proxy a few seconds to end.
  portWaitMs: 15_000,
  readyWaitMs: 60_000,
  pollMs: 500,
  stableMs: 60_000,
  maximumDelayMs: 60_000,
});

/** A reason not to try again before somebody changes something. */
class CannotRun extends Error {}

/**
 * The delay before a restart.
 * @param {number} firstMs
 * @param {number} failures failures in a row, 1 or more
 * @param {number} maximumMs
 * @returns {number} milliseconds
 */
export function restartDelay(firstMs, failures, maximumMs) {
  return Math.min(firstMs * 2 ** Math.min(failures - 1, 30), Math.max(firstMs, maximumMs));
}

export class ProxySupervisor {
  #settings;
  #logger;
  #health;
  #environment;
  #timing;
  #stopping = new AbortController();
  /** @type {ProcessGroup | undefined} */
  #group;
  /** @type {Promise<void> | undefined} */
  #running;

  /**
   * @param {object} options
   * @param {Settings} options.settings
   * @param {Logger} options.logger
   * @param {Health} options.health
   * @param {NodeJS.ProcessEnv} options.environment of the gateway
   * @param {Timing} [options.timing]
   */
  constructor({ settings, logger, health, environment, timing = TIMING }) {
    this.#settings = settings;
    this.#logger = logger;
    this.#health = health;
    this.#environment = childEnvironment(environment, settings);
    this.#timing = timing;
  }

  /** Start supervising; a second call changes nothing. */
  start() {
    this.#running ??= this.#supervise().catch((error) => this.#fail(error instanceof Error ? error.message : String(error)));
  }

  /** Stop the proxy and everything that it started, and wait for it. */
  async stop() {
    this.#stopping.abort();
    if (this.#group !== undefined && !(await this.#group.stop())) {
      this.#logger.error(`${PLUGIN_ID}: processes of group ${this.#group.id} did not end`);
    }
    await this.#running;
  }

  /** @returns {Promise<void>} settles when nothing is supervised any more */
  async finished() {
    await this.#running;
  }

  async #supervise() {
    const { autoRestart, restartDelayMs, maxRestarts } = this.#settings;
    const stopped = this.#stopping.signal;
    let failures = 0;
    while (!stopped.aborted) {
      try {
        await this.#requireProgram();
        await this.#requireFreePort();
      } catch (error) {
        if (error instanceof CannotRun) {
          this.#fail(error.message);
          return;
        }
        throw error;
      }
      if (stopped.aborted) {
        return;
      }
      const startedAt = Date.now();
      const exit = await this.#runOnce();
      if (stopped.aborted) {
        return;
      }
      const what = `exited (code=${exit.code}, signal=${exit.signal})`;
      this.#logger.warn(`${PLUGIN_ID}: ${what}`);
      if (!autoRestart) {
        this.#fail(`the proxy ${what} and autoRestart is false`);
        return;
      }
      failures = Date.now() - startedAt >= this.#timing.stableMs ? 1 : failures + 1;
      if (failures > maxRestarts) {
        this.#fail(
          `the proxy ${what} ${failures} times in a row and stays stopped; see its lines above,` +
            " correct plugins.entries.anthropic-max-proxy.config, then restart the gateway",
        );
        return;
      }
      this.#health.reportFailure(new Error(`the proxy ${what}`));
      const waitMs = restartDelay(restartDelayMs, failures, this.#timing.maximumDelayMs);
      this.#logger.info(`${PLUGIN_ID}: restart scheduled in ${waitMs}ms`);
      await this.#pause(waitMs);
    }
  }

  async #requireProgram() {
    const [program = ""] = this.#settings.command;
    if ((await findProgram(program, this.#environment.PATH)) === undefined) {
      throw new CannotRun(
        `program ${JSON.stringify(program)} was not found on the gateway's PATH; install it, or name another one in` +
          ` plugins.entries.${PLUGIN_ID}.config.command, or set autoStart to false if something else runs the proxy`,
      );
    }
  }

  async #requireFreePort() {
    const { host, port } = this.#settings;
    const deadline = Date.now() + this.#timing.portWaitMs;
    for (;;) {
      const problem = await listenProblem(host, port);
      if (problem === undefined || this.#stopping.signal.aborted) {
        return;
      }
      if (problem !== "EADDRINUSE") {
        throw new CannotRun(
          `cannot listen on ${host} port ${port} (${problem}); set plugins.entries.${PLUGIN_ID}.config.host and port` +
            " to an address of this machine, or autoStart to false if the proxy runs elsewhere",
        );
      }
      if (Date.now() >= deadline) {
        throw new CannotRun(
          `${host} port ${port} is held by another process, so no proxy was started; stop that process, or choose` +
            ` another port, or set plugins.entries.${PLUGIN_ID}.config.autoStart to false if it is the proxy`,
        );
      }
      await this.#pause(this.#timing.pollMs);
    }
  }

  /** @returns {Promise<import("./process-group.js").Exit>} */
  async #runOnce() {
    const { command, host, port, stopTimeoutMs } = this.#settings;
    // Arguments may hold a secret, so that only the program is named.
    this.#logger.info(`${PLUGIN_ID}: starting proxy (${command[0]}) on ${host}:${port}`);
    const group = new ProcessGroup(command, {
      environment: this.#environment,
      directory: homedir(),
      stopTimeoutMs,
      onLine: (line) => this.#logger.info(`${PLUGIN_ID}: ${line}`),
    });
    this.#group = group;
    const ended = new AbortController();
    const watching = this.#watchReadiness(ended.signal);
    const exit = await group.exited;
    ended.abort();
    await watching;
    if (!this.#stopping.signal.aborted) {
      await group.stop();
    }
    return exit;
  }

  /** @param {AbortSignal} ended */
  async #watchReadiness(ended) {
    const { host, port } = this.#settings;
    const deadline = Date.now() + this.#timing.readyWaitMs;
    while (!ended.aborted) {
      if (await accepts(host, port)) {
        if (!ended.aborted) {
          this.#health.clearFailure();
          this.#logger.info(`${PLUGIN_ID}: proxy answers on ${host}:${port}`);
        }
        return;
      }
      if (Date.now() >= deadline) {
        this.#fail(`the proxy runs but has not opened ${host} port ${port} in ${this.#timing.readyWaitMs / 1000} seconds`);
        return;
      }
      await delay(this.#timing.pollMs, undefined, { signal: ended }).catch(() => {});
    }
  }

  /** @param {number} milliseconds */
  async #pause(milliseconds) {
    await delay(milliseconds, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  /** @param {string} message */
  #fail(message) {
    this.#logger.error(`${PLUGIN_ID}: ${message}`);
    this.#health.reportFailure(new Error(message));
  }
}
