// A dashboard held against Grafana's own types, by the TypeScript compiler.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository, scratchDirectory, startProcess } from '../e2e/harness/index.mjs';

const modules = join(repository, 'tests/node_modules');

/** What the compiler has against a dashboard, or ''. */
export async function dashboardProblems(dashboard) {
  const directory = scratchDirectory();
  const source = join(directory, 'dashboard.mts');
  const schema = `${modules}/@grafana/schema/dist/types/raw/dashboard/x/types.gen.d.ts`;
  const typed = `export const dashboard: import('${schema}').Dashboard = ${JSON.stringify(dashboard)};\n`;
  writeFileSync(source, typed);
  try {
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--types', ''];
    const compiler = startProcess(process.execPath, [join(modules, 'typescript/bin/tsc'), ...options, source]);
    const { code } = await compiler.finished();
    return code === 0 ? '' : compiler.output();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
