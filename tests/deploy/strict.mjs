// Strict validation of Kubernetes objects: each is written as an object literal of its kind's own type and checked by the TypeScript
// compiler, which refuses an unknown field, a missing one and one of another type, at every depth. Standard input: a JSON array of objects.
// Standard output: one line a complaint. Types: kubernetes-models and its kin, made from the OpenAPI documents of Kubernetes.
import { createRequire } from "node:module";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

const tools = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "tools");
const ts = createRequire(path.join(tools, "package.json"))("typescript");
const sources = ["kubernetes-models", "@kubernetes-models/cert-manager", "@kubernetes-models/prometheus-operator"];

function typeOf({ apiVersion, kind }) {
  for (const source of sources)
    if (existsSync(path.join(tools, "node_modules", source, apiVersion, `${kind}.d.ts`))) return `${source}/${apiVersion}/${kind}`;
  return null;
}

const objects = JSON.parse(readFileSync(0, "utf8"));
const imports = new Map();
const lines = [];
let bad = 0;
objects.forEach((o, i) => {
  const type = typeOf(o);
  if (!type) {
    console.log(`${o.kind} ${o.metadata?.name}: no schema for ${o.apiVersion} ${o.kind}`);
    bad++;
    return;
  }
  if (!imports.has(type)) imports.set(type, `T${imports.size}`);
  lines.push([o, `const o${i}: ${imports.get(type)} = ${JSON.stringify(o)};`]);
});
const head = [...imports].map(([type, name]) => `import type { I${type.split("/").pop()} as ${name} } from "${type}";`);
const file = path.join(tools, "objects.ts");
const text = [...head, ...lines.map(([, line]) => line)].join("\n");
const options = { strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext, types: [] };
const host = ts.createCompilerHost(options);
const inner = host.getSourceFile.bind(host);
host.getSourceFile = (name, ...rest) => (name === file ? ts.createSourceFile(name, text, options.target) : inner(name, ...rest));
host.fileExists = ((f) => (name) => name === file || f(name))(host.fileExists.bind(host));
const program = ts.createProgram([file], options, host);
for (const d of [...program.getSyntacticDiagnostics(), ...program.getSemanticDiagnostics(), ...program.getGlobalDiagnostics()]) {
  const line = d.file && d.file.fileName === file ? d.file.getLineAndCharacterOfPosition(d.start).line - head.length : -1;
  const o = line >= 0 ? lines[line][0] : null;
  console.log(`${o ? `${o.kind} ${o.metadata?.name}` : "compiler"}: ${ts.flattenDiagnosticMessageText(d.messageText, " ").slice(0, 400)}`);
  bad++;
}
process.exit(bad ? 1 : 0);
