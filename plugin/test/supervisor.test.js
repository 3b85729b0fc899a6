import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { childEnvironment } from "../child-environment.js";
import { accepts } from "../port.js";
import { ProxySupervisor, restartDelay } from "../supervisor.js";
import { FAKE_PROXY, QUICK, freePort, processesFor, recorder, settingsFor, until } from "../testing/supervision.js";

/**
 * @param {string} behaviour
 * @param {number} port
 * @param {Partial<import("../settings.js").Settings>} [changes]
 */
function supervise(behaviour, port, changes) {
  const record = recorder();
  const supervisor = new ProxySupervisor({
    settings: settingsFor(port, changes),
    logger: record.logger,
    health: record.health,
    environment: { ...process.env, FAKE_PROXY: behaviour, OPENAI_API_KEY: "secret", ANTHROPIC_API_KEY: "secret" },
    timing: QUICK,
  });
  supervisor.start();
  return { ...record, supervisor };
}

/** @param {number} port */
const programPid = (port) =>
  processesFor(port).find((pid) => {
    const [program, script] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return program === process.execPath && script === FAKE_PROXY;
  });

test("the proxy is started once, announced, and stopped with everything", async () => {
  const port = await freePort();
  const { supervisor, lines } = supervise("serve", port);
  supervisor.start();
  await until(() => lines.some((line) => line.includes("proxy answers")), () => lines.join("\n"));
  assert.equal(lines[0], `anthropic-max-proxy: starting proxy (${process.execPath}) on 127.0.0.1:${port}`);
  assert.equal(lines.filter((line) => line.includes("starting proxy")).length, 1);
  assert.ok(lines.includes("anthropic-max-proxy: listening"));
  await supervisor.stop();
  assert.deepEqual(processesFor(port), []);
  assert.equal(await accepts("127.0.0.1", port), false);
  assert.equal(lines.filter((line) => line.includes("did not end")).length, 0);
});

test("the proxy gets no credential of the gateway", async () => {
  const port = await freePort();
  const { supervisor, lines } = supervise("serve", port);
  await until(() => lines.some((line) => line.includes("environment")), () => lines.join("\n"));
  await supervisor.stop();
  const names = (lines.find((line) => line.includes("environment")) ?? "").split(" ").pop()?.split(",") ?? [];
  assert.ok(names.includes("CLAUDE_PROXY_HOST") && names.includes("MERIDIAN_PORT") && names.includes("PATH"));
  assert.deepEqual(names.filter((name) => /KEY|TOKEN|SECRET/.test(name)), []);
  const chosen = childEnvironment({ A: "1", B: "2", LC_ALL: "C" }, { host: "h", port: 1, passEnvironment: ["B"] });
  assert.deepEqual(Object.keys(chosen).sort(), ["B", "CLAUDE_PROXY_HOST", "CLAUDE_PROXY_PORT", "LC_ALL", "MERIDIAN_HOST", "MERIDIAN_PORT"]);
});

test("a killed proxy is started again", async () => {
  const port = await freePort();
  const { supervisor, lines } = supervise("serve", port);
  await until(() => lines.some((line) => line.includes("proxy answers")), () => lines.join("\n"));
  const first = programPid(port);
  process.kill(first ?? 0, "SIGKILL");
  await until(() => lines.filter((line) => line.includes("proxy answers")).length === 2, () => lines.join("\n"));
  assert.ok(lines.includes("anthropic-max-proxy: exited (code=null, signal=SIGKILL)"), lines.join("\n"));
  assert.ok(lines.includes("anthropic-max-proxy: restart scheduled in 100ms"));
  assert.notEqual(programPid(port), first);
  assert.equal(processesFor(port).length, 3, "shell, its watcher, proxy");
  await supervisor.stop();
  assert.deepEqual(processesFor(port), []);
});

test("a crash loop backs off and ends", async () => {
  const port = await freePort();
  const { supervisor, lines, failures, isHealthy } = supervise("crash", port, { maxRestarts: 3 });
  await supervisor.finished();
  assert.equal(lines.filter((line) => line.includes("starting proxy")).length, 4);
  assert.deepEqual(
    lines.flatMap((line) => /restart scheduled in (\d+)ms/.exec(line)?.[1] ?? []),
    ["100", "200", "400"],
  );
  assert.match(failures.at(-1) ?? "", /code=3.*4 times in a row and stays stopped/);
  assert.equal(isHealthy(), false);
  assert.deepEqual(processesFor(port), []);
  await supervisor.stop();
});

test("without autoRestart one exit is the end", async () => {
  const port = await freePort();
  const { supervisor, lines, failures } = supervise("crash", port, { autoRestart: false });
  await supervisor.finished();
  assert.equal(lines.filter((line) => line.includes("starting proxy")).length, 1);
  assert.match(failures.at(-1) ?? "", /autoRestart is false/);
});

test("a port that somebody else holds is an error without a start", async () => {
  const server = createServer();
  const port = await new Promise((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => resolve(/** @type {any} */ (server.address()).port));
  });
  const { supervisor, lines, failures } = supervise("serve", port);
  await supervisor.finished();
  server.close();
  assert.equal(lines.length, 1);
  assert.match(failures[0] ?? "", /held by another process.*autoStart/);
  assert.deepEqual(processesFor(port), []);
});

