;; The least that a Proxy-Wasm filter does that knows where messages begin: it looks at the beginning of every read, once,
;; and at nothing in it. What Envoy and V8 take for that is the floor for every filter that follows a WebSocket.
(module
  (import "env" "proxy_get_buffer_bytes" (func $get_buffer_bytes (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32))
  ;; What the host returns is always put in the same place.
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func $look (param $buffer i32) (param $size i32) (result i32)
    (if (local.get $size)
      (then (drop (call $get_buffer_bytes (local.get $buffer) (i32.const 0) (i32.const 142) (i32.const 0) (i32.const 4)))))
    (i32.const 0))
  (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $look (i32.const 0) (local.get 1)))
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $look (i32.const 1) (local.get 1))))
