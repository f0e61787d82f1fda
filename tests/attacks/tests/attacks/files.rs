//! Descriptors of the process, and threads that wait for the system.

use std::net::{TcpListener, TcpStream};

use hart_attacks::{Ground, MIB, Memory, alone, guest};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process may have open.
const DESCRIPTORS: u64 = 512;
/// Connections that the embedder accepts. Each takes two descriptors here; together they fit into what is left for it.
const CONNECTIONS: usize = 50;

/// Fault: a guest's files are not counted, so that others' files and the embedder's connections fail.
#[test]
fn files_are_left_for_others() {
    alone(|| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit {
            current: Some(DESCRIPTORS),
            maximum,
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        let ground = Ground::new(|builder| builder);
        let component = ground.load(&guest(include_str!("../../guests/opens.wat")));
        let alone = ground.alone();
        let memory = Memory::watch(64 * MIB);
        // One run may have half at most, and a tenant with many runs leaves some as well.
        for runs in [1, 6] {
            let attacks: Vec<_> = (0..runs)
                .map(|_| ground.attack(&component, 4).start().unwrap())
                .collect();
            ground.assert_served(alone);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let connections: Vec<_> = (0..CONNECTIONS)
                .map(|_| {
                    (
                        TcpStream::connect(address).unwrap(),
                        listener.accept().unwrap(),
                    )
                })
                .collect();
            drop(connections);
            ground.assert_served(alone);
            for attack in &attacks {
                assert!(!attack.is_finished(), "it is refused files, and goes on");
                assert!(attack.stats().files > 0);
                attack.cancel();
            }
            for attack in attacks {
                let _ = attack.wait();
            }
        }
        memory.assert_bounded();
    });
}

/// Fault: name look-ups take all the threads that others' files need, for as long as the name server takes to answer, even
/// after the guest is gone.
#[test]
fn look_ups_of_names_leave_threads_for_files() {
    alone(|| {
        let ground = Ground::new(|builder| builder);
        let component = ground.load(&guest(include_str!("../../guests/looks-up.wat")));
        let alone = ground.alone();
        let memory = Memory::watch(128 * MIB);
        let attack = ground.attack(&component, 20).allow_network(true);
        let run = attack.start().unwrap();
        ground.assert_served(alone);
        run.cancel();
        ground.assert_served(alone);
        let _ = run.wait();
        memory.assert_bounded();
    });
}

/// Fault: one run's operations stand in a queue before those of all others.
#[test]
fn lists_of_directories_leave_threads_for_files() {
    alone(|| {
        let ground = Ground::new(|builder| builder.instances(1_000));
        for number in 0..2_000 {
            ground.file(&number.to_string(), b"");
        }
        let component = ground.load(&guest(include_str!("../../guests/lists.wat")));
        let alone = ground.alone();
        let memory = Memory::watch(256 * MIB);
        let run = ground.attack(&component, 480).start().unwrap();
        ground.assert_served(alone);
        // Those that wait are given up.
        run.cancel();
        ground.assert_served(alone);
        let _ = run.wait();
        memory.assert_bounded();
    });
}
