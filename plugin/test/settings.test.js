import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { DEFAULTS, hostProblem, modelsProblem, portProblem, readSettings, readSettingsOf } from "../settings.js";

const manifest = JSON.parse(readFileSync(new URL("../openclaw.plugin.json", import.meta.url), "utf8"));
const description = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
const schema = manifest.configSchema.properties;

test("an empty configuration gives the defaults", () => {
  for (const config of [undefined, null, {}]) {
    assert.deepEqual(readSettings(config), { settings: DEFAULTS, problems: [] });
  }
});

test("the schema and the code know the same settings with the same defaults", () => {
  assert.deepEqual(Object.keys(schema).sort(), Object.keys(DEFAULTS).sort());
  for (const [name, value] of Object.entries(DEFAULTS)) {
    assert.deepEqual(schema[name].default, value, name);
  }
});

test("every setting has a description and a label", () => {
  for (const name of Object.keys(schema)) {
    assert.ok(schema[name].description.length > 20, name);
    assert.ok(manifest.uiHints[name].label, name);
  }
});

test("the code accepts no host and no model id that the schema refuses", () => {
  const hosts = ["127.0.0.1", "localhost", "::1", "fe80::1", "proxy.example.com", "fe80::1%eth0", "http://x", "a b", "[::1]", "a/b", ""];
  assert.deepEqual(hosts.filter((host) => hostProblem(host) === undefined), hosts.slice(0, 5));
  assert.deepEqual(hosts.filter((host) => new RegExp(schema.host.pattern).test(host)), hosts.slice(0, 5));
  const ids = ["claude-opus-4.6", "anthropic/claude-x:1", "claude opus", "", "-x", "a\nb", "a@b"];
  assert.deepEqual(ids.filter((id) => modelsProblem([id]) === undefined), ids.slice(0, 2));
  assert.deepEqual(ids.filter((id) => new RegExp(schema.models.items.pattern).test(id)), ids.slice(0, 2));
});

test("a wrong value is named and replaced by its default", () => {
  const { settings, problems } = readSettings({ port: 70000, host: "http://x", autoStart: "yes", models: [], command: [], bogus: 1 });
  assert.deepEqual(settings, DEFAULTS);
  assert.equal(problems.length, 6);
  for (const name of ["port", "host", "autoStart", "models", "command", "bogus"]) {
    assert.ok(problems.some((problem) => problem.startsWith(`plugins.entries.anthropic-max-proxy.config.${name}: `)), name);
  }
});

test("names of Object.prototype are no settings", () => {
  const { settings, problems } = readSettings(JSON.parse('{"__proto__": {"port": 1}, "constructor": 2, "toString": 3}'));
  assert.equal(settings.port, 3456);
  assert.equal(problems.length, 3);
});

test("no configuration of any shape makes reading throw", () => {
  const values = [0, 1.5, NaN, "", "x", true, null, [], [null], {}, { a: 1 }, () => 1, Symbol("s"), -1, 1e9];
  for (const value of values) {
    assert.ok(readSettings(value).settings);
    for (const name of Object.keys(DEFAULTS)) {
      const { settings } = readSettings({ [name]: value });
      assert.ok(settings.models.length > 0 && settings.command.length > 0);
      assert.equal(portProblem(settings.port), undefined);
    }
  }
});

test("settings are found in a whole configuration", () => {
  const config = { plugins: { entries: { "anthropic-max-proxy": { config: { port: 9999 } } } } };
  assert.equal(readSettingsOf(config).settings.port, 9999);
  assert.equal(readSettingsOf({ plugins: null }).settings.port, 3456);
});

test("wildcard and malformed addresses are refused with the reason", () => {
  assert.match(hostProblem("0.0.0.0") ?? "", /every address/);
  assert.match(hostProblem("http://127.0.0.1") ?? "", /no http:\/\//);
  assert.match(hostProblem("999.1.1.1") ?? "", /IP address/);
  assert.match(hostProblem("") ?? "", /such as 127\.0\.0\.1/);
  for (const port of ["0", "65536", "x", "", "1.5", "-1", "1e3", " 1", 0, 65536, 1.5]) {
    assert.match(portProblem(port) ?? "", /1 to 65535/, String(port));
  }
  assert.equal(portProblem("9999"), undefined);
});

test("the package ships every module that the entry imports, and nothing of the tests", () => {
  const shipped = new Set(description.files);
  const seen = new Set();
  const visit = (/** @type {string} */ name) => {
    if (seen.has(name)) {
      return;
    }
    seen.add(name);
    assert.ok(shipped.has(name), name);
    const text = readFileSync(new URL(`../${name}`, import.meta.url), "utf8");
    for (const match of text.matchAll(/from "\.\/([^"]+)"/g)) {
      visit(match[1] ?? "");
    }
  };
  visit("index.js");
  assert.ok(shipped.has("process-group.sh") && shipped.has("openclaw.plugin.json"));
  assert.ok(![...shipped].some((name) => name.startsWith("test")));
  assert.equal(description.dependencies, undefined);
  assert.equal(description.devDependencies, undefined);
  assert.equal(manifest.version, description.version);
});
