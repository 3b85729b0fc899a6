/** The background service of the gateway: one supervisor while `autoStart` is true, else nothing. */

import { PLUGIN_ID, readSettings, readSettingsOf, memberOf } from "./settings.js";
import { ProxySupervisor } from "./supervisor.js";

/**
 * @typedef {object} ServiceContext what this service uses of OpenClaw's OpenClawPluginServiceContext
 * @property {unknown} config
 * @property {import("./supervisor.js").Logger} logger
 * @property {import("./supervisor.js").Health} [serviceHealth]
 */

/** @type {import("./supervisor.js").Health} */
const NO_HEALTH = { reportFailure() {}, clearFailure() {} };

/**
 * @param {unknown} pluginConfig the plugin's configuration at registration, for hosts that hand over no other
 */
export function createService(pluginConfig) {
  /** @type {ProxySupervisor | undefined} */
  let supervisor;

  const stop = async () => {
    const stopping = supervisor;
    supervisor = undefined;
    await stopping?.stop();
  };

  return {
    id: `${PLUGIN_ID}-service`,
    reload: { configPrefixes: [`plugins.entries.${PLUGIN_ID}.config`] },

    /** @param {ServiceContext} context */
    async start({ config, logger, serviceHealth }) {
      await stop();
      const current = memberOf(config, "plugins", "entries", PLUGIN_ID, "config");
      const { settings, problems } = current === undefined ? readSettings(pluginConfig) : readSettingsOf(config);
      if (!settings.autoStart) {
        return;
      }
      if (problems.length > 0) {
        throw new Error(`${PLUGIN_ID}: the proxy was not started: ${problems.join("; ")}`);
      }
      supervisor = new ProxySupervisor({
        settings,
        logger,
        health: serviceHealth ?? NO_HEALTH,
        environment: process.env,
      });
      supervisor.start();
    },

    stop,
  };
}
