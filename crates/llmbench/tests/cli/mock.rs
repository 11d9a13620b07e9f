//! `llmbench mock`: a server that starts, serves and ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::shell::{Shell, code};

fn start(shell: &Shell, args: &[&str]) -> (Child, String) {
    let mut child = shell.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim_end().to_owned())
}

#[test]
fn it_tells_its_endpoint_serves_and_ends_when_asked() {
    let shell = Shell::new();
    for signal in [Signal::INT, Signal::TERM] {
        let (child, endpoint) = start(&shell, &["mock", "--port", "0", "--model", "m", "--step-ms", "1"]);
        let address = endpoint.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let body = r#"{"model":"m","prompt":"a b","max_tokens":2}"#;
        write!(
            stream,
            "POST /v1/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"completion_tokens\":2"), "{answer}");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_unix_socket_is_removed_at_the_end() {
    let shell = Shell::new();
    let (child, endpoint) = start(&shell, &["mock", "--unix", "m.sock"]);
    assert_eq!(endpoint, "unix:m.sock");
    assert!(shell.path("m.sock").exists());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
    assert!(!shell.path("m.sock").exists());
}

/// The limit of open files is reached: clients wait, and nothing ends.
#[test]
fn more_clients_than_files() {
    let shell = Shell::new();
    let script = format!("ulimit -n 40 && exec {} mock --port 0 --step-ms 1", env!("CARGO_BIN_EXE_llmbench"));
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", &script]).env("HOME", shell.path("home")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("http://").unwrap();
    let mut streams: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(address).unwrap()).collect();
    let health = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
        let mut bytes = [0; 1000];
        let count = stream.read(&mut bytes).unwrap();
        assert!(bytes[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes[..count]));
    };
    health(&mut streams[0]);
    // Most leave, and the last gets its turn.
    streams.drain(..70);
    health(streams.last_mut().unwrap());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
}

#[test]
fn what_cannot_be_served_is_said_in_a_sentence() {
    let shell = Shell::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (args, part) in [
        (&["--port", port.as_str()][..], "choose another"),
        (&["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:8000"),
        (&["--unix", "missing/m.sock"], "cannot listen on unix:missing/m.sock"),
        (&["--api-key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY"),
        (&["--fault", "nonsense", "--fault-probability", "1"], "no fault"),
        (&["--fault", "reset"], "--fault-probability"),
        (&["--step-ms=-1"], "from 0 to an hour"),
        (&["--max-num-seqs", "0"], "from 1 on"),
        (&["--max-model-len", "1"], "2 to 4294967295"),
        (&["--io-threads", "1000"], "1 to 256"),
        (&["--num-kv-blocks", "99999999999"], "too large"),
        (&["--tokenizer", "./missing"], "missing"),
    ] {
        let output = shell.output(&[&["mock"], args].concat());
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(code(&output), 2, "{args:?}: {text}");
        assert!(text.starts_with("llmbench: ") && text.contains(part), "{args:?}: {text}");
    }
}
