// Registers the plugin once for each configuration of a JSON list on standard input, and prints what came of it.

import plugin from "../../plugin/index.js";
import { hostProblem, modelsProblem, portProblem, readSettings } from "../../plugin/settings.js";

let text = "";
for await (const piece of process.stdin) {
  text += piece;
}
const results = JSON.parse(text).map((pluginConfig) => {
  const registered = [];
  plugin.register({
    pluginConfig,
    registerProvider: (provider) => registered.push(provider.id),
    registerService: (service) => registered.push(service.id),
  });
  const { settings, problems } = readSettings(pluginConfig);
  const usable = [hostProblem(settings.host), portProblem(settings.port), modelsProblem(settings.models)];
  return { registered: registered.length, problems: problems.length, usable: usable.every((problem) => problem === undefined) };
});
console.log(JSON.stringify(results));
