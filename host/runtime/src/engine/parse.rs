//! Components as text, by the parser that wasmtime 48 itself has.
//!
//! It takes up to a hundred times as much memory as the text has bytes, and time that is by the product of how deep
//! blocks are nested and how many names refer to them. So both are looked at first.

use wast::Wat;
use wast::lexer::{Lexer, TokenKind};
use wast::parser::{self, ParseBuffer};
use wast::token::Span;

use crate::engine::error::LoadError;

/// Bytes of memory that the parser takes for a byte of text.
pub(crate) const MEMORY: u64 = 128;
/// How deep blocks and parentheses may be nested.
const DEPTH: usize = 2_000;

/// Imports that a text may have. The parser takes time by the square of them: 20 seconds for 30,000.
const IMPORTS: usize = 20_000;

/// Whether these bytes look like a component's text, or a module's.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        text.trim_start().starts_with(['(', ';']) || text.trim_start().starts_with("\u{feff}(")
    })
}

/// Turns text into a binary, with at most so much memory.
pub(crate) fn to_binary(bytes: &[u8], max_memory: u64) -> Result<Vec<u8>, LoadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| LoadError::NotWasm)?;
    let most = max_memory / MEMORY;
    if text.len() as u64 > most {
        return Err(LoadError::TooComplex(format!(
            "text of {} bytes, and {most} are the most for what loading may take (`max_memory`): make it a binary with `wasm-tools parse`, or raise that",
            text.len()
        )));
    }
    let invalid = |error: wast::Error| {
        let (line, column) = error.span().linecol_in(text);
        LoadError::Invalid(crate::base::text::line(&format!(
            "{} ({}:{})",
            error.message(),
            line + 1,
            column + 1
        )))
    };
    let deep = find_deep(text).map_err(invalid)?;
    if let Some(at) = deep {
        let (line, _) = Span::from_offset(at).linecol_in(text);
        return Err(LoadError::TooComplex(format!(
            "its text is nested more than {DEPTH} deep (line {}): make it a binary with `wasm-tools parse`",
            line + 1
        )));
    }
    let imports = count_imports(text).map_err(invalid)?;
    if imports > IMPORTS {
        return Err(LoadError::TooComplex(format!(
            "its text has {imports} imports, and {IMPORTS} are the most: make it a binary with `wasm-tools parse`"
        )));
    }
    let buffer = ParseBuffer::new(text).map_err(invalid)?;
    let mut wat: Wat<'_> = parser::parse(&buffer).map_err(invalid)?;
    wat.encode().map_err(invalid)
}

fn count_imports(text: &str) -> Result<usize, wast::Error> {
    let mut count = 0;
    for token in Lexer::new(text).iter(0) {
        let token = token?;
        if token.kind == TokenKind::Keyword && token.keyword(text) == "import" {
            count += 1;
        }
    }
    Ok(count)
}

/// The first place that is nested too deep.
fn find_deep(text: &str) -> Result<Option<usize>, wast::Error> {
    let lexer = Lexer::new(text);
    // A block within parentheses ends with them, another one with a word.
    let (mut parentheses, mut blocks) = (0_usize, 0_usize);
    let mut is_first = false;
    for token in lexer.iter(0) {
        let token = token?;
        match token.kind {
            TokenKind::LParen => parentheses += 1,
            TokenKind::RParen => parentheses = parentheses.saturating_sub(1),
            TokenKind::Keyword if !is_first => match token.keyword(text) {
                "block" | "loop" | "if" | "try_table" => blocks += 1,
                "end" => blocks = blocks.saturating_sub(1),
                _ => {}
            },
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment => continue,
            _ => {}
        }
        is_first = token.kind == TokenKind::LParen;
        if parentheses + blocks > DEPTH {
            return Ok(Some(token.offset));
        }
    }
    Ok(None)
}
