// A real Prometheus with the shipped configuration, on loopback.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prometheusBinary, scratchDirectory, startProcess, until } from '../e2e/harness/index.mjs';
import { deployPath, deployText, placed } from './files.mjs';

/** Says why Prometheus cannot run; false if it can, or if it must. */
export const prometheusIsMissing =
  prometheusBinary('prometheus') === null && process.env.CI !== 'true' && 'Prometheus is not installed';

/** Runs promtool in `envoy/prometheus`: `{ ok, output }`. */
export async function promtool(...args) {
  const tool = startProcess(prometheusBinary('promtool') ?? 'promtool', args, { cwd: deployPath('prometheus') });
  const { code } = await tool.finished();
  return { ok: code === 0, output: tool.output() };
}

/** Starts it; it scrapes `port` and looks at the rules once a second. */
export async function startPrometheus(port) {
  const directory = scratchDirectory();
  const configuration = placed(deployText('prometheus/prometheus.yml'), {
    '127.0.0.1:9902': `127.0.0.1:${port}`,
    'interval: 15s': 'interval: 1s',
    'rules.yml': deployPath('prometheus/rules.yml'),
  });
  const path = join(directory, 'prometheus.yml');
  writeFileSync(path, configuration);
  const prometheus = startProcess(prometheusBinary('prometheus') ?? 'prometheus', [
    `--config.file=${path}`,
    `--storage.tsdb.path=${join(directory, 'data')}`,
    '--web.listen-address=127.0.0.1:0',
  ]);
  const stop = async () => {
    await prometheus.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const listening = /"?Listening on"? address=127\.0\.0\.1:(\d+)/;
    const [, own] = await until('Prometheus to listen', () => listening.exec(prometheus.output()));
    const api = async (call) => {
      const answer = await (await fetch(`http://127.0.0.1:${own}/api/v1/${call}`)).json();
      if (answer.status !== 'success') throw new Error(`${call}: ${answer.error}`);
      return answer.data;
    };
    return {
      stop,
      /** The result of an instant query. */
      query: async (expression) => (await api(`query?query=${encodeURIComponent(expression)}`)).result,
      /** All alerting rules, as they were last evaluated. */
      rules: async () => (await api('rules')).groups.flatMap(({ rules }) => rules),
    };
  } catch (error) {
    await stop();
    throw new Error(`${error.message}\n${prometheus.output()}`);
  }
}
