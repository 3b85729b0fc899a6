/**
 * A stand-in for a proxy, run as a child by the tests. FAKE_PROXY chooses what it does:
 * serve, crash, deaf (ignores SIGTERM), children (leaves two more processes in its group), silent.
 */

import { spawn } from "node:child_process";
import { createServer } from "node:net";

const behaviour = process.env.FAKE_PROXY ?? "serve";
const host = process.env.CLAUDE_PROXY_HOST ?? "";
const port = Number(process.env.CLAUDE_PROXY_PORT);

console.log(`environment ${Object.keys(process.env).sort().join(",")}`);
if (behaviour === "crash") {
  console.error("crashing");
  process.exit(3);
}
if (behaviour === "deaf") {
  process.on("SIGTERM", () => console.log("ignored SIGTERM"));
}
if (behaviour === "children") {
  for (let count = 0; count < 2; count += 1) {
    spawn(process.execPath, ["-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"], { stdio: "ignore" });
  }
}
if (behaviour === "silent") {
  setInterval(() => {}, 1000);
} else {
  createServer((socket) => socket.end()).listen({ host, port }, () => console.log("listening"));
}
