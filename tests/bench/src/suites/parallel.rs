//! The examples on two workers, against the same on one: what a component gains from a second core.

use crate::measure::{Bench, Case, time};
use hart_host::{Component, DirAccess, Host};
use std::{path::Path, time::Duration};

const SUITE: &str = "parallel";

pub(crate) fn run(bench: &mut Bench) {
    if !bench.wants(SUITE, "mandelbrot") {
        return;
    }
    let file = hart_build::guest("mandelbrot");
    let output = std::env::temp_dir().join(format!("hart-bench-{}", std::process::id()));
    std::fs::create_dir_all(&output).expect("the directory for temporary files can be written");
    let size = if bench.is_quick() { "768" } else { "1536" };
    let two = Side::new(2, &file);
    let one = Side::new(1, &file);
    let case = Case {
        suite: SUITE,
        name: "mandelbrot",
        peer_name: "hart, 1 worker",
    };
    bench.compare(&case, &mut || two.mandelbrot(&output, size), &mut || {
        one.mandelbrot(&output, size)
    });
    // What is left of a temporary directory is nobody's loss.
    let _ = std::fs::remove_dir_all(&output);
}

struct Side {
    host: Host,
    component: Component,
}

impl Side {
    fn new(workers: usize, file: &Path) -> Self {
        let host = Host::builder()
            .workers(workers)
            .build()
            .expect("the defaults fit this machine");
        let component = host.load_file(file).expect("the guest was just built");
        Self { host, component }
    }

    fn mandelbrot(&self, output: &Path, size: &str) -> Duration {
        time(|| {
            let run = self
                .host
                .command(&self.component)
                .dir(output, "/out", DirAccess::ReadWrite)
                .args(["mandelbrot", "/out/mandelbrot.png", size])
                .start()
                .expect("the command starts");
            let outcome = run.wait().expect("the guest does not fail");
            assert_eq!(outcome.exit_code, 0);
        })
    }
}
