//! One client: it sends a request, takes the answer, or leaves before it has it.

use super::{
    body::Upload,
    requests::{Drawn, Rate},
};
use crate::{guest::Outside, machine::Machine, sim::Sleep};
use futures::{
    channel::oneshot,
    future::{Either, pending, select},
};
use hart_host::{
    RunError, Service, ServiceError,
    http::{self, Method, StatusCode, Uri},
};
use http_body::Body;
use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

/// A request and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Exchange {
    /// The request's method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// When it was sent, virtual nanoseconds after the start.
    pub arrived: u64,
    /// Nanoseconds from then to the end: of the answer, or of the client's patience.
    pub took: u64,
    /// The answer's status; none if the client had left by then.
    pub status: Option<StatusCode>,
    /// Bytes of the answer's body that the client took.
    pub bytes: u64,
    /// A hash of them: FNV-1a, 64 bits.
    pub hash: u64,
    /// How it ended.
    pub end: End,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The client has all of the guest's answer.
    Answered,
    /// The client left before that.
    Left,
    /// The host refused it, and says why: it has too many requests, or is closed.
    Refused(String),
    /// The guest ended without an answer, or in the middle of it, and this is why.
    Failed(String),
}

/// Who is connected.
pub(super) struct Network {
    pub(super) machine: Arc<Machine>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By the number of the request; what is sent makes the client leave.
    connected: BTreeMap<usize, oneshot::Sender<()>>,
    done: BTreeMap<usize, Exchange>,
}

impl Network {
    pub(super) fn new(machine: Arc<Machine>) -> Self {
        Self {
            machine,
            state: Mutex::default(),
        }
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes one of those who are connected leave.
    pub(super) fn one_leaves(&self) {
        let connected = self.with(|state| state.connected.len());
        if connected == 0 {
            return;
        }
        let at = self.machine.lock().rng.usize(..connected);
        let leaves = self.with(|state| {
            let number = *state.connected.keys().nth(at)?;
            state.connected.remove(&number)
        });
        // Wakes it: not under the lock. One that has its answer is gone already.
        let _ = leaves.map(|leaves| leaves.send(()));
    }

    /// What became of the requests, in their order.
    pub(super) fn take_done(&self) -> Vec<Exchange> {
        let done = self.with(|state| std::mem::take(&mut state.done));
        done.into_values().collect()
    }

    async fn sleep(&self, nanoseconds: u64) {
        if nanoseconds > 0 {
            Sleep::new(self.machine.clone(), nanoseconds).await;
        }
    }

    /// A client, from before it sends its request to the end.
    pub(super) async fn client(&self, number: usize, drawn: Drawn<'_>, service: &Service<Outside>) {
        let Drawn { time, request, .. } = drawn;
        self.sleep(time.saturating_sub(self.machine.time())).await;
        let arrived = self.machine.time();
        let (leave, told_to_leave) = oneshot::channel();
        self.with(|state| state.connected.insert(number, leave));
        let mut seen = Seen::default();
        let end = {
            let answer = pin!(self.answer(drawn, service, &mut seen));
            let patience = pin!(async {
                match request.leaves {
                    Some(patience) => self.sleep(patience).await,
                    None => pending().await,
                }
            });
            match select(answer, select(told_to_leave, patience)).await {
                Either::Left((end, _)) => end,
                // What is left of the answer is dropped here: that is how a server learns of it.
                Either::Right(_) => End::Left,
            }
        };
        let exchange = Exchange {
            method: request.method.clone(),
            target: request.target.to_string(),
            arrived,
            took: self.machine.time() - arrived,
            status: seen.status,
            bytes: seen.bytes,
            hash: seen.hash,
            end,
        };
        self.with(|state| {
            state.connected.remove(&number);
            state.done.insert(number, exchange);
        });
    }

    async fn answer(&self, drawn: Drawn<'_>, service: &Service<Outside>, seen: &mut Seen) -> End {
        let Drawn {
            latency, request, ..
        } = drawn;
        self.sleep(latency).await;
        let body = Upload::new(self.machine.clone(), request.body, request.body_rate);
        let mut asked = http::Request::new(body);
        *asked.method_mut() = request.method.clone();
        *asked.uri_mut() = Uri::from(request.target.clone());
        *asked.headers_mut() = request.headers();
        let answer = service.handle(asked).await;
        self.sleep(latency).await;
        match answer {
            Ok(response) => {
                seen.status = Some(response.status());
                let has_body = request.method != Method::HEAD;
                match has_body {
                    true => {
                        self.read(response.into_body(), request.read_rate, seen)
                            .await
                    }
                    false => End::Answered,
                }
            }
            Err(error) => {
                seen.status = Some(error.status());
                let why = error.to_string();
                match error {
                    ServiceError::Run(RunError::Closed) => End::Refused(why),
                    ServiceError::NoResponse | ServiceError::Guest(_) | ServiceError::Run(_) => {
                        End::Failed(why)
                    }
                    _ => End::Refused(why),
                }
            }
        }
    }

    async fn read(
        &self,
        body: hart_host::ResponseBody,
        rate: Option<Rate>,
        seen: &mut Seen,
    ) -> End {
        let mut body = pin!(body);
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return End::Failed(error.to_string()),
            };
            let Some(data) = frame.data_ref() else {
                continue;
            };
            seen.take(data);
            if let Some(rate) = rate {
                self.sleep(rate.time_for(data.len() as u64)).await;
            }
        }
        End::Answered
    }
}

/// What a client has of an answer.
struct Seen {
    status: Option<StatusCode>,
    bytes: u64,
    hash: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            status: None,
            bytes: 0,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }
}

impl Seen {
    fn take(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        for byte in data {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
