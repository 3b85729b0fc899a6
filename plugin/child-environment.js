/** The environment of the proxy: what a program needs to run, and no credential of the gateway. */

// The gateway's environment may hold keys of every provider and channel, so names are allowed, not denied.
const ALLOWED = new Set([
  "PATH",
  "HOME",
  "USER",
  "LOGNAME",
  "SHELL",
  "LANG",
  "LANGUAGE",
  "TZ",
  "TMPDIR",
  "XDG_CONFIG_HOME",
  "XDG_CACHE_HOME",
  "XDG_DATA_HOME",
  "XDG_STATE_HOME",
  "XDG_RUNTIME_DIR",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "NODE_EXTRA_CA_CERTS",
  "NO_PROXY",
  "no_proxy",
  "BUN_INSTALL",
  "CLAUDE_CONFIG_DIR",
]);
const ALLOWED_PREFIX = "LC_";

/**
 * @param {NodeJS.ProcessEnv} environment of the gateway
 * @param {{host: string, port: number, passEnvironment: readonly string[]}} settings
 * @returns {Record<string, string>}
 */
export function childEnvironment(environment, { host, port, passEnvironment }) {
  const named = new Set(passEnvironment);
  /** @type {Record<string, string>} */
  const chosen = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && (ALLOWED.has(name) || name.startsWith(ALLOWED_PREFIX) || named.has(name))) {
      chosen[name] = value;
    }
  }
  return {
    ...chosen,
    CLAUDE_PROXY_HOST: host,
    CLAUDE_PROXY_PORT: String(port),
    MERIDIAN_HOST: host,
    MERIDIAN_PORT: String(port),
  };
}
