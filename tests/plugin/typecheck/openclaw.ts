// Compared with the types of the installed OpenClaw: what the plugin registers is what OpenClaw expects.

import type { OpenClawPluginApi, OpenClawPluginDefinition, OpenClawPluginService } from "openclaw/plugin-sdk/plugin-entry";

import plugin from "../../../plugin/index.js";
import { createProvider } from "../../../plugin/provider-plugin.js";
import { createService } from "../../../plugin/service.js";
import { DEFAULTS } from "../../../plugin/settings.js";

type Provider = Parameters<OpenClawPluginApi["registerProvider"]>[0];

export const definition: OpenClawPluginDefinition = plugin;
export const provider: Provider = createProvider(DEFAULTS);
export const service: OpenClawPluginService = createService({});

// Without these two, types that resolve to any would pass everything above.
// @ts-expect-error no start
export const wrongService: OpenClawPluginService = { id: "x" };
// @ts-expect-error no such kind
export const wrongProvider: Provider = { ...createProvider(DEFAULTS), auth: [{ id: "x", label: "x", kind: "x", run: async () => ({ profiles: [] }) }] };
