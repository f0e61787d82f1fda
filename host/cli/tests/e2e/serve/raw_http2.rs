//! Frames of HTTP/2, as a client writes them that keeps to no rule.

use super::Server;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

pub(super) struct Raw(pub(super) TcpStream);

#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The fields of a request, none of them compressed. CONNECT has neither path nor scheme.
pub(super) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![(":method", method), (":authority", "a")];
    if method != "CONNECT" {
        fields.extend([(":path", path), (":scheme", "http")]);
    }
    fields.extend(more);
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.bytes());
        }
    }
    bytes
}

impl Raw {
    pub(super) fn connect(server: &Server) -> Self {
        let mut raw = Self(server.connect());
        raw.0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        raw.write(4, 0, 0, b"");
        raw
    }

    pub(super) fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.0
            .write_all(&frame(kind, flags, stream, payload))
            .unwrap();
    }

    /// Begins a request, and ends it where it has no body.
    pub(super) fn send(&mut self, stream: u32, method: &str, path: &str, ends: bool) {
        let flags = 4 | u8::from(ends);
        self.write(1, flags, stream, &request(method, path, &[]));
    }

    /// The next frame, if the connection is not closed.
    pub(super) fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    /// The frames of a stream until it ends or is reset, and what is in them of a body.
    pub(super) fn answer(&mut self, stream: u32) -> (Vec<Frame>, Vec<u8>) {
        let (mut frames, mut data) = (Vec::new(), Vec::new());
        loop {
            let frame = self.read().expect("the connection goes on");
            if frame.stream != stream {
                continue;
            }
            if frame.kind == 0 {
                data.extend_from_slice(&frame.payload);
            }
            let is_last = frame.kind == 3 || (frame.kind < 2 && frame.flags & 1 == 1);
            frames.push(frame);
            if is_last {
                return (frames, data);
            }
        }
    }
}