test("a port that becomes free in time is used", async () => {
  const server = createServer();
  const port = await new Promise((resolve) => {
    server.listen({ host: "127.0.0.1", port: 0 }, () => resolve(/** @type {any} */ (server.address()).port));
  });
  const { supervisor, lines } = supervise("serve", port);
  await delay(100);
  server.close();
  await until(() => lines.some((line) => line.includes("proxy answers")), () => lines.join("\n"));
  await supervisor.stop();
});

test("an address of another machine is an error without a start", async () => {
  const port = await freePort();
  const { supervisor, failures } = supervise("serve", port, { host: "192.0.2.1" });
  await supervisor.finished();
  assert.match(failures[0] ?? "", /cannot listen on 192\.0\.2\.1 .*an address of this machine/);
});

test("a missing program is an error without a start", async () => {
  const port = await freePort();
  const { supervisor, lines, failures } = supervise("serve", port, { command: ["no-such-program-here"] });
  await supervisor.finished();
  assert.equal(lines.length, 1);
  assert.match(failures[0] ?? "", /"no-such-program-here" was not found.*command.*autoStart/);
});

test("a proxy that ignores SIGTERM is killed within the bound", async () => {
  const port = await freePort();
  const { supervisor, lines } = supervise("deaf", port);
  await until(() => lines.some((line) => line.includes("proxy answers")), () => lines.join("\n"));
  const before = Date.now();
  await supervisor.stop();
  const took = Date.now() - before;
  assert.ok(took >= 380 && took < 3000, `${took} ms`);
  assert.deepEqual(processesFor(port), []);
});

test("what the proxy started ends with it, also what ignores SIGTERM", async () => {
  const port = await freePort();
  const { supervisor, lines } = supervise("children", port);
  await until(() => lines.some((line) => line.includes("proxy answers")) && processesFor(port).length === 5, () => lines.join("\n"));
  await supervisor.stop();
  assert.deepEqual(processesFor(port), []);
});

test("what a crashed proxy left behind is gone before the next start", async () => {
  const port = await freePort();
  const { supervisor, lines } = supervise("children", port);
  await until(() => processesFor(port).length === 5, () => lines.join("\n"));
  const left = processesFor(port);
  process.kill(programPid(port) ?? 0, "SIGKILL");
  await until(() => lines.filter((line) => line.includes("starting proxy")).length === 2, () => lines.join("\n"));
  await until(() => processesFor(port).length === 5, () => String(processesFor(port)));
  assert.equal(processesFor(port).some((pid) => left.includes(pid)), false);
  await supervisor.stop();
});

test("a stop during the wait for a restart starts nothing", async () => {
  const port = await freePort();
  const { supervisor, lines } = supervise("crash", port, { restartDelayMs: 60_000 });
  await until(() => lines.some((line) => line.includes("restart scheduled")), () => lines.join("\n"));
  const before = Date.now();
  await supervisor.stop();
  assert.ok(Date.now() - before < 1000);
  assert.equal(lines.filter((line) => line.includes("starting proxy")).length, 1);
});

test("a stop right after the start leaves nothing", async () => {
  for (let round = 0; round < 5; round += 1) {
    const port = await freePort();
    const { supervisor } = supervise("serve", port);
    await delay(round * 5);
    await supervisor.stop();
    await delay(50);
    assert.deepEqual(processesFor(port), []);
  }
});

test("a proxy that never opens its port is reported and left alone", async () => {
  const port = await freePort();
  const record = recorder();
  const supervisor = new ProxySupervisor({
    settings: settingsFor(port),
    logger: record.logger,
    health: record.health,
    environment: { ...process.env, FAKE_PROXY: "silent" },
    timing: { ...QUICK, readyWaitMs: 200 },
  });
  supervisor.start();
  await until(() => record.failures.length > 0, () => record.lines.join("\n"));
  assert.match(record.failures[0] ?? "", /has not opened/);
  assert.ok(processesFor(port).length > 0);
  await supervisor.stop();
  assert.deepEqual(processesFor(port), []);
});

test("when the gateway is killed, the whole group ends", async () => {
  const port = await freePort();
  const script = `
    import { ProxySupervisor } from ${JSON.stringify(new URL("../supervisor.js", import.meta.url).href)};
    const log = (line) => console.log(line);
    new ProxySupervisor({
      settings: ${JSON.stringify(settingsFor(port, { stopTimeoutMs: 1000 }))},
      logger: { info: log, warn: log, error: log },
      health: { reportFailure() {}, clearFailure() {} },
      environment: { ...process.env, FAKE_PROXY: "children" },
    }).start();
    setInterval(() => {}, 1000);
  `;
  const gateway = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  gateway.stdout.resume();
  await until(() => processesFor(port).length === 5, () => String(processesFor(port)));
  gateway.kill("SIGKILL");
  await until(() => processesFor(port).length === 0, () => String(processesFor(port)));
});

test("delays double up to the cap, and a larger first delay stays", () => {
  assert.deepEqual([1, 2, 3, 20, 2000].map((failures) => restartDelay(3000, failures, 60_000)), [3000, 6000, 12_000, 60_000, 60_000]);
  assert.equal(restartDelay(120_000, 5, 60_000), 120_000);
});
