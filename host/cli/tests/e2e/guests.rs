//! The example guests as components: valid, and with `hart:exec` exactly as `wit/` has it.

use crate::support::root;
use std::collections::BTreeMap;
use wasmparser::{Validator, WasmFeatures};
use wit_component::DecodedWasm;
use wit_parser::{Function, InterfaceId, Resolve, Type, TypeDefKind};

/// The names of the example guests in this directory.
fn guests(directory: &str) -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(root().join("guest/examples").join(directory))
        .expect("the examples")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    found
}

/// Hunts guests that only wasmtime accepts, and bindings generated from another version of the
/// contract than the host's.
#[test]
fn guests_are_valid_and_agree_with_the_contract() {
    let contract = contract();
    let mut with_tasks = 0;
    let mut with_async = 0;
    // What WASI 0.2 needs: no async, no threads.
    let plain = WasmFeatures::WASM2 | WasmFeatures::COMPONENT_MODEL;
    let concurrent = plain | WasmFeatures::CM_ASYNC;
    let guests = guests("src/bin").into_iter().map(|name| (name, plain));
    let libraries = self::guests("examples").into_iter();
    for (name, features) in guests.chain(libraries.map(|name| (name, concurrent))) {
        let path = hart_build::guest(&name);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Err(error) = Validator::new_with_features(features).validate_all(&bytes) {
            panic!("{name}: {error}");
        }
        let decoded =
            wit_component::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let DecodedWasm::Component(resolve, _) = &decoded else {
            panic!("{name}: not a component");
        };
        for (interface, items) in interfaces(resolve) {
            with_tasks += usize::from(interface == "hart:exec/tasks@0.1.0");
            with_async += usize::from(interface == "hart:exec/tasks-async@0.1.0");
            let known = contract
                .get(&interface)
                .unwrap_or_else(|| panic!("{name}: {interface} is not in wit/"));
            // A guest's own WIT has only what it uses.
            for (item, signature) in items {
                assert_eq!(
                    known.get(&item),
                    Some(&signature),
                    "{name}: {interface} {item}"
                );
            }
        }
    }
    // A check of nothing would pass as well.
    assert!(with_tasks >= 9, "{with_tasks} guests import tasks");
    assert!(with_async >= 2, "{with_async} guests import tasks-async");
}

/// `hart:exec` as `wit/` has it.
fn contract() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut resolve = Resolve::default();
    resolve.push_dir(root().join("wit")).expect("wit/ is valid");
    let contract = interfaces(&resolve);
    assert!(
        contract.contains_key("hart:exec/entry@0.1.0"),
        "{contract:#?}"
    );
    contract
}

/// The interfaces of `hart:exec`, each with its functions, whose signatures are written out down to
/// the last field of the last record.
fn interfaces(resolve: &Resolve) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for (id, interface) in resolve.interfaces.iter() {
        let Some(name) = full_name(resolve, id) else {
            continue;
        };
        if !name.starts_with("hart:exec/") {
            continue;
        }
        let functions = interface.functions.iter();
        let items = functions.map(|(name, function)| (name.clone(), signature(resolve, function)));
        found.insert(name, items.collect());
    }
    found
}

fn full_name(resolve: &Resolve, id: InterfaceId) -> Option<String> {
    resolve.id_of(id)
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params: Vec<String> = function
        .params
        .iter()
        .map(|param| format!("{}: {}", param.name, show(resolve, &param.ty)))
        .collect();
    let result = function.result.as_ref().map(|ty| show(resolve, ty));
    format!("({}) -> {result:?}", params.join(", "))
}

fn show(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };
    let definition = &resolve.types[*id];
    let optional = |ty: &Option<Type>| {
        ty.as_ref()
            .map_or_else(|| "_".into(), |ty| show(resolve, ty))
    };
    match &definition.kind {
        TypeDefKind::Type(ty) => show(resolve, ty),
        TypeDefKind::List(ty) => format!("list<{}>", show(resolve, ty)),
        TypeDefKind::Option(ty) => format!("option<{}>", show(resolve, ty)),
        TypeDefKind::Result(result) => {
            format!(
                "result<{}, {}>",
                optional(&result.ok),
                optional(&result.err)
            )
        }
        TypeDefKind::Tuple(tuple) => {
            let parts: Vec<String> = tuple.types.iter().map(|ty| show(resolve, ty)).collect();
            format!("tuple<{}>", parts.join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let cases: Vec<String> = variant
                .cases
                .iter()
                .map(|case| format!("{}({})", case.name, optional(&case.ty)))
                .collect();
            format!("variant {{ {} }}", cases.join(", "))
        }
        TypeDefKind::Flags(flags) => {
            let names: Vec<&str> = flags.flags.iter().map(|flag| flag.name.as_str()).collect();
            format!("flags {{ {} }}", names.join(", "))
        }
        TypeDefKind::Handle(handle) => {
            let (kind, id) = match handle {
                wit_parser::Handle::Own(id) => ("own", id),
                wit_parser::Handle::Borrow(id) => ("borrow", id),
            };
            format!("{kind}<{}>", show(resolve, &Type::Id(*id)))
        }
        TypeDefKind::Stream(ty) => format!("stream<{}>", optional(ty)),
        TypeDefKind::Future(ty) => format!("future<{}>", optional(ty)),
        TypeDefKind::Resource => definition.name.clone().unwrap_or_default(),
        other => format!("{other:?}"),
    }
}
