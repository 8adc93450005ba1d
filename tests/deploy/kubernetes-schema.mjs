// Kubernetes resources against the schemas of their CRDs, which @kubernetes-models compiles to validators.

const packages = [
  [/^(extensions|networking|security)\.istio\.io\//, '@kubernetes-models/istio'],
  [/^gateway\.envoyproxy\.io\//, '@kubernetes-models/envoy-gateway'],
  [/^gateway\.networking\.k8s\.io\//, '@kubernetes-models/gateway-api'],
  [/^(apps\/)?v1$/, 'kubernetes-models'],
];

// Where a schema says "any value": what lies below is not for it to know.
const freeForm = [
  /^\/spec\/pluginConfig\//,
  /^\/spec\/configPatches\/\d+\/patch\/value\//,
  /^\/spec\/wasm\/\d+\/config\//,
];

/** What is wrong with a resource, as a list of lines: empty when nothing is. */
export async function problemsOf(resource) {
  const Model = await modelOf(resource);
  const read = new Set();
  try {
    // Called on the watched resource itself: a Model would hold a copy.
    Model.prototype.validate.call(watched(resource, '', read));
  } catch (error) {
    return [error.message];
  }
  return pathsOf(resource)
    .filter((path) => !read.has(path) && !freeForm.some((pattern) => pattern.test(path)))
    .map((path) => `unknown field ${path}`);
}

async function modelOf({ apiVersion, kind }) {
  const [, name] = packages.find(([pattern]) => pattern.test(apiVersion)) ?? [];
  if (!name) throw new Error(`no schema package for ${apiVersion}`);
  return (await import(`${name}/${apiVersion}/${kind}`))[kind];
}

// The API server drops a field that its schema does not have, and the validators ignore it: but they look at
// each field they know, so one that nobody looks at is unknown.
function watched(value, path, read) {
  if (value === null || typeof value !== 'object') return value;
  return new Proxy(value, {
    get(target, key) {
      const child = target[key];
      if (typeof key !== 'string' || !Object.hasOwn(target, key) || (Array.isArray(target) && key === 'length')) {
        return child;
      }
      read.add(`${path}/${key}`);
      return watched(child, `${path}/${key}`, read);
    },
  });
}

function pathsOf(value, path = '') {
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, child]) => [
    `${path}/${key}`,
    ...pathsOf(child, `${path}/${key}`),
  ]);
}
