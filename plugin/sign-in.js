/** The questions of `openclaw models auth login --provider anthropic-max-proxy`, and what they write. */

import { isIP } from "node:net";

import { PLACEHOLDER_KEY, addressOf, modelReference, providerDefinition } from "./provider.js";
import {
  DEFAULTS,
  MODEL_ALIAS,
  PLUGIN_ID,
  PROVIDER_ID,
  hostProblem,
  isRecord,
  memberOf,
  modelsProblem,
  portProblem,
  readSettingsOf,
} from "./settings.js";

/**
 * @typedef {object} TextQuestion
 * @property {string} message
 * @property {string} [initialValue]
 * @property {(value: string) => string | undefined} [validate]
 */

/**
 * @typedef {object} SignInContext what this flow uses of OpenClaw's ProviderAuthContext
 * @property {unknown} config
 * @property {{text: (question: TextQuestion) => Promise<string>}} prompter
 */

/** @typedef {{host: string, port: number, models: string[]}} Answers */

/**
 * Model ids from a comma-separated answer.
 * @param {string} text
 * @returns {string[]}
 */
export function parseModelIds(text) {
  return text
    .split(/[,\n]/)
    .map((id) => id.trim())
    .filter((id) => id !== "");
}

/**
 * What the questions start with: the provider as configured, else the plugin's settings, else the defaults.
 * @param {unknown} config the OpenClaw configuration
 * @returns {Answers}
 */
export function currentAnswers(config) {
  const { settings } = readSettingsOf(config);
  const provider = memberOf(config, "models", "providers", PROVIDER_ID);
  const address = addressOf(memberOf(provider, "baseUrl"));
  const configured = memberOf(provider, "models");
  const found = Array.isArray(configured) ? configured.map((model) => memberOf(model, "id")) : [];
  const ids = modelsProblem(found) === undefined ? /** @type {string[]} */ (found) : [...settings.models];
  const first = currentFirst(config, ids);
  return {
    host: address?.host ?? settings.host,
    port: address?.port ?? settings.port,
    // OpenClaw keeps the order of an older list, and pressing Enter must not change the default model.
    models: first === undefined ? ids : [first, ...ids.filter((id) => id !== first)],
  };
}

/**
 * The model that is the default now, else the one with the alias.
 * @param {unknown} config
 * @param {readonly string[]} ids
 * @returns {string | undefined}
 */
function currentFirst(config, ids) {
  const model = memberOf(config, "agents", "defaults", "model");
  const primary = typeof model === "string" ? model : memberOf(model, "primary");
  return (
    ids.find((id) => modelReference(id) === primary) ??
    ids.find((id) => memberOf(config, "agents", "defaults", "models", modelReference(id), "alias") === MODEL_ALIAS)
  );
}

/**
 * Configured models that the answer leaves out. OpenClaw merges lists by id, so that they stay.
 * @param {Answers} answers
 * @param {unknown} config
 * @returns {string[]}
 */
function leftOut(answers, config) {
  if (memberOf(config, "models", "providers", PROVIDER_ID, "models") === undefined) {
    return [];
  }
  return currentAnswers(config).models.filter((id) => !answers.models.includes(id));
}

/**
 * Models of this provider that carry the alias now and lose it, because another one becomes the first.
 * @param {unknown} config
 * @param {string} first model reference
 * @returns {Record<string, {alias: undefined}>}
 */
function takeAliasFromOthers(config, first) {
  const models = memberOf(config, "agents", "defaults", "models");
  /** @type {Record<string, {alias: undefined}>} */
  const taken = {};
  for (const [reference, entry] of Object.entries(isRecord(models) ? models : {})) {
    if (reference !== first && memberOf(entry, "alias") === MODEL_ALIAS) {
      taken[reference] = { alias: undefined };
    }
  }
  return taken;
}

/**
 * The result of the sign-in: a configuration patch, a default model, notes.
 * @param {Answers} answers
 * @param {unknown} config the configuration before
 */
export function signInResult(answers, config) {
  const first = modelReference(answers.models[0] ?? DEFAULTS.models[0] ?? "");
  const currentKey = memberOf(config, "models", "providers", PROVIDER_ID, "apiKey");
  // A key or a secret reference of the operator's own stays, and no placeholder profile may outrank it.
  const keepsKey = currentKey !== undefined && currentKey !== PLACEHOLDER_KEY;
  const definition = providerDefinition(answers);
  const { apiKey, ...withoutKey } = definition;
  const staying = leftOut(answers, config);
  const isLoopback =
    answers.host === "localhost" ||
    answers.host === "::1" ||
    (isIP(answers.host) === 4 && answers.host.startsWith("127."));
  return {
    profiles: keepsKey
      ? []
      : [
          {
            profileId: `${PROVIDER_ID}:local`,
            credential: { type: /** @type {const} */ ("token"), provider: PROVIDER_ID, token: apiKey },
          },
        ],
    configPatch: {
      models: { providers: { [PROVIDER_ID]: keepsKey ? withoutKey : definition } },
      agents: {
        defaults: {
          // An empty list, because a missing one would let OpenClaw look for another provider.
          model: { primary: first, fallbacks: [] },
          models: {
            ...Object.fromEntries(answers.models.map((id) => [modelReference(id), {}])),
            ...takeAliasFromOthers(config, first),
            [first]: { alias: MODEL_ALIAS },
          },
        },
      },
      plugins: {
        entries: {
          [PLUGIN_ID]: { enabled: true, config: { host: answers.host, port: answers.port, models: answers.models } },
        },
      },
    },
    defaultModel: first,
    notes: [
      `Claude models now go to ${definition.baseUrl}; with --set-default ${first} is the default model, without fallbacks.`,
      `Use the alias ${MODEL_ALIAS} for it, for example /model ${MODEL_ALIAS}.`,
      "Check with: openclaw models status",
      ...(staying.length === 0
        ? []
        : [`Still configured: ${staying.join(", ")}. Remove them from models.providers.${PROVIDER_ID}.models if unwanted.`]),
      ...(isLoopback ? [] : [`${answers.host} is not this machine: prompts travel there unencrypted.`]),
    ],
  };
}

/**
 * Ask for host, port and model ids, and return what OpenClaw shall write.
 * @param {SignInContext} context
 */
export async function signIn({ config, prompter }) {
  const current = currentAnswers(config);
  const host = (
    await prompter.text({
      message: "Proxy host",
      initialValue: current.host,
      validate: (value) => hostProblem(value.trim()),
    })
  ).trim();
  const port = Number(
    (
      await prompter.text({
        message: "Proxy port",
        initialValue: String(current.port),
        validate: (value) => portProblem(value.trim()),
      })
    ).trim(),
  );
  const models = parseModelIds(
    await prompter.text({
      message: "Model ids, separated by commas (the first one becomes the default)",
      initialValue: current.models.join(", "),
      validate: (value) => modelsProblem(parseModelIds(value)),
    }),
  );
  return signInResult({ host, port, models }, config);
}
