//! The Rust strategies as servers: the real binary, spoken to over its control and its socket.

#[allow(dead_code, reason = "end_to_end.rs uses the rest")]
#[path = "end_to_end/environment.rs"]
mod environment;
#[allow(dead_code, reason = "cli.rs uses the rest")]
#[path = "cli/model.rs"]
mod model;
#[path = "serve/server.rs"]
mod server;
#[path = "serve/workload.rs"]
mod workload;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use workers::now;

use server::{Client, Server, World, native, other};
use workload::POOL;

/// More than a socket takes at once, so that answers must wait for a client that does not read.
const REQUESTS: usize = 150;

/// Sends requests over both connections before it reads, and checks every answer.
fn pipelined(clients: &mut [Client], bodies: &[Vec<u8>], answers: &[Vec<u8>]) {
    let before = now();
    for id in 0..REQUESTS {
        for (turn, client) in clients.iter_mut().enumerate() {
            // Each connection starts elsewhere, so that an answer on the wrong one is seen.
            client.send((id << 8 | turn) as u64, &bodies[(id + 5 * turn) % POOL]);
        }
    }
    for (turn, client) in clients.iter_mut().enumerate() {
        let mut open: BTreeSet<u64> = (0..REQUESTS).map(|id| (id << 8 | turn) as u64).collect();
        while !open.is_empty() {
            let answer = client.receive().unwrap();
            assert!(open.remove(&answer.id), "id {} was answered twice or never sent here", answer.id);
            assert_eq!(answer.status, 0, "{}", answer.message());
            assert!(
                answer.body == answers[((answer.id >> 8) as usize + 5 * turn) % POOL],
                "wrong ids for {}",
                answer.id
            );
            let [received, started, finished] = answer.stamps;
            assert!(before <= received && received <= started && started <= finished && finished <= now());
        }
    }
}

fn strategy(name: &str, workers: u32, params: Value) {
    let world = World::new();
    let mut server = world.serve(name, workers, params);
    let mut clients = [world.connect(), world.connect()];
    let ids = world.workload.with_ids();
    let bodies = if name == "pass-through" { &ids } else { &world.workload.bodies };
    pipelined(&mut clients, bodies, &world.workload.answers);
    let sent = 2 * REQUESTS as u64;
    // An answer is counted after it is written.
    assert_eq!(server.ask_for("drain"), json!({"type": "done"}));
    assert_eq!(server.counts(), [sent, sent, 0, 0]);

    assert_eq!(server.ask_for("reset"), json!({"type": "done"}));
    assert_eq!(server.counts(), [0; 4]);
    let broken = clients[0].ask(1, b"{\"messages\": [");
    assert_eq!(broken.status, 1);
    assert!(broken.message().contains("EOF"), "{}", broken.message());
    let empty = clients[1].ask(2, b"{\"messages\": [], \"prompt_token_ids\": []}");
    assert_eq!(empty.status, 1);
    assert!(empty.message().contains("at least one"), "{}", empty.message());
    let good = clients[0].ask(3, &bodies[3]);
    assert!(good.status == 0 && good.body == world.workload.answers[3]);
    assert_eq!(server.counts(), [3, 1, 2, 0]);

    assert!(server.bye().success());
    assert!(!world.socket().exists());
}

#[test]
fn rust_inline() {
    strategy("rust-inline", 1, json!({}));
}

#[test]
fn rust_spawn_blocking() {
    strategy("rust-spawn-blocking", 2, json!({}));
}

#[test]
fn rust_rayon() {
    strategy("rust-rayon", 2, json!({}));
}

#[test]
fn rust_threads_that_share_their_objects() {
    strategy("rust-threads", 2, json!({"objects": "shared"}));
}

#[test]
fn rust_threads_with_objects_of_their_own_and_a_channel_of_one() {
    strategy("rust-threads", 2, json!({"objects": "per-thread", "queue": 1}));
}

#[test]
fn pass_through() {
    strategy("pass-through", 1, json!({}));
}

/// Names of the threads of a process.
fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap().trim().to_owned()).collect()
}

