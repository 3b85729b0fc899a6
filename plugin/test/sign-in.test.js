import assert from "node:assert/strict";
import { test } from "node:test";

import { currentAnswers, parseModelIds, signIn, signInResult } from "../sign-in.js";

const REFERENCE = "anthropic-max-proxy/claude-opus-4.6";

/**
 * A prompter that types the given answers and obeys each question's own validation.
 * @param {Array<string | undefined>} answers undefined presses Enter
 */
function prompterWith(answers) {
  /** @type {Array<{message: string, initialValue?: string, refused: string[]}>} */
  const asked = [];
  return {
    asked,
    /** @param {import("../sign-in.js").TextQuestion} question */
    async text({ message, initialValue, validate }) {
      const record = { message, initialValue: initialValue ?? "", refused: /** @type {string[]} */ ([]) };
      asked.push(record);
      for (;;) {
        assert.ok(answers.length > 0, `no answer left for ${message}`);
        const answer = answers.shift() ?? initialValue ?? "";
        const problem = validate?.(answer);
        if (problem === undefined) {
          return answer;
        }
        record.refused.push(problem);
      }
    },
  };
}

/**
 * OpenClaw's merge of a patch, as far as it matters here: undefined removes.
 * @param {any} target
 * @param {any} patch
 * @returns {any}
 */
function merged(target, patch) {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) {
    return patch;
  }
  const result = { ...(typeof target === "object" && target !== null && !Array.isArray(target) ? target : {}) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined) {
      delete result[name];
    } else {
      result[name] = merged(result[name], value);
    }
  }
  return result;
}

test("the first run starts with the defaults and writes the whole route", async () => {
  const prompter = prompterWith([undefined, undefined, undefined, undefined]);
  const result = await signIn({ config: {}, prompter });
  assert.deepEqual(prompter.asked.map(({ initialValue }) => initialValue), [
    "127.0.0.1",
    "3456",
    "claude-opus-4.6, claude-sonnet-4.5, claude-3.7-sonnet",
    "",
  ]);
  assert.equal(result.defaultModel, REFERENCE);
  assert.deepEqual(result.profiles, [
    {
      profileId: "anthropic-max-proxy:local",
      credential: { type: "token", provider: "anthropic-max-proxy", token: "proxy-local" },
    },
  ]);
  const { models, agents, plugins } = result.configPatch;
  const provider = models.providers["anthropic-max-proxy"];
  assert.equal(provider?.baseUrl, "http://127.0.0.1:3456");
  assert.equal(provider?.api, "anthropic-messages");
  assert.deepEqual(provider?.models.map(({ id, name }) => [id, name]), [
    ["claude-opus-4.6", "claude-opus-4.6"],
    ["claude-sonnet-4.5", "claude-sonnet-4.5"],
    ["claude-3.7-sonnet", "claude-3.7-sonnet"],
  ]);
  assert.deepEqual(agents.defaults.model, { primary: REFERENCE, fallbacks: [] });
  assert.deepEqual(agents.defaults.models[REFERENCE], { alias: "claude-max-proxy" });
  assert.deepEqual(plugins.entries["anthropic-max-proxy"]?.config, {
    host: "127.0.0.1",
    port: 3456,
    models: ["claude-opus-4.6", "claude-sonnet-4.5", "claude-3.7-sonnet"],
  });
  assert.equal(JSON.stringify(result.configPatch).includes('"anthropic"'), false);
});

test("wrong answers are refused with a reason, then asked again", async () => {
  const prompter = prompterWith(["http://x", "", " localhost ", "0", "99999", "abc", "9999", " , ", "a b", "x, x", "x, y", "sk-canary-1", "key", "/", "/srv/key"]);
  const result = await signIn({ config: {}, prompter });
  assert.deepEqual(prompter.asked.map(({ refused }) => refused.length), [2, 3, 3, 3]);
  assert.match(prompter.asked[3]?.refused[0] ?? "", /absolute path of a file/);
  assert.doesNotMatch(prompter.asked[3]?.refused[0] ?? "", /canary/);
  assert.equal(result.configPatch.models.providers["anthropic-max-proxy"]?.baseUrl, "http://localhost:9999");
  assert.equal(result.defaultModel, "anthropic-max-proxy/x");
});

test("the second run starts with what is configured, and Enter changes nothing", async () => {
  const first = signInResult({ host: "::1", port: 9999, models: ["a", "b"] }, {});
  const config = merged({}, first.configPatch);
  const prompter = prompterWith([undefined, undefined, undefined, undefined]);
  const second = await signIn({ config, prompter });
  assert.deepEqual(prompter.asked.map(({ initialValue }) => initialValue), ["::1", "9999", "a, b", ""]);
  assert.deepEqual(merged(config, second.configPatch), config);
});

test("the default model comes first although OpenClaw keeps the order of an older list", () => {
  const config = merged({}, signInResult({ host: "h", port: 1, models: ["a", "b"] }, {}).configPatch);
  config.agents.defaults.model.primary = "anthropic-max-proxy/b";
  assert.deepEqual(currentAnswers(config).models, ["b", "a"]);
  config.agents.defaults.model = "openai/x";
  assert.deepEqual(currentAnswers(config).models, ["a", "b"]);
});

