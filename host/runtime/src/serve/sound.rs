//! What a request has to be before it is given to an app: what servers may read in two ways is refused.

use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Method, Request, StatusCode};

/// Nothing, or the status and the line that the client gets instead of an answer.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), (StatusCode, &'static str)> {
    let (uri, headers) = (request.uri(), request.headers());
    if request.method() == Method::CONNECT {
        return Err((StatusCode::NOT_IMPLEMENTED, "this server is no proxy\n"));
    }
    let is_target = match uri.path() {
        "*" => request.method() == Method::OPTIONS,
        path => path.starts_with('/'),
    };
    if !is_target {
        return Err((
            StatusCode::BAD_REQUEST,
            "the request's target is no path; it begins with `/`\n",
        ));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let is_host_sound = uri.authority().is_none_or(is_sound)
        && hosts.next().is_none_or(is_host)
        && hosts.next().is_none();
    if !is_host_sound {
        return Err((
            StatusCode::BAD_REQUEST,
            "a request names one host, as in `Host: example.com`\n",
        ));
    }
    // Of several codings the last one would be undone, and the guest not be told of the others.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_coding_known = codings
        .next()
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none();
    if !is_coding_known {
        return Err((
            StatusCode::NOT_IMPLEMENTED,
            "the only transfer coding that is known here is `chunked`\n",
        ));
    }
    Ok(())
}

fn is_host(host: &HeaderValue) -> bool {
    Authority::try_from(host.as_bytes()).is_ok_and(|authority| is_sound(&authority))
}

/// Whether it is a host, and a port where there is a colon after it.
fn is_sound(authority: &Authority) -> bool {
    let (text, host) = (authority.as_str(), authority.host());
    let port = text.strip_prefix(host);
    !host.is_empty()
        && port.is_some_and(|port| port.is_empty() || port == ":" || authority.port_u16().is_some())
}
