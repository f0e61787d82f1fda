//! Tasks that wake one another.

use crate::{random::log_uniform, sim::Sim};
use fastrand::Rng;
use hart_executor::yield_now;
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === storm ===

/// Something that happens again and again, until nobody is there to do it.
#[derive(Default)]
struct Signal {
    times: u32,
    over: bool,
    waiting: Vec<Waker>,
}

/// Who does it.
struct Source(Arc<Mutex<Signal>>);

impl Source {
    fn fire(&self, over: bool) {
        let waiting = {
            let mut signal = lock(&self.0);
            signal.times += 1;
            signal.over |= over;
            std::mem::take(&mut signal.waiting)
        };
        // Not under the lock: a wake may let others go on.
        for waker in waiting {
            waker.wake();
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.fire(true);
    }
}

pub(super) fn storm(sim: &Sim, size: u32, mut rng: Rng) {
    let signal = Arc::new(Mutex::new(Signal::default()));
    for _ in 0..size {
        let (this, signal) = (sim.clone(), signal.clone());
        let cost = log_uniform(&mut rng, 50, 5_000);
        let waiter = async move {
            let mut seen = 0;
            loop {
                let over = poll_fn(|cx| {
                    let mut signal = lock(&signal);
                    if signal.times != seen || signal.over {
                        seen = signal.times;
                        return Poll::Ready(signal.over);
                    }
                    signal.waiting.push(cx.waker().clone());
                    Poll::Pending
                })
                .await;
                if over {
                    break;
                }
                this.spend(cost);
            }
        };
        drop(sim.spawn("waiter", waiter));
    }
    let (this, source) = (sim.clone(), Source(signal));
    let task = async move {
        for _ in 0..rng.u32(1..6) {
            this.sleep(log_uniform(&mut rng, 1_000, 50_000)).await;
            source.fire(false);
            this.spend(rng.u64(0..2_000));
        }
    };
    drop(sim.spawn("storm", task));
}

// === channel ===

struct Channel {
    items: VecDeque<u64>,
    room: usize,
    sender_gone: bool,
    receiver_gone: bool,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

struct Sender(Arc<Mutex<Channel>>);
struct Receiver(Arc<Mutex<Channel>>);

fn bounded(room: usize) -> (Sender, Receiver) {
    let channel = Arc::new(Mutex::new(Channel {
        items: VecDeque::new(),
        room,
        sender_gone: false,
        receiver_gone: false,
        sender: None,
        receiver: None,
    }));
    (Sender(channel.clone()), Receiver(channel))
}

impl Sender {
    /// `false` if nobody will receive it.
    async fn send(&self, item: u64) -> bool {
        poll_fn(|cx| {
            let mut channel = lock(&self.0);
            if channel.receiver_gone {
                return Poll::Ready(false);
            }
            if channel.items.len() >= channel.room {
                channel.sender = Some(cx.waker().clone());
                return Poll::Pending;
            }
            channel.items.push_back(item);
            let waker = channel.receiver.take();
            drop(channel);
            wake(waker);
            Poll::Ready(true)
        })
        .await
    }
}

impl Receiver {
    async fn receive(&self) -> Option<u64> {
        poll_fn(|cx| {
            let mut channel = lock(&self.0);
            if let Some(item) = channel.items.pop_front() {
                let waker = channel.sender.take();
                drop(channel);
                wake(waker);
                return Poll::Ready(Some(item));
            }
            if channel.sender_gone {
                return Poll::Ready(None);
            }
            channel.receiver = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let waker = {
            let mut channel = lock(&self.0);
            channel.sender_gone = true;
            channel.receiver.take()
        };
        wake(waker);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let waker = {
            let mut channel = lock(&self.0);
            channel.receiver_gone = true;
            channel.sender.take()
        };
        wake(waker);
    }
}

pub(super) fn channel(sim: &Sim, size: u32, mut rng: Rng) {
    for _ in 0..size.div_ceil(8) {
        let (sender, receiver) = bounded(rng.usize(1..4));
        let items = rng.u64(1..20);
        let (this, cost) = (sim.clone(), rng.u64(0..2_000));
        let producer = async move {
            for item in 0..items {
                this.spend(cost);
                if !sender.send(item).await {
                    return false;
                }
            }
            true
        };
        let producer = sim.spawn("producer", producer);
        let (this, cost) = (sim.clone(), rng.u64(0..2_000));
        let consumer = async move {
            let mut next = 0;
            while let Some(item) = receiver.receive().await {
                this.expect(item == next, || {
                    format!("item {item} came where {next} was next")
                });
                next += 1;
                this.spend(cost);
                if item % 5 == 0 {
                    yield_now().await;
                }
            }
            // Who sent all was told so.
            if let Ok(producer) = producer
                && producer.await.is_ok_and(|all| all)
            {
                this.expect(next == items, || format!("{next} of {items} items came"));
            }
        };
        drop(sim.spawn("consumer", consumer));
    }
}
