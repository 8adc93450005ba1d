// The module in a VM of its own, without Envoy: V8's WebAssembly, and as much of Proxy-Wasm ABI 0.2.1 and of WASI as a
// session needs. What it allocates is exactly what it allocates in a worker of Envoy's.
import { randomFillSync } from 'node:crypto';

const status = { ok: 0, notFound: 1, casMismatch: 8 };
const buffers = { requestBody: 0, responseBody: 1, pluginConfiguration: 7 };
const root = 1;

/** One worker's instance of the module. A call that the module makes and this does not know throws. */
export class Vm {
  #exports;
  #environment;
  #stream = { properties: {}, headers: [] };
  #buffers = {};
  #now = 1_800_000_000_000_000_000n;
  #contexts = root;
  #metrics = 0;
  #shared = new Map();

  /** Starts `module`, a `WebAssembly.Module`, with a configuration. `environment` is what it sees of Envoy's. */
  constructor(module, configuration, environment) {
    this.#environment = Object.entries(environment).map(([name, value]) => Buffer.from(`${name}=${value}\0`));
    this.#exports = new WebAssembly.Instance(module, this.#imports()).exports;
    this.#exports._initialize();
    const text = Buffer.from(JSON.stringify(configuration));
    this.#buffers[buffers.pluginConfiguration] = text;
    this.#exports.proxy_on_context_create(root, 0);
    this.#exports.proxy_on_vm_start(root, 0);
    if (!this.#exports.proxy_on_configure(root, text.length)) throw new Error('the module refuses its configuration');
  }

  /** Bytes of the VM's memory: it only ever grows, by pages of 64 KiB. */
  get memory() {
    return this.#exports.memory.buffer.byteLength;
  }

  /** A second passes. */
  tick() {
    this.#now += 1_000_000_000n;
    this.#exports.proxy_on_tick(root);
  }

  /** A stream whose request has these header lines, `[name, value]`; it must be let on. Returns its context. */
  request(lines) {
    const context = (this.#contexts += 1);
    this.#stream = { properties: { 'request\0protocol': 'HTTP/1.1' }, headers: lines };
    this.#exports.proxy_on_context_create(context, root);
    this.#continues(this.#exports.proxy_on_request_headers(context, lines.length, 0));
    return context;
  }

  /** The upstream answers with these headers. */
  response(context, headers) {
    this.#stream = { properties: {}, headers: Object.entries(headers) };
    this.#continues(this.#exports.proxy_on_response_headers(context, Object.keys(headers).length, 0));
  }

  /** One read of the client's passes. */
  requestBody(context, bytes) {
    this.#buffers[buffers.requestBody] = bytes;
    this.#continues(this.#exports.proxy_on_request_body(context, bytes.length, 0));
  }

  /** One read of the upstream's passes. */
  responseBody(context, bytes) {
    this.#buffers[buffers.responseBody] = bytes;
    this.#continues(this.#exports.proxy_on_response_body(context, bytes.length, 0));
  }

  /** The stream ends; `property(name, value)` is called with what is left for the access log. */
  end(context, property) {
    this.#stream = { ...this.#stream, property };
    this.#exports.proxy_on_log(context);
    this.#exports.proxy_on_delete(context);
  }

  #continues(action) {
    if (action !== 0) throw new Error('the module holds a stream back');
  }

  #imports() {
    const refused = (name) => () => {
      throw new Error(`the module calls ${name}`);
    };
    const known = (functions) => new Proxy(functions, { get: (all, name) => all[name] ?? refused(name) });
    return { env: known(this.#hostcalls()), wasi_snapshot_preview1: known(this.#wasi()) };
  }

  #hostcalls() {
    const done = () => status.ok;
    return {
      proxy_log: done,
      proxy_set_tick_period_milliseconds: done,
      proxy_replace_header_map_value: done,
      proxy_remove_header_map_value: done,
      proxy_record_metric: done,
      proxy_increment_metric: done,
      proxy_define_metric: (_type, _name, _nameSize, id) => {
        this.#write(id, (this.#metrics += 1));
        return status.ok;
      },
      proxy_get_shared_data: (key, keySize, data, size, cas) => {
        const known = this.#shared.get(this.#text(key, keySize));
        if (known) this.#write(cas, known.cas);
        return this.#give(known?.value, data, size);
      },
      proxy_set_shared_data: (key, keySize, value, valueSize, cas) => {
        const name = this.#text(key, keySize);
        const known = this.#shared.get(name);
        if (cas !== 0 && known && known.cas !== cas) return status.casMismatch;
        this.#shared.set(name, { value: Buffer.from(this.#bytes(value, valueSize)), cas: (known?.cas ?? 0) + 1 });
        return status.ok;
      },
      proxy_get_current_time_nanoseconds: (at) => {
        this.#view().setBigUint64(at, this.#now, true);
        return status.ok;
      },
      proxy_get_header_map_pairs: (_, data, size) => this.#give(serialized(this.#stream.headers), data, size),
      proxy_get_property: (path, pathSize, data, size) =>
        this.#give(this.#stream.properties[this.#text(path, pathSize)], data, size),
      proxy_set_property: (path, pathSize, value, valueSize) => {
        this.#stream.property?.(this.#text(path, pathSize), this.#text(value, valueSize));
        return status.ok;
      },
      proxy_get_buffer_bytes: (buffer, start, length, data, size) =>
        this.#give(this.#buffers[buffer].subarray(start, start + (length >>> 0)), data, size),
    };
  }

  #wasi() {
    return {
      random_get: (at, length) => {
        randomFillSync(this.#bytes(at, length));
        return 0;
      },
      environ_sizes_get: (count, size) => {
        this.#write(count, this.#environment.length);
        this.#write(size, Buffer.concat(this.#environment).length);
        return 0;
      },
      environ_get: (pointers, at) => {
        this.#environment.forEach((line, index) => {
          this.#write(pointers + 4 * index, at);
          this.#bytes(at, line.length).set(line);
          at += line.length;
        });
        return 0;
      },
    };
  }

  /** Hands a value over in memory of the module's, as a host does. */
  #give(value, data, size) {
    if (value === undefined) return status.notFound;
    const bytes = Buffer.from(value);
    const at = bytes.length === 0 ? 0 : this.#exports.proxy_on_memory_allocate(bytes.length);
    if (at !== 0) this.#bytes(at, bytes.length).set(bytes);
    this.#write(data, at);
    this.#write(size, bytes.length);
    return status.ok;
  }

  #text(at, length) {
    return Buffer.from(this.#bytes(at, length)).toString();
  }

  #bytes(at, length) {
    return new Uint8Array(this.#exports.memory.buffer, at, length);
  }

  #write(at, value) {
    this.#view().setUint32(at, value, true);
  }

  #view() {
    return new DataView(this.#exports.memory.buffer);
  }
}

/** The ABI's form of a header map: the number of lines, the lengths of all, then names and values, each with a NUL. */
function serialized(lines) {
  const texts = lines.flat().map((text) => Buffer.from(text));
  const numbers = Buffer.alloc(4 + 4 * texts.length);
  [lines.length, ...texts.map((text) => text.length)].forEach((number, index) => numbers.writeUInt32LE(number, 4 * index));
  return Buffer.concat([numbers, ...texts.flatMap((text) => [text, Buffer.from([0])])]);
}
