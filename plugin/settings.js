/**
 * The plugin's settings: defaults, and how a configuration is read.
 * The JSON Schema in openclaw.plugin.json refuses wrong values before this code runs; reading them
 * here a second time keeps `register` from throwing where a host does not apply the schema.
 */

import { isIP } from "node:net";

export const PLUGIN_ID = "anthropic-max-proxy";
export const PROVIDER_ID = "anthropic-max-proxy";
export const MODEL_ALIAS = "claude-max-proxy";

/**
 * @typedef {object} Settings
 * @property {boolean} autoStart run the proxy as a child of the gateway
 * @property {boolean} autoRestart start it again when it exits
 * @property {number} restartDelayMs milliseconds before the first restart
 * @property {number} maxRestarts restarts in a row before giving up
 * @property {number} stopTimeoutMs milliseconds between SIGTERM and SIGKILL
 * @property {string} host host name or IP address, without brackets
 * @property {number} port TCP port
 * @property {readonly string[]} command program and arguments
 * @property {readonly string[]} models model ids, the default first
 * @property {readonly string[]} passEnvironment names of variables that the proxy gets as well
 */

/** @type {Readonly<Settings>} */
export const DEFAULTS = Object.freeze({
  autoStart: true,
  autoRestart: true,
  restartDelayMs: 3000,
  maxRestarts: 10,
  stopTimeoutMs: 5000,
  host: "127.0.0.1",
  port: 3456,
  command: Object.freeze(["bunx", "opencode-claude-max-proxy"]),
  models: Object.freeze(["claude-opus-4.6", "claude-sonnet-4.5", "claude-3.7-sonnet"]),
  passEnvironment: Object.freeze([]),
});

const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/;
const MODEL_ID = /^[A-Za-z0-9][A-Za-z0-9._:/-]*$/;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const WILDCARD_ADDRESSES = new Set(["0.0.0.0", "::"]);

/**
 * What is wrong with a host, or undefined.
 * @param {unknown} value
 * @returns {string | undefined}
 */
export function hostProblem(value) {
  if (typeof value !== "string" || value === "") {
    return "Enter a host name or an IP address, such as 127.0.0.1";
  }
  if (WILDCARD_ADDRESSES.has(value)) {
    return `${value} means every address; enter the one at which the proxy answers, such as 127.0.0.1`;
  }
  // A zone, as in fe80::1%eth0, has no place in a URL.
  if (isIP(value) !== 0 && !value.includes("%")) {
    return undefined;
  }
  const looksNumeric = /^[\d.]+$/.test(value);
  if (value.length > 253 || looksNumeric || value.includes("..") || !HOST_NAME.test(value)) {
    return "Enter a host name or an IP address only: no http://, no port, no path, no brackets";
  }
  return undefined;
}

/**
 * What is wrong with a port, or undefined.
 * @param {unknown} value a number, or its decimal text
 * @returns {string | undefined}
 */
export function portProblem(value) {
  const isDecimal = typeof value === "number" || (typeof value === "string" && /^\d{1,5}$/.test(value));
  const port = Number(value);
  if (!isDecimal || !Number.isInteger(port) || port < 1 || port > 65535) {
    return "Enter a port number from 1 to 65535";
  }
  return undefined;
}

/**
 * What is wrong with the path of a file that holds the proxy's key, or undefined; empty means that it asks for none.
 * @param {unknown} value
 * @returns {string | undefined}
 */
export function keyFileProblem(value) {
  if (typeof value === "string" && (value === "" || /^\/[^\u0000-\u001f\u007f]*[^/\u0000-\u001f\u007f]$/.test(value))) {
    return undefined;
  }
  return "Enter the absolute path of a file that holds the key alone, or nothing; never the key itself";
}

/**
 * What is wrong with a list of model ids, or undefined.
 * @param {unknown} value
 * @returns {string | undefined}
 */
