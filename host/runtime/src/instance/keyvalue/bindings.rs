//! `wasi:keyvalue` as generated from its WIT. wasmtime's own crate keeps its bindings to itself.

pub(super) use generated::wasi;

mod generated {
    wasmtime::component::bindgen!({
        path: "src/instance/keyvalue/keyvalue.wit",
        world: "imports",
        imports: { default: trappable },
        with: { "wasi:keyvalue/store.bucket": crate::instance::keyvalue::bucket::Bucket },
        trappable_error_type: {
            "wasi:keyvalue/store.error" => crate::instance::keyvalue::bucket::Error,
        },
    });
}
