//! `hart-compose SCRIPT.wac OUT.wasm NAME=FILE..`: what `wac compose SCRIPT.wac -o OUT.wasm -d NAME=FILE..` does.

use indexmap::IndexMap;
use miette::{Context, IntoDiagnostic, Result, miette};
use std::fs;
use wac_graph::EncodeOptions;
use wac_graph::types::BorrowedPackageKey;
use wac_parser::Document;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [script, out, parts @ ..] = &arguments[..] else {
        return Err(miette!("hart-compose SCRIPT.wac OUT.wasm NAME=FILE.."));
    };
    let read = |path: &str| fs::read(path).into_diagnostic().wrap_err(path.to_owned());
    let mut packages = IndexMap::new();
    for part in parts {
        let (name, path) = part.split_once('=').ok_or_else(|| miette!("NAME=FILE"))?;
        packages.insert(
            BorrowedPackageKey::from_name_and_version(name, None),
            read(path)?,
        );
    }
    let source = fs::read_to_string(script).into_diagnostic()?;
    let document = Document::parse(&source)?;
    let resolved = document.resolve(packages)?;
    let composed = resolved.encode(EncodeOptions::default())?;
    fs::write(out, composed).into_diagnostic()
}
