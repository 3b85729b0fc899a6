/** The provider as OpenClaw's model configuration describes it. */

import { isIP } from "node:net";

import { PROVIDER_ID } from "./settings.js";

// The proxy on loopback asks for no key, but OpenClaw sends one and complains without it.
export const PLACEHOLDER_KEY = "proxy-local";

// Name of the secret provider that reads the proxy's key from a file; the key itself stands in no configuration.
export const KEY_PROVIDER = "anthropic-max-proxy-key";
export const KEY_REFERENCE = Object.freeze({
  source: /** @type {const} */ ("file"),
  provider: KEY_PROVIDER,
  id: "value",
});

/**
 * The base URL without `/v1`, which the anthropic-messages transport adds itself.
 * @param {string} host host name or IP address, without brackets
 * @param {number} port
 * @returns {string}
 */
export function baseUrl(host, port) {
  return `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/**
 * Host and port of a base URL, or undefined when it is none that this plugin could have written.
 * @param {unknown} url
 * @returns {{host: string, port: number} | undefined}
 */
export function addressOf(url) {
  if (typeof url !== "string" || !URL.canParse(url)) {
    return undefined;
  }
  const parsed = new URL(url);
  if (parsed.protocol !== "http:" || parsed.hostname === "") {
    return undefined;
  }
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: parsed.port === "" ? 80 : Number(parsed.port),
  };
}

/**
 * @param {string} id
 * @returns {string} `provider/model`
 */
export function modelReference(id) {
  return `${PROVIDER_ID}/${id}`;
}

/**
 * One entry of `models.providers.<id>.models`.
 * @param {string} id
 */
export function modelDefinition(id) {
  return {
    id,
    name: id,
    api: /** @type {const} */ ("anthropic-messages"),
    reasoning: true,
    input: /** @type {Array<"text" | "image">} */ (["text", "image"]),
    // Whatever stands behind the proxy, OpenClaw cannot know its price.
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
    contextWindow: 200_000,
    maxTokens: 8192,
  };
}

/**
 * A whole `models.providers.<id>` entry.
 * @param {{host: string, port: number, models: readonly string[]}} settings
 */
export function providerDefinition({ host, port, models }) {
  return {
    baseUrl: baseUrl(host, port),
    apiKey: PLACEHOLDER_KEY,
    api: /** @type {const} */ ("anthropic-messages"),
    models: models.map(modelDefinition),
  };
}
