// How large the module is: what every Envoy loads, and every worker instantiates.
import { statSync } from 'node:fs';
import { modulePath } from '../../../tests/e2e/harness/index.mjs';

export const title = 'The module';

export async function measure() {
  const { size } = statSync(modulePath());
  return {
    says: `${Math.round(size / 1000)} KB`,
    rows: [{ name: 'module_size_bytes', value: size, unit: 'bytes', aim: '<= 500000', holds: size <= 500_000 }],
  };
}
