// Starts and stops the plugin's service once for each whole OpenClaw configuration of a JSON list on standard input, and
// prints for each the error with which it refused to start, or null.

import { createService } from "../../plugin/service.js";

let text = "";
for await (const piece of process.stdin) {
  text += piece;
}
const silent = () => {};
const results = [];
for (const config of JSON.parse(text)) {
  const service = createService(undefined);
  try {
    await service.start({ config, logger: { info: silent, warn: silent, error: silent } });
    results.push(null);
  } catch (error) {
    results.push(error instanceof Error ? error.message : String(error));
  }
  await service.stop();
}
console.log(JSON.stringify(results));
