import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";

import { forwardLines } from "../process-group.js";
import { createService } from "../service.js";
import { FAKE_PROXY, freePort, processesFor, recorder, until } from "../testing/supervision.js";

const configWith = (/** @type {unknown} */ config) => ({ plugins: { entries: { "anthropic-max-proxy": { enabled: true, config } } } });

test("with autoStart false the service starts and logs nothing", async () => {
  const { lines, failures, logger, health } = recorder();
  const service = createService({ autoStart: false });
  for (const config of [configWith({ autoStart: false, port: "wrong" }), {}]) {
    await service.start({ config, logger, serviceHealth: health });
    await service.stop();
  }
  assert.deepEqual([lines, failures], [[], []]);
});

test("the current configuration counts, not the one at registration", async () => {
  const port = await freePort();
  const { lines, logger } = recorder();
  const service = createService({ autoStart: false });
  const config = configWith({ port, command: [process.execPath, FAKE_PROXY] });
  await service.start({ config, logger });
  await until(() => lines.some((line) => line.includes("listening")), () => lines.join("\n"));
  await service.start({ config: configWith({ autoStart: false }), logger });
  assert.deepEqual(processesFor(port), []);
  await service.start({ config, logger });
  await until(() => lines.filter((line) => line.includes("listening")).length === 2, () => lines.join("\n"));
  await service.stop();
  assert.deepEqual(processesFor(port), []);
});

test("wrong settings are an error that names them, and start nothing", async () => {
  const { lines, logger } = recorder();
  const service = createService(undefined);
  await assert.rejects(service.start({ config: configWith({ port: 0 }), logger }), /config\.port: /);
  assert.deepEqual(lines, []);
});

test("the service is restarted by OpenClaw when its settings change", () => {
  assert.deepEqual(createService(undefined).reload.configPrefixes, ["plugins.entries.anthropic-max-proxy.config"]);
});

test("output is cut into clean lines of bounded length", async () => {
  /** @type {string[]} */
  const lines = [];
  const stream = new PassThrough();
  forwardLines(stream, (line) => lines.push(line));
  stream.write("one\r\nt");
  stream.write("wo\n\n\u001b[31mred\u001b[0m\u0007\n");
  stream.write("x".repeat(10_000));
  stream.end("tail");
  await new Promise((resolve) => stream.once("close", resolve));
  assert.deepEqual(lines.slice(0, 3), ["one", "two", "red"]);
  assert.ok(lines.slice(3).every((line) => line.length <= 4096));
  assert.equal(lines.at(-1), "tail");
});
