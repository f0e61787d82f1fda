//! stub
mod values;
pub(crate) fn wast(_: &crate::args::WastArgs) -> Result<u8, crate::failure::Failure> {
    Ok(0)
}