test("the alias moves with the first model", () => {
  const before = merged({}, signInResult({ host: "h", port: 1, models: ["a", "b"] }, {}).configPatch);
  const after = merged(before, signInResult({ host: "h", port: 1, models: ["b", "a"] }, before).configPatch);
  assert.deepEqual(after.agents.defaults.models, {
    "anthropic-max-proxy/a": {},
    "anthropic-max-proxy/b": { alias: "claude-max-proxy" },
  });
});

test("other models, settings and providers stay", () => {
  const config = {
    models: { providers: { other: { baseUrl: "http://x" } } },
    agents: { defaults: { models: { "other/m": { alias: "mine" } }, workspace: "/w" } },
    plugins: { allow: ["x"], entries: { "anthropic-max-proxy": { config: { autoStart: false } }, other: { enabled: true } } },
  };
  const after = merged(config, signInResult({ host: "h", port: 1, models: ["a"] }, config).configPatch);
  assert.deepEqual(after.models.providers.other, config.models.providers.other);
  assert.deepEqual(after.agents.defaults.models["other/m"], { alias: "mine" });
  assert.equal(after.agents.defaults.workspace, "/w");
  assert.equal(after.plugins.entries["anthropic-max-proxy"].config.autoStart, false);
  assert.deepEqual(after.plugins.entries.other, { enabled: true });
});

for (const key of [{ source: "file", provider: "f", id: "/k" }, "a-key-of-mine", "${PROXY_KEY}"]) {
  test(`an inbound key stays: ${JSON.stringify(key)}`, () => {
    const config = { models: { providers: { "anthropic-max-proxy": { apiKey: key } } } };
    const result = signInResult({ host: "h", port: 1, models: ["a"] }, config);
    assert.deepEqual(result.profiles, []);
    assert.deepEqual(merged(config, result.configPatch).models.providers["anthropic-max-proxy"].apiKey, key);
  });
}

test("a file with the key becomes a secret reference, for the profile as well, and can be taken back", async () => {
  const prompter = prompterWith([undefined, undefined, "a", " /srv/proxy key "]);
  const result = await signIn({ config: {}, prompter });
  const reference = { source: "file", provider: "anthropic-max-proxy-key", id: "value" };
  assert.deepEqual(result.profiles[0]?.credential, {
    type: "token",
    provider: "anthropic-max-proxy",
    tokenRef: reference,
  });
  const config = merged({ secrets: { providers: { other: { source: "env" } } } }, result.configPatch);
  assert.deepEqual(config.models.providers["anthropic-max-proxy"].apiKey, reference);
  assert.deepEqual(config.secrets.providers, {
    other: { source: "env" },
    "anthropic-max-proxy-key": { source: "file", path: "/srv/proxy key", mode: "singleValue" },
  });
  assert.doesNotMatch(JSON.stringify(result), /proxy-local/);

  const enter = prompterWith([undefined, undefined, undefined, undefined]);
  const second = await signIn({ config, prompter: enter });
  assert.equal(enter.asked[3]?.initialValue, "/srv/proxy key");
  assert.deepEqual(merged(config, second.configPatch), config);

  const without = signInResult({ host: "h", port: 1, models: ["a"], keyFile: "" }, config);
  const after = merged(config, without.configPatch);
  assert.deepEqual(after.secrets, config.secrets);
  assert.equal(after.models.providers["anthropic-max-proxy"].apiKey, "proxy-local");
  assert.deepEqual(without.profiles[0]?.credential, {
    type: "token",
    provider: "anthropic-max-proxy",
    token: "proxy-local",
  });
});

test("a key of the operator's own is not asked about", async () => {
  const config = { models: { providers: { "anthropic-max-proxy": { apiKey: { source: "env", provider: "default", id: "K" } } } } };
  const prompter = prompterWith([undefined, undefined, undefined]);
  const result = await signIn({ config, prompter });
  assert.equal(prompter.asked.length, 3);
  assert.match(result.notes.join("\n"), /stays as it is/);
  assert.equal("secrets" in result.configPatch, false);
});

test("the notes say when prompts leave the machine, and which models stay", () => {
  const note = (/** @type {string} */ host) => signInResult({ host, port: 1, models: ["a"] }, {}).notes.join("\n");
  for (const host of ["127.0.0.1", "127.9.9.9", "localhost", "::1"]) {
    assert.doesNotMatch(note(host), /unencrypted/, host);
  }
  for (const host of ["192.0.2.1", "proxy.example.com", "127.example.com"]) {
    assert.match(note(host), /unencrypted/, host);
  }
  const config = merged({}, signInResult({ host: "h", port: 1, models: ["a", "b"] }, {}).configPatch);
  assert.match(signInResult({ host: "h", port: 1, models: ["a"] }, config).notes.join("\n"), /Still configured: b\./);
});

test("model ids may be separated by commas and lines", () => {
  assert.deepEqual(parseModelIds(" a,b\n c ,, "), ["a", "b", "c"]);
});
