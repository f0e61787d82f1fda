//! Limits within limits.

use crate::quota::limits::Limits;

impl Limits {
    /// These, and what `other` says of memory, CPU time, time on the clock, fuel, tasks, depth and results where that is
    /// less.
    pub(crate) fn narrowed(self, other: &Limits) -> Self {
        fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            one.into_iter().chain(other).min()
        }
        let (memory, tasks) = (self.memory_or_default(), self.tasks_or_default());
        let (depth, result) = (self.depth_or_default(), self.result_bytes_or_default());
        Self {
            memory: other.memory.map(|m| m.min(memory)).or(self.memory),
            task_memory: least(self.task_memory, other.task_memory),
            cpu_time: least(self.cpu_time, other.cpu_time),
            task_cpu_time: least(self.task_cpu_time, other.task_cpu_time),
            fuel: least(self.fuel, other.fuel),
            task_fuel: least(self.task_fuel, other.task_fuel),
            timeout: least(self.timeout, other.timeout),
            tasks: other.tasks.map(|t| t.min(tasks)).or(self.tasks),
            depth: other.depth.map(|d| d.min(depth)).or(self.depth),
            result_bytes: other
                .result_bytes
                .map(|r| r.min(result))
                .or(self.result_bytes),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Hunts a limit that gets wider, and one that is lost.
    #[test]
    fn limits_only_get_narrower() {
        let second = Duration::from_secs(1);
        let own = Limits::new()
            .memory(100)
            .task_memory(50)
            .timeout(second)
            .depth(3);
        let asked = Limits::new()
            .memory(200)
            .task_memory(40)
            .cpu_time(second)
            .timeout(2 * second)
            .task_fuel(7)
            .tasks(9)
            .depth(2)
            .result_bytes(u64::MAX);
        let narrowed = own.narrowed(&asked);
        let expected = own
            .task_memory(40)
            .cpu_time(second)
            .task_fuel(7)
            .tasks(9)
            .depth(2)
            .result_bytes(Limits::DEFAULT_RESULT_BYTES);
        assert_eq!(narrowed, expected);
        assert_eq!(own.narrowed(&Limits::new()), own);
    }
}
