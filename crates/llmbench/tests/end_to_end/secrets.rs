//! A token in the environment reaches the hub and nothing else. (Every run of [`super::world`] is searched for it too.)

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use super::shell::{Shell, code};
use super::world::{TOKEN, files_below};

/// All that a command line left: its exit code, both streams, and every file that it wrote.
fn left_by(args: &[&str], endpoint: &str) -> (i32, String) {
    let shell = Shell::new();
    let output = shell
        .command(args)
        .env("HF_TOKEN", TOKEN)
        .env("HF_ENDPOINT", endpoint)
        .env("LLMBENCH_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap();
    for (path, bytes) in files_below(&shell.path("")) {
        let shown = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
        assert!(!shown, "{args:?} wrote the token to {}", path.display());
    }
    (code(&output), text)
}

/// A hub that refuses everything; gives back what it was asked.
fn refusing_hub() -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut heard = Vec::new();
        // The test ends the conversation with a line of its own.
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty() && line != "end").collect();
            if request.is_empty() {
                break;
            }
            heard.extend(request);
            let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
        heard
    });
    (endpoint, server)
}

#[test]
fn no_verb_and_no_error_shows_the_token() {
    let (endpoint, server) = refusing_hub();
    let gated = ["run", "preprocessing", "--quick", "--model", "org/gated"];
    let verbose: Vec<&str> = ["-vv"].into_iter().chain(gated).collect();
    let cases: [(&[&str], i32); 8] = [
        (&["doctor"], 0),
        (&["doctor", "--json"], 0),
        (&["list"], 0),
        (&["run", "preprocessing", "--quick", "--dry-run"], 0),
        (&gated, 2),
        (&verbose, 2),
        (&["run", "preprocessing", "--model", "no/such/folder"], 2),
        (&["report", "nowhere"], 2),
    ];
    for (args, exit) in cases {
        let (code, text) = left_by(args, &endpoint);
        assert_eq!(code, exit, "{args:?}: {text}");
        assert!(!text.is_empty() && !text.contains(TOKEN), "{args:?} shows the token: {text}");
    }
    let mut goodbye = std::net::TcpStream::connect(endpoint.trim_start_matches("http://")).unwrap();
    goodbye.write_all(b"end\r\n").unwrap();
    let heard = server.join().unwrap();
    assert!(heard.iter().any(|line| line.ends_with(&format!("Bearer {TOKEN}"))), "the hub was not asked: {heard:?}");
}
