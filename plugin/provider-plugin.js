/** What is registered with OpenClaw as the provider: its sign-in, and its models where nobody configured it. */

import { PLACEHOLDER_KEY, baseUrl, modelDefinition, providerDefinition } from "./provider.js";
import { MODEL_ALIAS, PLUGIN_ID, PROVIDER_ID, memberOf } from "./settings.js";
import { signIn } from "./sign-in.js";

export const PROVIDER_LABEL = "Anthropic Max Proxy";

/**
 * Whether the operator configured the provider; then that is the whole truth, and nothing is added to it.
 * @param {unknown} config the OpenClaw configuration
 * @returns {boolean}
 */
function isConfigured(config) {
  return memberOf(config, "models", "providers", PROVIDER_ID) !== undefined;
}

/** @param {import("./settings.js").Settings} settings */
export function createProvider(settings) {
  return {
    id: PROVIDER_ID,
    label: PROVIDER_LABEL,
    aliases: [MODEL_ALIAS],
    auth: [
      {
        id: "local",
        label: "Local proxy",
        hint: "Address and model ids of the proxy",
        kind: /** @type {const} */ ("custom"),
        run: signIn,
      },
    ],
    catalog: {
      order: /** @type {const} */ ("simple"),
      /** @param {{config: unknown}} context */
      async run({ config }) {
        return isConfigured(config) ? null : { provider: providerDefinition(settings) };
      },
    },
    /** @param {{config?: unknown, modelId: string}} context */
    resolveDynamicModel({ config, modelId }) {
      if (isConfigured(config) || !settings.models.includes(modelId)) {
        return undefined;
      }
      return { ...modelDefinition(modelId), provider: PROVIDER_ID, baseUrl: baseUrl(settings.host, settings.port) };
    },
    /** @param {{config?: unknown}} context */
    resolveSyntheticAuth({ config }) {
      if (isConfigured(config)) {
        return undefined;
      }
      return { apiKey: PLACEHOLDER_KEY, source: `plugins.entries.${PLUGIN_ID}`, mode: /** @type {const} */ ("api-key") };
    },
  };
}