#[test]
fn work_is_where_the_strategy_says() {
    if !Path::new("/proc/self/task").exists() {
        return environment::skipped("threads are counted in /proc, which is not here");
    }
    for (name, prefix, workers) in [
        ("rust-inline", "none", 0),
        ("rust-spawn-blocking", "blocking", 3),
        ("rust-rayon", "rayon-", 3),
        ("rust-threads", "worker-", 3),
    ] {
        let world = World::new();
        let server = world.serve(name, 3, json!({}));
        let names = threads(server.child.id());
        assert_eq!(names.iter().filter(|name| name.starts_with(prefix)).count(), workers, "{name}: {names:?}");
        // Beside them the one that reads the control, and the event loop.
        assert_eq!(names.len(), workers + 2, "{name}: {names:?}");
    }
}

#[test]
fn an_event_loop_beats_and_is_late_when_it_works() {
    let world = World::new();
    let mut server = world.serve("rust-inline", 1, json!({}));
    std::thread::sleep(std::time::Duration::from_millis(100));
    let lag = server.ask_for("stats")["loop_lag"].clone();
    assert!(lag["samples"].as_u64().unwrap() >= 10, "{lag}");
    assert!(lag["p50_ns"].as_u64() <= lag["p99_ns"].as_u64() && lag["p99_ns"].as_u64() <= lag["max_ns"].as_u64());
    server.ask_for("reset");
    let mut client = world.connect();
    // Half a megabyte takes longer than a few beats, on any machine.
    let long = json!({"messages": [{"role": "user", "content": "Derivative Works ".repeat(30_000)}]}).to_string();
    let answer = client.ask(1, long.as_bytes());
    assert_eq!(answer.status, 0);
    let service_ns = answer.stamps[2] - answer.stamps[1];
    let late_ns = server.ask_for("stats")["loop_lag"]["max_ns"].as_u64().unwrap();
    assert!(late_ns > service_ns / 2, "the loop worked for {service_ns} ns and was {late_ns} ns late at most");
}

#[test]
fn a_server_that_drains_finishes_and_refuses_until_it_is_reset() {
    let world = World::new();
    let mut server = world.serve("rust-threads", 2, json!({}));
    let (mut client, workload) = (world.connect(), &world.workload);
    for id in 0..40 {
        client.send(id, &workload.bodies[id as usize % POOL]);
    }
    assert_eq!(server.ask_for("drain"), json!({"type": "done"}));
    assert_eq!(server.counts()[3], 0);
    let mut refused = 0;
    for _ in 0..40 {
        let answer = client.receive().unwrap();
        // What the loop had not read before it was told to drain is refused.
        match answer.status {
            0 => assert!(answer.body == workload.answers[answer.id as usize % POOL]),
            _ => refused += u64::from(answer.message().contains("draining")),
        }
    }
    let late = client.ask(99, &workload.bodies[0]);
    assert!(late.status == 1 && late.message().contains("draining"), "{}", late.message());
    assert_eq!(server.counts(), [41, 40 - refused, refused + 1, 0]);
    server.ask_for("reset");
    assert_eq!(client.ask(100, &workload.bodies[0]).status, 0);
    assert!(server.bye().success());
}

#[test]
fn the_end_of_its_input_ends_it_under_load_too() {
    for name in ["rust-inline", "rust-spawn-blocking", "rust-rayon", "rust-threads"] {
        let world = World::new();
        let server = world.serve(name, 2, json!({}));
        let mut client = world.connect();
        for id in 0..200 {
            client.send(id, &world.workload.bodies[id as usize % POOL]);
        }
        assert!(server.close().success(), "{name}");
        assert!(!world.socket().exists(), "{name}");
    }
    let mut unstarted = Server::launch(native());
    assert!(unstarted.ask_for("bye").is_null() && unstarted.wait().success());
}

