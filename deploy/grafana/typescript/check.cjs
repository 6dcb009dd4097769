// Checks every dashboard given against Grafana's own types, those of grafana-foundation-sdk: a field that Grafana does not
// know, or a word that is none of its choices, is printed. For typescript_test.go.
//
// The SDK has its choices as enums, which no JSON text fits; here they are read as unions of their values.
const fs = require('node:fs');
const path = require('node:path');
const ts = require('typescript');

const modules = process.env.NODE_PATH;
const sdk = path.join(modules, '@grafana/grafana-foundation-sdk/dist');

const unions = text => text.replace(/export declare enum (\w+) \{([^}]*)\}/g, (_, name, members) =>
  `export type ${name} = ${[...members.matchAll(/= ("(?:[^"\\]|\\.)*"|-?\d+)/g)].map(m => m[1]).join(' | ')};`);

// type is a panel's; a kind without settings of its fields, like stat, has no type for them.
const type = kind => {
  if (kind === 'row') return 'dashboard.RowPanel';
  const config = /export (interface|type) FieldConfig\b/.test(fs.readFileSync(path.join(sdk, kind, 'types.gen.d.ts'), 'utf8'));
  return `Kind<${kind}.Options, ${config ? `${kind}.FieldConfig` : 'never'}>`;
};

// program is the dashboard as a literal, in which a field too many is an error, each panel by the types of its kind.
function program(file) {
  const d = JSON.parse(fs.readFileSync(file, 'utf8'));
  const kinds = [...new Set(d.panels.map(p => p.type))].filter(k => k !== 'row').sort();
  const lines = [`import type * as dashboard from ${JSON.stringify(path.join(sdk, 'dashboard'))};`];
  for (const k of kinds) lines.push(`import type * as ${k} from ${JSON.stringify(path.join(sdk, k))};`);
  lines.push(`
interface ClickHouse { refId: string; datasource: { type: 'grafana-clickhouse-datasource'; uid: string }; rawSql: string;
  editorType: 'sql'; queryType: 'table' | 'timeseries'; format: 0 | 1; pluginVersion: string }
interface Prometheus { refId: string; datasource: { type: 'prometheus'; uid: string }; expr: string; legendFormat: string;
  editorMode: 'code'; instant: boolean; range: boolean; format?: 'table' }
type Target = ClickHouse | Prometheus;
type Kind<O, C> = Omit<dashboard.Panel, 'options' | 'fieldConfig' | 'targets'> & {
  options: Partial<O>; targets: Target[];
  fieldConfig: { defaults: Omit<dashboard.FieldConfig, 'custom'> & { custom?: Partial<C> };
    overrides: dashboard.FieldConfigSource['overrides'] } };
const d: Omit<dashboard.Dashboard, 'panels'> = ${JSON.stringify({ ...d, panels: undefined }, null, 1)};`);
  d.panels.forEach((p, i) => {
    lines.push(`const p${i}: ${type(p.type)} = ${JSON.stringify(p, null, 1)};`);
  });
  return lines.join('\n');
}

let wrong = 0;
for (const file of process.argv.slice(2)) {
  const name = path.resolve(file) + '.ts', text = program(file);
  const options = { strict: true, noEmit: true, skipLibCheck: true, types: [], module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ES2022 };
  const host = ts.createCompilerHost(options);
  const read = host.readFile, exists = host.fileExists;
  host.fileExists = f => f === name || exists(f);
  host.getSourceFile = (f, version) => {
    const content = f === name ? text : read(f);
    return content === undefined ? undefined : ts.createSourceFile(f, f.startsWith(sdk) ? unions(content) : content, version);
  };
  for (const e of ts.getPreEmitDiagnostics(ts.createProgram([name], options, host))) {
    const line = e.file ? e.file.text.split('\n')[e.file.getLineAndCharacterOfPosition(e.start).line].trim() : '';
    console.log(`${file}: ${line}: ${ts.flattenDiagnosticMessageText(e.messageText, ' ')}`);
    wrong++;
  }
}
process.exit(wrong === 0 ? 0 : 1);
