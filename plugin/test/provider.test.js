import assert from "node:assert/strict";
import { test } from "node:test";

import plugin from "../index.js";
import { addressOf, baseUrl } from "../provider.js";

/**
 * What the plugin registers with a configuration.
 * @param {unknown} pluginConfig
 */
function registered(pluginConfig) {
  /** @type {any[]} */
  const providers = [];
  /** @type {any[]} */
  const services = [];
  plugin.register({
    pluginConfig,
    registerProvider: (provider) => providers.push(provider),
    registerService: (service) => services.push(service),
  });
  assert.equal(providers.length, 1);
  assert.equal(services.length, 1);
  return { provider: providers[0], service: services[0] };
}

test("the provider is registered under its id and alias with a sign-in", () => {
  const { provider, service } = registered(undefined);
  assert.equal(plugin.id, "anthropic-max-proxy");
  assert.equal(provider.id, "anthropic-max-proxy");
  assert.deepEqual(provider.aliases, ["claude-max-proxy"]);
  assert.equal(provider.auth[0].kind, "custom");
  assert.equal(service.id, "anthropic-max-proxy-service");
});

test("registering never throws, whatever the configuration is", () => {
  for (const config of [null, 1, "x", [], { port: "x" }, { models: [{}] }, { command: 7 }, { host: {} }]) {
    registered(config);
  }
});

test("without a configured provider the plugin's models resolve to the proxy", async () => {
  const { provider } = registered({ port: 9999, models: ["a", "b"] });
  const model = provider.resolveDynamicModel({ config: {}, modelId: "b" });
  assert.equal(model.baseUrl, "http://127.0.0.1:9999");
  assert.equal(model.api, "anthropic-messages");
  assert.equal(model.provider, "anthropic-max-proxy");
  assert.equal(provider.resolveDynamicModel({ config: {}, modelId: "c" }), undefined);
  assert.equal(provider.resolveSyntheticAuth({ config: {} }).apiKey, "proxy-local");
  const { provider: definition } = await provider.catalog.run({ config: {} });
  assert.deepEqual(definition.models.map((/** @type {any} */ { id }) => id), ["a", "b"]);
});

test("a configured provider is the whole truth", async () => {
  const { provider } = registered({ port: 9999 });
  const config = { models: { providers: { "anthropic-max-proxy": { baseUrl: "http://127.0.0.1:1" } } } };
  assert.equal(provider.resolveDynamicModel({ config, modelId: "claude-opus-4.6" }), undefined);
  assert.equal(provider.resolveSyntheticAuth({ config }), undefined);
  assert.equal(await provider.catalog.run({ config }), null);
});

test("addresses and base URLs are each other's inverse", () => {
  for (const [host, port, url] of /** @type {Array<[string, number, string]>} */ ([
    ["127.0.0.1", 3456, "http://127.0.0.1:3456"],
    ["::1", 1, "http://[::1]:1"],
    ["proxy.example.com", 80, "http://proxy.example.com:80"],
  ])) {
    assert.equal(baseUrl(host, port), url);
    assert.deepEqual(addressOf(url), { host, port });
  }
  for (const url of ["https://x:1", "x", "", undefined, 7, "http://"]) {
    assert.equal(addressOf(url), undefined);
  }
});
