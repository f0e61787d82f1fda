//! A component that others are composed into: `total` has the words of texts counted by `part-back`, and their letters
//! by tasks of its own.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, unsafe_code, reason = "most of it is generated")]

use hart_guest::task;

wit_bindgen::generate!({
    inline: "
        package hart:parts;

        interface counting {
            count: func(texts: list<string>) -> result<u64, string>;
        }

        world front {
            import counting;
            export total: func(texts: list<string>) -> result<tuple<u64, u64>, string>;
        }
    ",
});

#[task]
fn count_letters(text: String) -> u64 {
    text.chars().filter(|found| found.is_alphabetic()).count() as u64
}

struct Front;

impl Guest for Front {
    fn total(texts: Vec<String>) -> Result<(u64, u64), String> {
        let words = hart::parts::counting::count(&texts)?;
        let letters = hart_guest::par_map(count_letters, texts);
        Ok((
            words,
            letters.map_err(|error| error.to_string())?.iter().sum(),
        ))
    }
}

export!(Front);
