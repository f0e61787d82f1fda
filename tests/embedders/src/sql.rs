//! A capability of your own: SQL for guests, on SQLite. What a query computes counts as its run's CPU time, and a query ends
//! with its run.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hart_host::wasmtime::{self, component::Linker};
use hart_host::{Blocking, Capability, Component, Granted, GuestState, Host, Limits, Run, RunInfo};
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::Error;

mod bindings {
    hart_host::wasmtime::component::bindgen!({
        inline: "
            package example:sql;
            interface database {
                /// The first column of all rows, as text.
                rows: func(query: string) -> result<list<string>, string>;
            }
            world app { import database; }
        ",
        imports: { default: async | trappable },
        wasmtime_crate: hart_host::wasmtime,
    });
}

use bindings::example::sql::database;

/// What a run may have: a database, to read, and so many queries.
pub struct Database {
    /// Its file.
    pub file: PathBuf,
    /// The most queries of the run.
    pub queries: u32,
}

/// What the tasks of a run share.
pub struct Shared {
    file: PathBuf,
    left: AtomicU32,
}

/// What each of them has.
pub struct Own {
    connection: Arc<Mutex<Connection>>,
    shared: Arc<Shared>,
}

/// The most bytes of a result, which is in the host's memory.
const RESULT: usize = 64 << 10;

impl Capability for Database {
    type Run = Shared;
    type State = Own;

    fn link<T: Send + 'static>(linker: &mut Linker<GuestState<T>>) -> wasmtime::Result<()> {
        let capability = GuestState::capability::<Self>;
        database::add_to_linker::<_, Granted<'static, Self>>(linker, capability)
    }

    fn prepare(&self, _run: &RunInfo<'_>) -> wasmtime::Result<Shared> {
        Ok(Shared {
            file: self.file.clone(),
            left: AtomicU32::new(self.queries),
        })
    }

    fn state(shared: &Arc<Shared>) -> wasmtime::Result<Own> {
        let connection =
            Connection::open_with_flags(&shared.file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // The guest writes the queries: no other file, and no value of any size.
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, 1 << 20)?;
        Ok(Own {
            connection: Arc::new(Mutex::new(connection)),
            shared: shared.clone(),
        })
    }
}

impl database::Host for Granted<'_, Database> {
    async fn rows(&mut self, query: String) -> wasmtime::Result<Result<Vec<String>, String>> {
        let own = self.state()?;
        let left = &own.shared.left;
        let takes = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if takes.is_err() {
            return Ok(Err("the run has no queries left".into()));
        }
        let connection = own.connection.clone();
        let doing = self.blocking(move |work| {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            read(&mut connection, &query, work)
        });
        Ok(doing.await)
    }
}

/// Does a query on a thread that may block.
fn read(connection: &mut Connection, query: &str, work: Blocking) -> Result<Vec<String>, String> {
    let said = |error: rusqlite::Error| error.to_string();
    // Some 100 us: it ends once its run is over, or has used up a limit.
    let ends = move || work.check().is_err();
    connection
        .progress_handler(10_000, Some(ends))
        .map_err(said)?;
    let mut statement = connection.prepare(query).map_err(said)?;
    let mut rows = statement.query([]).map_err(said)?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().map_err(said)? {
        let value = row.get_ref(0).map_err(said)?;
        let value = match value.as_str() {
            Ok(text) => text.to_owned(),
            Err(_) => format!("{value:?}"),
        };
        bytes += value.len() + size_of::<String>();
        if bytes > RESULT {
            return Err(format!("the result has more than {RESULT} bytes"));
        }
        found.push(value);
    }
    Ok(found)
}

/// Passes queries on to the host, and what it says back.
const GUEST: &str = r#"(component
    (import "example:sql/database" (instance $database
        (export "rows" (func (param "query" string)
            (result (result (list string) (error string)))))))
    (core module $memory
        (memory (export "memory") 4)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $next (i32.and (i32.const -8)
                (i32.add (global.get $next) (i32.const 7))))
            (global.get $next)
            (global.set $next (i32.add (global.get $next) (local.get 3)))))
    (core instance $memory (instantiate $memory))
    (core func $rows (canon lower (func $database "rows")
        (memory $memory "memory") (realloc (func $memory "realloc"))))
    (core module $app
        (import "" "rows" (func $rows (param i32 i32 i32)))
        (func (export "ask") (param i32 i32) (result i32)
            (call $rows (local.get 0) (local.get 1) (i32.const 16))
            (i32.const 16)))
    (core instance $app (instantiate $app
        (with "" (instance (export "rows" (func $rows))))))
    (func (export "ask") (param "query" string) (result (result (list string) (error string)))
        (canon lift (core func $app "ask")
            (memory $memory "memory") (realloc (func $memory "realloc")))))"#;