#[test]
fn clients_that_break_the_rules_or_leave_do_not_disturb_others() {
    let world = World::new();
    let mut server = world.serve("rust-rayon", 2, json!({}));
    let mut good = world.connect();
    let mut long = world.connect();
    long.raw(&[&(64_u32 << 20).wrapping_add(1).to_le_bytes()[..], &7_u64.to_le_bytes(), b"x"].concat());
    assert!(long.receive().is_none());
    let mut gone = world.connect();
    for id in 0..20 {
        gone.send(id, &world.workload.bodies[0]);
    }
    drop(gone);
    let answer = good.ask(5, &world.workload.bodies[5]);
    assert!(answer.status == 0 && answer.body == world.workload.answers[5]);
    assert_eq!(server.ask_for("drain"), json!({"type": "done"}));
    assert!(server.bye().success());
}

#[test]
fn a_server_that_cannot_serve_says_why_and_exits_with_0() {
    let world = World::new();
    let order = world.order("rust-threads", 2, json!({}));
    let with = |pointer: &str, value: Value| {
        let mut order = order.clone();
        *order.pointer_mut(pointer).unwrap() = value;
        order
    };
    for (order, kind, said) in [
        (with("/strategy", json!("inline")), "unavailable", "rust-spawn-blocking"),
        (with("/pipeline/template", json!("jinja2/render")), "unavailable", "jinja2/render"),
        (with("/pipeline", json!({})), "failed", "template"),
        (with("/protocol", json!(2)), "failed", "version"),
        (with("/workers", json!(0)), "failed", "workers"),
        (with("/inputs/warmup", json!(0)), "failed", "warm-up"),
        (with("/model/dir", json!("nowhere")), "failed", "nowhere"),
        (with("/socket", json!("/no/such/folder/s.sock")), "failed", "/no/such/folder/s.sock"),
        (with("/socket", json!(format!("/{}", "x".repeat(200)))), "failed", "short path"),
        (json!({"type": "stats"}), "failed", "start"),
        (json!({"type": "dance"}), "failed", "understood"),
    ] {
        let mut server = Server::launch(native());
        let fatal = server.ask(&order);
        assert_eq!((&fatal["type"], &fatal["kind"]), (&json!("fatal"), &json!(kind)), "{fatal}");
        assert!(fatal["message"].as_str().unwrap().contains(said), "{fatal}");
        assert!(server.wait().success());
    }
    // Whatever fails in a worker's thread is told too.
    for strategy in ["rust-inline", "rust-spawn-blocking", "rust-rayon", "rust-threads"] {
        let mut command = native();
        command.env("LLMBENCH_TEST_FAULT", "panic:hf-tokenizers/encode");
        let mut server = Server::launch(command);
        let fatal = server.ask(&world.order(strategy, 2, json!({})));
        assert!(fatal["message"].as_str().is_some_and(|message| message.contains("panicked")), "{strategy}: {fatal}");
        assert!(server.wait().success());
    }
}

#[test]
fn it_is_the_sidecar_of_the_python_front_end() {
    let Some(python) = environment::python() else { return };
    for (sidecar, workers) in [("rust-threads", 2), ("rust-inline", 1)] {
        let world = World::new();
        let command = [env!("CARGO_BIN_EXE_llmbench"), "worker", "serve"];
        let params = json!({"sidecar": "rust", "command": command, "sidecar_strategy": sidecar});
        let mut start = other(&[&python.program.to_string_lossy(), "-m", "llmbench_worker.serve"]);
        start.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python"));
        let mut server = Server::launch(start);
        let ready = server.ask(&world.order("sidecar", workers, params));
        assert_eq!(ready["type"], "ready", "{ready}");
        let processes: Vec<u64> =
            ready["processes"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()).collect();
        assert!(processes.len() == 2 && processes[0] == u64::from(server.child.id()), "{processes:?}");
        assert_eq!(ready["gil"], "none");
        let (bodies, answers) = (&world.workload.bodies, &world.workload.answers);
        let mut clients = [world.connect(), world.connect()];
        pipelined(&mut clients, bodies, answers);
        let broken = clients[0].ask(1, b"{}");
        assert!(broken.status == 1 && broken.message().contains("messages"), "{}", broken.message());
        assert!(server.bye().success());
        let left = world
            .dir
            .path()
            .read_dir()
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("sock"));
        assert_eq!(left.count(), 0);
        assert!(!Path::new(&format!("/proc/{}", processes[1])).exists(), "the sidecar outlived its front end");
    }
}
