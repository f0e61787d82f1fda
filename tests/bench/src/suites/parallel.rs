//! What a component gains from a second core, and what it costs that it is a component.
//!
//! | case | hart | the peer |
//! | --- | --- | --- |
//! | `mandelbrot` | the example on two workers | the same on one |
//! | `mandelbrot/native/N` | the example on N workers | the same code, compiled natively, on N threads of rayon |

#[path = "../../../../guest/examples/src/bin/mandelbrot/picture.rs"]
mod picture;

use crate::measure::{Bench, Case, time};
use hart_host::{Component, DirAccess, Host};
use picture::Picture;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    time::Duration,
};

const SUITE: &str = "parallel";
/// As the example has them where nothing else is said.
const ITERATIONS: u32 = 1000;

pub(crate) fn run(bench: &mut Bench) {
    let natively = [1, 2].map(|workers| format!("mandelbrot/native/{workers}"));
    let names = natively.iter().map(String::as_str);
    if !names
        .chain(["mandelbrot"])
        .any(|name| bench.wants(SUITE, name))
    {
        return;
    }
    let file = hart_build::guest("mandelbrot");
    let output = Output::new();
    let width = if bench.is_quick() { 768 } else { 1536 };
    let sides = [1, 2].map(|workers| Side::new(workers, &file));
    let case = Case {
        suite: SUITE,
        name: "mandelbrot",
        peer_name: "hart, 1 worker",
    };
    bench.compare(
        &case,
        &mut || sides[1].mandelbrot(&output, width),
        &mut || sides[0].mandelbrot(&output, width),
    );
    for ((side, name), threads) in sides.iter().zip(&natively).zip(1..) {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads can be made");
        let case = Case {
            suite: SUITE,
            name,
            peer_name: "rayon, native",
        };
        bench.compare(&case, &mut || side.mandelbrot(&output, width), &mut || {
            native(&pool, &output, width)
        });
    }
}

/// The example's work, without a component.
fn native(pool: &rayon::ThreadPool, output: &Output, width: u32) -> Duration {
    time(|| {
        let picture = Picture::new(width, ITERATIONS);
        let places = picture.places().into_par_iter();
        let tiles: Vec<Vec<u8>> = pool.install(|| {
            places
                .map(|(left, top)| picture::tile(picture, left, top))
                .collect()
        });
        let file = File::create(output.0.join("native.png")).expect("it can be written");
        let written = picture.write(BufWriter::new(file), tiles);
        written.expect("it can be written");
    })
}

/// A directory for pictures, while it lives.
struct Output(PathBuf);

impl Output {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("hart-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the directory for temporary files can be written");
        Self(path)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // What is left of a temporary directory is nobody's loss.
        let _ = std::fs::remove_dir_all(&self.0);
    }
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

    fn mandelbrot(&self, output: &Output, width: u32) -> Duration {
        time(|| {
            let run = self
                .host
                .command(&self.component)
                .dir(&output.0, "/out", DirAccess::ReadWrite)
                .args(["mandelbrot", "/out/mandelbrot.png", &width.to_string()])
                .start()
                .expect("the command starts");
            let outcome = run.wait().expect("the guest does not fail");
            assert_eq!(outcome.exit_code, 0);
        })
    }
}
