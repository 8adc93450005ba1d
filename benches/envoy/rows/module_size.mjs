// How large the module is: what every Envoy loads, and every worker instantiates.
import { statSync } from 'node:fs';
import { modulePath } from '../../../tests/e2e/harness/index.mjs';

export const title = 'The module';

const aim = 900_000;

export async function measure({ old }) {
  const { size } = statSync(modulePath());
  const before = old === undefined ? '' : `; the old one ${Math.round(statSync(old).size / 1000)} KB`;
  return {
    says: `${Math.round(size / 1000)} KB${before}`,
    rows: [{ name: 'module_size_bytes', value: size, unit: 'bytes', aim: `<= ${aim}`, holds: size <= aim }],
  };
}
