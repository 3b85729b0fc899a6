/** The OpenClaw plugin `anthropic-max-proxy`: a provider, its sign-in, and a service that runs the proxy. */

import { PROVIDER_LABEL, createProvider } from "./provider-plugin.js";
import { createService } from "./service.js";
import { PLUGIN_ID, readSettings } from "./settings.js";

/**
 * @typedef {object} PluginApi what this plugin uses of OpenClaw's OpenClawPluginApi
 * @property {unknown} [pluginConfig]
 * @property {(provider: ReturnType<typeof createProvider>) => void} registerProvider
 * @property {(service: ReturnType<typeof createService>) => void} registerService
 */

export default {
  id: PLUGIN_ID,
  name: PROVIDER_LABEL,
  description: "Routes Claude models through a local proxy",

  /** @param {PluginApi} api */
  register(api) {
    api.registerProvider(createProvider(readSettings(api.pluginConfig).settings));
    // A registration starts nothing: only a gateway calls start.
    api.registerService(createService(api.pluginConfig));
  },
};