/// A host whose guests have databases.
pub struct Server {
    host: Host,
    component: Component,
}

impl Server {
    /// Makes it.
    ///
    /// # Errors
    /// What keeps the host from starting.
    pub fn new() -> Result<Self, Error> {
        let host = Host::builder().capability::<Database>().build()?;
        let component = host.load(GUEST.as_bytes())?;
        Ok(Self { host, component })
    }

    /// A run whose guest asks this of a database.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub fn ask(&self, file: &Path, query: &str, limits: Limits) -> Result<Run, Error> {
        let query = wasmtime::component::Val::String(query.into());
        let run = self.host.call(&self.component, "ask", vec![query]);
        let database = Database {
            file: file.to_owned(),
            queries: 100,
        };
        Ok(run.limits(limits).grant(database).start()?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hart_host::{LimitKind, RunError};

    use super::*;

    const ENDLESS: &str =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

    /// A database that is gone with the value.
    struct File(PathBuf);

    impl File {
        fn new(name: &str) -> Self {
            let name = format!("hart-embedders-{name}-{}.sqlite", std::process::id());
            let file = Self(std::env::temp_dir().join(name));
            let connection = Connection::open(&file.0).unwrap();
            let made =
                "CREATE TABLE towns (name TEXT); INSERT INTO towns VALUES ('Oslo'), ('Lima')";
            connection.execute_batch(made).unwrap();
            file
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn towns(server: &Server, file: &File) -> String {
        let query = "SELECT name FROM towns ORDER BY name";
        let run = server.ask(&file.0, query, Limits::new()).unwrap();
        run.wait().unwrap().to_wave().unwrap()
    }

    const TOWNS: &str = r#"ok(["Lima", "Oslo"])"#;

    #[test]
    fn a_runaway_query_ends_while_others_are_answered() {
        let (server, file) = (Server::new().unwrap(), File::new("runaway"));
        let limits = Limits::new().cpu_time(Duration::from_millis(100));
        let runaway = server.ask(&file.0, ENDLESS, limits).unwrap();
        for _ in 0..10 {
            assert_eq!(towns(&server, &file), TOWNS);
        }
        let stats = runaway.canceller();
        let Err(RunError::TimedOut(limit)) = runaway.wait() else {
            panic!("it has a limit");
        };
        assert_eq!(limit.limit, LimitKind::CpuTime);
        let used = stats.stats().cpu_time;
        assert!(used >= Duration::from_millis(100), "{used:?}");
        assert_eq!(towns(&server, &file), TOWNS);
    }

    /// Hunts queries that go on after their run: more than the host has threads for.
    #[test]
    fn a_query_ends_with_its_run() {
        let (server, file) = (Server::new().unwrap(), File::new("cancelled"));
        for _ in 0..20 {
            let run = server.ask(&file.0, ENDLESS, Limits::new()).unwrap();
            // Charged while it goes on.
            while run.stats().cpu_time < Duration::from_millis(5) {
                std::thread::yield_now();
            }
            run.cancel();
            assert!(matches!(run.wait(), Err(RunError::Cancelled)));
        }
        assert_eq!(towns(&server, &file), TOWNS);
    }

    #[test]
    fn a_guest_reads_its_database_and_no_other_file() {
        let (server, file) = (Server::new().unwrap(), File::new("other"));
        let refused = [
            ("DELETE FROM towns", "readonly"),
            ("ATTACH '/etc/passwd' AS other", "too many attached"),
            ("SELECT hex(zeroblob(10000000))", "too big"),
            ("SELECT missing", "no such column"),
        ];
        for (query, said) in refused {
            let run = server.ask(&file.0, query, Limits::new()).unwrap();
            let answer = run.wait().unwrap().to_wave().unwrap();
            assert!(
                answer.starts_with("err(") && answer.contains(said),
                "{answer}"
            );
        }
    }
}
