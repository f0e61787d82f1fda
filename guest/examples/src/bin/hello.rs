//! Says hello, and shows what it was given: `hello [ARGUMENT]...`.

fn main() {
    println!("hello");
    for argument in std::env::args().skip(1) {
        println!("argument: {argument}");
    }
    for (name, value) in std::env::vars() {
        println!("environment: {name}={value}");
    }
}
