//! Components that a bucket of the server holds.

use std::future::poll_fn;
use std::pin::Pin;

use async_nats::jetstream::object_store::Object;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead as _, ReadBuf};

use super::error::WorkError;
use super::queue::Queue;
use crate::base::text;

/// The largest component that is taken: as of files.
const LARGEST: usize = 256 << 20;

/// Bytes that are read at once.
const PART: usize = 64 << 10;

impl Queue {
    /// The bytes of an object in a bucket of the server's object store, if they have this digest: the SHA-256, as 64
    /// hexadecimal digits. Give them to [`Host::load`](crate::Host::load), which finds what it has compiled before in its
    /// cache.
    ///
    /// # Errors
    ///
    /// No such object, one that is larger than 256 MiB or has another digest, and a server that does not answer.
    pub async fn object(
        &self,
        bucket: &str,
        name: &str,
        sha256: &str,
    ) -> Result<Vec<u8>, WorkError> {
        let (shown_bucket, shown_name) = (text::name(bucket), text::line(name));
        let what = format!("the object {shown_name} of the bucket {shown_bucket}");
        let failed = |error: &dyn std::fmt::Display| {
            WorkError::server(&format!("{what} cannot be had"), error)
        };
        let store = self.context.get_object_store(bucket).await;
        let store = store.map_err(|error| failed(&error))?;
        let mut object = store.get(name).await.map_err(|error| failed(&error))?;
        if object.info.size > LARGEST {
            return Err(WorkError::Invalid(format!(
                "{what} has {} bytes; a component has at most {LARGEST}",
                object.info.size
            )));
        }
        let mut bytes = Vec::new();
        let mut part = vec![0; PART];
        loop {
            let length = read(&mut object, &mut part).await;
            let length = length.map_err(|error| failed(&error))?;
            if length == 0 {
                break;
            }
            // Whoever wrote its size may have written less than there is.
            if bytes.len() + length > LARGEST {
                return Err(WorkError::Invalid(format!(
                    "{what} has more bytes than it says"
                )));
            }
            bytes.extend_from_slice(&part[..length]);
        }
        let digest = Sha256::digest(&bytes);
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        match found.eq_ignore_ascii_case(sha256) {
            true => Ok(bytes),
            false => Err(WorkError::Invalid(format!(
                "{what} has the digest sha256:{found}, and not the one that it is to have; put the right one there, or change the digest"
            ))),
        }
    }
}

async fn read(object: &mut Object, part: &mut [u8]) -> std::io::Result<usize> {
    let mut buffer = ReadBuf::new(part);
    poll_fn(|cx| Pin::new(&mut *object).poll_read(cx, &mut buffer)).await?;
    Ok(buffer.filled().len())
}
