//! A part to be composed into `part-front`: counts words, in tasks of its own.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, unsafe_code, reason = "most of it is generated")]

use hart_guest::task;

wit_bindgen::generate!({
    inline: "
        package hart:parts;

        interface counting {
            count: func(texts: list<string>) -> result<u64, string>;
        }

        world back {
            export counting;
        }
    ",
});

#[task]
fn count_words(text: String) -> u64 {
    text.split_whitespace().count() as u64
}

struct Back;

impl exports::hart::parts::counting::Guest for Back {
    fn count(texts: Vec<String>) -> Result<u64, String> {
        let counts = hart_guest::par_map(count_words, texts);
        Ok(counts.map_err(|error| error.to_string())?.iter().sum())
    }
}

export!(Back);
