//! What this process holds.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Watches the peak of resident memory, and ends the process if that is far above what is allowed.
#[derive(Debug)]
pub struct Memory {
    status: Status,
    before: u64,
    allowed: u64,
}

impl Memory {
    /// Begins to watch: from now on, `more` bytes may become resident. A process that goes far beyond that ends at once, so
    /// that a fault does not take the machine down.
    ///
    /// # Panics
    ///
    /// If the kernel does not say how much is resident.
    pub fn watch(more: u64) -> Self {
        // Resets the peak. If that is not possible, the earlier peak counts as used.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let status = Status::open();
        let before = status.of("VmHWM:");
        let allowed = before + more;
        let watched = Status::open();
        std::thread::spawn(move || {
            loop {
                let now = watched.of("VmRSS:");
                if now > allowed + allowed / 4 {
                    eprintln!(
                        "{} MiB are resident, {} are allowed",
                        now >> 20,
                        allowed >> 20
                    );
                    std::process::exit(99);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            status,
            before,
            allowed,
        }
    }

    /// # Panics
    ///
    /// If the peak was more than is allowed.
    #[track_caller]
    pub fn assert_bounded(&self) {
        let peak = self.status.of("VmHWM:");
        println!(
            "memory: {} MiB before, peak {} MiB, allowed {} MiB",
            self.before >> 20,
            peak >> 20,
            self.allowed >> 20
        );
        assert!(
            peak <= self.allowed,
            "the peak was {} MiB, {} are allowed",
            peak >> 20,
            self.allowed >> 20
        );
    }
}

/// What the kernel says about this process. Opened early: a guest may use up all files later.
#[derive(Debug)]
struct Status(File);

impl Status {
    fn open() -> Self {
        Self(File::open("/proc/self/status").expect("the kernel tells"))
    }

    /// A figure in bytes.
    fn of(&self, name: &str) -> u64 {
        let mut text = [0; 8192];
        let length = self.0.read_at(&mut text, 0).expect("the kernel tells");
        let text = String::from_utf8_lossy(&text[..length]);
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|value| value.trim().strip_suffix("kB"))
            .and_then(|value| value.trim().parse::<u64>().ok());
        kib.expect("a figure in kB") * 1024
    }
}
