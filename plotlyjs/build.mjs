// Builds ../dashboard/static/vendor/plotly.min.js, compressed too, and the licences of all in it.

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { constants, brotliCompressSync } from "node:zlib";
import { build } from "esbuild";

const OUT = "../dashboard/static/vendor/plotly.min.js";
const VERSION = manifest("node_modules/plotly.js").version;

const { metafile } = await build({
  entryPoints: ["entry.js"],
  outfile: OUT,
  bundle: true,
  minify: true,
  metafile: true,
  format: "iife",
  globalName: "Plotly",
  target: "es2020",
  define: { global: "window", "define.amd": "false" },
  legalComments: "none",
  loader: { ".css": "empty" }, // of maps, which we have none of
  banner: { js: `/* plotly.js ${VERSION}, in part. Its licence, and those of what is in it: plotly.LICENSE */` },
});

const script = readFileSync(OUT);
const compressed = brotliCompressSync(script, {
  params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: script.length },
});
writeFileSync(`${OUT}.br`, compressed);

const folders = new Set();
for (const { inputs } of Object.values(metafile.outputs)) {
  for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
    const folder = path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0];
    if (folder && bytesInOutput && !path.endsWith(".css")) folders.add(folder);
  }
}
const licences = [...folders].sort().map((folder) => {
  const { name, version, license } = manifest(folder);
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  const text = file ? readFileSync(`${folder}/${file}`, "utf8").trim() : `Licence: ${license}`;
  return `${name} ${version}\n\n${text.replaceAll("\r", "")}\n`;
});
writeFileSync(OUT.replace("min.js", "LICENSE"), licences.join(`\n${"-".repeat(80)}\n\n`));
console.log(`plotly.js ${VERSION}: ${script.length} bytes, ${compressed.length} compressed`);

function manifest(folder) {
  return JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
}
