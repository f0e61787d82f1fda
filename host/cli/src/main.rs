//! The `hart` command. All of it is in the library, where the fuzz targets reach it, too.

fn main() {
    hart_cli::main();
}
