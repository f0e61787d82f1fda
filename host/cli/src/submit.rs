//! `hart submit APP ENTRY [INPUT]`: gives a task to whoever works for the app.

use crate::failure::{self, Failure};
use crate::load;
use crate::output::{to_stderr, to_stdout};
use crate::queue::{QueueArgs, connect};
use crate::units::{positive_duration, show_duration, size};
use crate::work::explain;
use clap::Args;
use hart_host::work::{Job, JobResult, JobStatus, Queue};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  hart submit resize thumbnail --file in.png               prints the job's id
  hart submit resize thumbnail --file in.png --wait        prints what the task returns
  hart submit --text greeter greeter::greet World --wait   a task in Rust that takes a String
  hart submit --id order-17 shop bill --file order         once, however often it is submitted

With --wait the exit code is the one that `hart run` would have: 0; 1 if the task returned an error, whose bytes are on
standard output; 134 on a trap; 124 on a time limit; 130 if it was cancelled.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SubmitArgs {
    /// The app, as the worker's file names it
    #[arg(value_name = "APP")]
    app: String,

    /// Which of its tasks
    #[arg(value_name = "ENTRY")]
    entry: String,

    /// The task's input, a text; what the bytes mean is between you and the task
    #[arg(value_name = "INPUT", conflicts_with = "file")]
    input: Option<String>,

    /// Take the input from this file; `-` is standard input
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    file: Option<PathBuf>,

    /// The task is one in Rust that takes one String or Vec<u8> and returns one: write and read them
    /// as it does
    #[arg(long, help_heading = "Input")]
    text: bool,

    /// Wait for the result, and write it to standard output
    #[arg(long, help_heading = "Result")]
    wait: bool,

    /// The job's id, which no other job of the app has [default: one that is made up]
    #[arg(long, value_name = "ID", help_heading = "Job")]
    id: Option<String>,

    /// How long the task may run; the app's own limit holds where it is less
    #[arg(long, value_name = "D", value_parser = positive_duration, help_heading = "Job")]
    timeout: Option<Duration>,

    /// CPU time that it may use; the app's own limit holds where it is less
    #[arg(long, value_name = "D", value_parser = positive_duration, help_heading = "Job")]
    cpu_time: Option<Duration>,

    /// Memory that it may use; the app's own limit holds where it is less
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Job")]
    max_memory: Option<u64>,

    #[command(flatten)]
    queue: QueueArgs,
}

/// How long it takes until one wonders.
const PATIENCE: Duration = Duration::from_secs(1);

/// Submits it; the process's exit code.
///
/// # Errors
/// Bad usage, and a server that is not there or refuses the job.
pub(crate) fn submit(args: SubmitArgs) -> Result<u8, Failure> {
    let mut input = match (args.input, &args.file) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(path)) => read(path)?,
        (None, None) => Vec::new(),
    };
    if args.text {
        input = text::written(&input);
    }
    let mut job = Job::new(args.entry, input);
    if let Some(id) = args.id {
        job = job.id(id);
    }
    if let Some(timeout) = args.timeout {
        job = job.timeout(timeout);
    }
    if let Some(time) = args.cpu_time {
        job = job.cpu_time(time);
    }
    if let Some(bytes) = args.max_memory {
        job = job.memory(bytes);
    }
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("no way to wait for a network: {error}")))?;
    tokio.block_on(async {
        let connected = connect(&args.queue.plan(), "hart submit", |_| {}).await?;
        let queue = connected.queue;
        let id = queue.submit(&args.app, &job).await;
        let id = id.map_err(|error| explain(&error))?;
        let served = queue.has_worker(&args.app).await;
        if !served.map_err(|error| explain(&error))? {
            to_stderr(&format!(
                "hart: nobody has worked for `{}` here yet; the job waits until somebody does\n",
                args.app
            ));
        }
        if !args.wait {
            to_stdout(&format!("{id}\n"));
            return Ok(0);
        }
        let result = wait(&queue, &args.app, &id).await?;
        Ok(show(&result, args.text))
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        return match std::io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Failure::usage(format!("standard input: {error}"))),
        };
    }
    std::fs::read(path).map_err(|error| Failure::usage(load::read(&error)).at(path))
}

/// Waits for what comes of a job. A terminal shows that it does.
pub(crate) async fn wait(queue: &Queue, app: &str, id: &str) -> Result<JobResult, Failure> {
    let waits = async {
        let result = queue.wait(app, id).await;
        result.map_err(|error| explain(&error))
    };
    if !std::io::stderr().is_terminal() {
        return waits.await;
    }
    let start = Instant::now();
    let shows = async {
        loop {
            tokio::time::sleep(PATIENCE).await;
            let elapsed = show_duration(start.elapsed());
            to_stderr(&format!(
                "\rhart: {app} {id}: waiting for {elapsed} \u{1b}[K"
            ));
        }
    };
    let (waits, shows) = (std::pin::pin!(waits), std::pin::pin!(shows));
    let result = match futures::future::select(waits, shows).await {
        futures::future::Either::Left((result, _)) => result,
        futures::future::Either::Right((never, _)) => never,
    };
    if start.elapsed() > PATIENCE {
        to_stderr("\r\u{1b}[K");
    }
    result
}

/// Writes a result out; the exit code.
pub(crate) fn show(result: &JobResult, is_text: bool) -> u8 {
    let read = is_text && result.status == JobStatus::Ok;
    let bytes = match read {
        true => text::read(&result.bytes).unwrap_or(&result.bytes),
        false => &result.bytes,
    };
    // A reader that went away is no error.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    if !result.reason.is_empty() {
        Failure::new(1, &result.reason).report();
    }
    failure::exit_code(result.exit_code)
}

/// Texts as tasks in Rust take and return them: by postcard, with their length before them.
mod text {
    pub(super) fn written(text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut length = text.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(text);
        bytes
    }

    /// `None` where it is no such text.
    pub(super) fn read(bytes: &[u8]) -> Option<&[u8]> {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0)?;
        let (length, text) = bytes.split_at(end + 1);
        let digits = length.iter().rev();
        let length = digits.fold(0u128, |sum, digit| (sum << 7) | u128::from(digit & 0x7f));
        (end < 10 && length == text.len() as u128).then_some(text)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Hunts lengths that are cut, at each size of them.
        #[test]
        fn texts_are_those_of_postcard() {
            for length in [0, 1, 127, 128, 300, 16_383, 16_384, 100_000] {
                let text = vec![b'x'; length];
                assert_eq!(read(&written(&text)), Some(&text[..]));
            }
            assert_eq!(written(&[b'x'; 300])[..3], [0xac, 0x02, b'x']);
            for wrong in [&b""[..], &[2, b'x'], &[0x80], &[0xff; 20]] {
                assert_eq!(read(wrong), None, "{wrong:?}");
            }
        }
    }
}
