use hart_guest::task;

#[task]
async fn asynchronous(text: &str) -> impl Send {}

#[task]
fn generic<T>(value: T) {}

#[task]
fn borrows(text: &str, list: Vec<&'static u8>) -> std::borrow::Cow<'_, str> {
    text.into()
}

#[task]
fn hidden(value: impl Into<String>) -> impl Iterator<Item = u8> {
    [1].into_iter()
}

#[task]
unsafe extern "C" fn foreign() {}

struct Counter;

impl Counter {
    #[task]
    fn method(&self) {}
}

#[task]
struct NotAFunction;

#[task(nickname = "x")]
fn misnamed() {}

fn main() {}
