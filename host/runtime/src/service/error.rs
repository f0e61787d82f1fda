//! Why a service has no response of its guest's, and what a client is told instead.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::body::ResponseBody;
use crate::instance::error::RunError;

/// Why a [`Service`](crate::Service) has no response.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServiceError {
    /// So many requests run and wait that this one was not let in: 503.
    Busy {
        /// When there is likely to be room, by how fast requests end now.
        retry_after: Duration,
    },
    /// The request's body is longer than the service takes: 413.
    BodyTooLarge,
    /// The client sent nothing of the body for too long: 408.
    BodyTooSlow,
    /// The request has no host: 400.
    NoHost,
    /// The guest returned, and had set no response: 500.
    NoResponse,
    /// The guest set an error instead of a response: 500. The text is `wasi:http`'s name of it.
    Guest(String),
    /// The guest's run ended first: a trap is 500, a limit of time 504, another limit 503.
    Run(RunError),
}

impl ServiceError {
    /// The status that says this.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::NoResponse | Self::Guest(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Run(error) => match error {
                RunError::TimedOut(_) | RunError::OutOfFuel(_) => StatusCode::GATEWAY_TIMEOUT,
                RunError::Limit(_)
                | RunError::OutOfMemory(_)
                | RunError::Cancelled
                | RunError::Closed => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// A response that says this, in one line of text, or without one where it is to be `quiet`.
    pub fn into_response(self, quiet: bool) -> Response<ResponseBody> {
        let status = self.status();
        let text = match quiet {
            true => format!("{status}\n"),
            false => format!("{self}\n"),
        };
        let mut response = Response::new(ResponseBody::text(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if let Self::Busy { retry_after } = self {
            let seconds = retry_after.as_secs_f64().ceil() as u64;
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<RunError> for ServiceError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { retry_after } => write!(
                f,
                "too many requests: try again in {} s",
                retry_after.as_secs_f64().ceil()
            ),
            Self::BodyTooLarge => f.write_str("the request's body is too large"),
            Self::BodyTooSlow => f.write_str("the request's body came too slowly"),
            Self::NoHost => f.write_str("the request has no host"),
            Self::NoResponse => f.write_str("the guest returned and had set no response"),
            Self::Guest(code) => write!(f, "the guest answered with an error: {code}"),
            Self::Run(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Run(error) => Some(error),
            _ => None,
        }
    }
}
