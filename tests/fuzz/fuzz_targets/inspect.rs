//! Loads bytes or text as a component or a core module, in both pool profiles: inspection, its bounds, and loading.
#![no_main]

use std::sync::LazyLock;

use hart_host::{Cache, Host, LoadError, Profile};
use libfuzzer_sys::fuzz_target;
use wasmparser::Validator;

static HOSTS: LazyLock<[Host; 2]> = LazyLock::new(|| {
    [Profile::Fast, Profile::Dense].map(|profile| {
        let builder = Host::builder().workers(1).instances(10).profile(profile);
        builder.cache(Cache::Off).build().expect("a host")
    })
});

/// Only small components are compiled: this target does not test the compiler.
const COMPILED: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let [fast, dense] = &*HOSTS;
    // Its code is read, and what takes any memory to compile is refused then.
    let looked_at = match fast.loader().max_memory(0).load(data) {
        Err(LoadError::TooComplex(_)) | Ok(_) => fast.engine_for(data).map(drop),
        // What can be seen of the component that is made of it is seen where it is loaded.
        Err(LoadError::CoreModule) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(LoadError::Invalid(why)) = &looked_at
        && data.starts_with(b"\0asm")
    {
        let valid = Validator::new().validate_all(data).is_ok();
        assert!(!valid, "it is valid, and refused: {why}");
    }
    if looked_at.is_err() || data.len() > COMPILED {
        return;
    }
    // The pools differ only in what they have room for.
    for host in [dense, fast] {
        match host.loader().core_modules(true).load(data) {
            Ok(component) => drop(component.exports()),
            Err(LoadError::Invalid(why)) => {
                assert!(!why.contains("compiler failed"), "{why}");
            }
            Err(_) => {}
        }
    }
});
