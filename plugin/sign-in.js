/** The questions of `openclaw models auth login --provider anthropic-max-proxy`, and what they write. */

import { isIP } from "node:net";

import { KEY_PROVIDER, KEY_REFERENCE, PLACEHOLDER_KEY, addressOf, modelReference, providerDefinition } from "./provider.js";
import {
  DEFAULTS,
  MODEL_ALIAS,
  PLUGIN_ID,
  PROVIDER_ID,
  hostProblem,
  isRecord,
  keyFileProblem,
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

/** @typedef {{host: string, port: number, models: string[], keyFile?: string}} Answers */

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
    keyFile: currentKeyFile(config) ?? "",
  };
}

/**
 * The file that the sign-in has named before, or undefined.
 * @param {unknown} config
 * @returns {string | undefined}
 */
function currentKeyFile(config) {
  const key = memberOf(config, "models", "providers", PROVIDER_ID, "apiKey");
  const path = memberOf(config, "secrets", "providers", KEY_PROVIDER, "path");
  return memberOf(key, "provider") === KEY_PROVIDER && typeof path === "string" ? path : undefined;
}

/**
 * Whether the operator has put a key or a secret reference of his own there, which the sign-in neither asks about nor
 * changes.
 * @param {unknown} config
 * @returns {boolean}
 */
function hasForeignKey(config) {
  const key = memberOf(config, "models", "providers", PROVIDER_ID, "apiKey");
  return key !== undefined && key !== PLACEHOLDER_KEY && currentKeyFile(config) === undefined;
}

/**
 * The credential of the stored profile: it outranks the configured key, so that both say the same.
 * @param {string} keyFile
 */
function credentialFor(keyFile) {
  const credential = { type: /** @type {const} */ ("token"), provider: PROVIDER_ID };
  return keyFile === "" ? { ...credential, token: PLACEHOLDER_KEY } : { ...credential, tokenRef: { ...KEY_REFERENCE } };
}

/**
 * What the patch says about the file with the key. One that was named before and is no more stays, without a use.
 * @param {string} keyFile
 */
function keyFilePatch(keyFile) {
  if (keyFile === "") {
    return {};
  }
  const provider = { source: /** @type {const} */ ("file"), path: keyFile, mode: /** @type {const} */ ("singleValue") };
  return { secrets: { providers: { [KEY_PROVIDER]: provider } } };
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
  // What is the operator's own stays, and no profile may outrank it.
  const keepsKey = hasForeignKey(config);
  const keyFile = answers.keyFile ?? "";
  const { apiKey, ...withoutKey } = providerDefinition(answers);
  const definition = { ...withoutKey, apiKey: keyFile === "" ? apiKey : { ...KEY_REFERENCE } };
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
            credential: credentialFor(keyFile),
          },
        ],
    configPatch: {
      ...(keepsKey ? {} : keyFilePatch(keyFile)),
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
      ...(keepsKey ? [`The key in models.providers.${PROVIDER_ID}.apiKey stays as it is.`] : []),
      ...(staying.length === 0
        ? []
        : [`Still configured: ${staying.join(", ")}. Remove them from models.providers.${PROVIDER_ID}.models if unwanted.`]),
      ...(isLoopback ? [] : [`${answers.host} is not this machine: prompts travel there unencrypted.`]),
    ],
  };
}

/**
 * Ask for host, port, model ids and the file with the key, and return what OpenClaw shall write.
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
  if (hasForeignKey(config)) {
    return signInResult({ host, port, models }, config);
  }
  const keyFile = (
    await prompter.text({
      message: "File with the proxy's key (leave empty if it asks for none)",
      initialValue: current.keyFile ?? "",
      validate: (value) => keyFileProblem(value.trim()),
    })
  ).trim();
  return signInResult({ host, port, models, keyFile }, config);
}