export function modelsProblem(value) {
  if (!Array.isArray(value) || value.length === 0) {
    return "Enter at least one model id, separated by commas";
  }
  for (const id of value) {
    if (typeof id !== "string" || !MODEL_ID.test(id)) {
      return `${JSON.stringify(id)} is no model id: letters, digits, and . _ : / - are allowed, spaces are not`;
    }
  }
  if (new Set(value).size !== value.length) {
    return "Enter each model id once";
  }
  return undefined;
}

/**
 * @param {number} minimum
 * @param {number} maximum
 * @returns {(value: unknown) => string | undefined}
 */
function integerBetween(minimum, maximum) {
  return (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= minimum && value <= maximum
      ? undefined
      : `must be a whole number from ${minimum} to ${maximum}`;
}

/** @type {(value: unknown) => string | undefined} */
const booleanProblem = (value) => (typeof value === "boolean" ? undefined : "must be true or false");

/** @type {(value: unknown) => string | undefined} */
const commandProblem = (value) =>
  Array.isArray(value) && value.length > 0 && value.every((part) => typeof part === "string" && part !== "")
    ? undefined
    : "must be a list with a program and its arguments";

/** @type {(value: unknown) => string | undefined} */
const namesProblem = (value) =>
  Array.isArray(value) &&
  value.every((name) => typeof name === "string" && VARIABLE_NAME.test(name)) &&
  new Set(value).size === value.length
    ? undefined
    : "must be a list of environment variable names, each of them once";

/** @type {Readonly<Record<keyof Settings, (value: unknown) => string | undefined>>} */
const PROBLEM_OF = {
  autoStart: booleanProblem,
  autoRestart: booleanProblem,
  restartDelayMs: integerBetween(100, 600_000),
  maxRestarts: integerBetween(0, 1000),
  stopTimeoutMs: integerBetween(100, 60_000),
  host: hostProblem,
  port: (value) => (typeof value === "number" ? portProblem(value) : "must be a number from 1 to 65535"),
  command: commandProblem,
  models: modelsProblem,
  passEnvironment: namesProblem,
};

/**
 * Settings from a configuration. A wrong value is named in `problems` and replaced by its default.
 * @param {unknown} config what stands in `plugins.entries.anthropic-max-proxy.config`
 * @returns {{settings: Settings, problems: string[]}}
 */
export function readSettings(config) {
  const where = `plugins.entries.${PLUGIN_ID}.config`;
  /** @type {Record<string, unknown>} */
  const settings = { ...DEFAULTS };
  /** @type {string[]} */
  const problems = [];
  if (config !== undefined && config !== null && !isRecord(config)) {
    problems.push(`${where}: must be an object`);
    return { settings: DEFAULTS, problems };
  }
  for (const [name, value] of Object.entries(config ?? {})) {
    if (value === undefined) {
      continue;
    }
    if (!Object.hasOwn(PROBLEM_OF, name)) {
      problems.push(`${where}.${name}: is not known; known are ${Object.keys(PROBLEM_OF).join(", ")}`);
      continue;
    }
    const problem = PROBLEM_OF[/** @type {keyof Settings} */ (name)](value);
    if (problem === undefined) {
      settings[name] = value;
    } else {
      problems.push(`${where}.${name}: ${problem}`);
    }
  }
  return { settings: /** @type {Settings} */ (/** @type {unknown} */ (settings)), problems };
}

/**
 * The settings in a whole OpenClaw configuration.
 * @param {unknown} openclawConfig
 * @returns {{settings: Settings, problems: string[]}}
 */
export function readSettingsOf(openclawConfig) {
  return readSettings(memberOf(openclawConfig, "plugins", "entries", PLUGIN_ID, "config"));
}

/**
 * A member of nested objects, or undefined when something on the way is no object.
 * @param {unknown} value
 * @param {...string} path
 * @returns {unknown}
 */
export function memberOf(value, ...path) {
  let found = value;
  for (const name of path) {
    if (!isRecord(found) || !Object.hasOwn(found, name)) {
      return undefined;
    }
    found = found[name];
  }
  return found;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
