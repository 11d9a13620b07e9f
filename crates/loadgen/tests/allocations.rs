//! What a chunk costs: no memory is asked for on its way from the socket to its stamp, over either version of HTTP.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use loadgen::clock::{now_ns, thread_cpu_ns};
use loadgen::serving::target::{HttpVersion, Target};
use loadgen::transport::{Event, Protocol, Sockets, Transport};

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; counting touches no memory but a cell of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no cell any more.
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
        // SAFETY: by this function's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by this function's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
        // SAFETY: by this function's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const SECOND: u64 = 1_000_000_000;
const TOKEN: &str = "data: {\"id\":\"chatcmpl-0123456789\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"tiny\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Answers each request with so many tokens, some to a write.
fn serve(mut stream: TcpStream, version: HttpVersion, tokens: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut seen, mut buffer, mut number) = (Vec::new(), [0; 4096], 1);
    if version == HttpVersion::Http2 {
        stream.write_all(&frame(4, 0, 0, b""))?;
    }
    loop {
        // Both end their request with these bytes, which are the body.
        while !seen.ends_with(b"{\"stream\":true}") {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            seen.extend_from_slice(&buffer[..length]);
        }
        seen.clear();
        let (head, part, last) = if version == HttpVersion::Http2 {
            let fields = [&[0x88, 0x0f, 0x10, 17][..], b"text/event-stream"].concat();
            let last = frame(0, 1, number, LAST.as_bytes());
            (frame(1, 4, number, &fields), frame(0, 0, number, TOKEN.as_bytes()), last)
        } else {
            let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            (head.into(), chunk(TOKEN).into(), (chunk(LAST) + "0\r\n\r\n").into())
        };
        number += 2;
        stream.write_all(&head)?;
        let some = part.repeat(5);
        for _ in 0..tokens / 5 {
            stream.write_all(&some)?;
        }
        stream.write_all(&last)?;
    }
}

/// Of one answer, after another one: allocations, chunks and CPU time, ns.
fn cost(version: HttpVersion, tokens: usize) -> (u64, u64, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap()).parse::<Target>().unwrap().spoken(version);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // The client ends the connection.
            let _ = serve(stream, version, tokens);
        }
    });
    let protocol = Protocol::post(&target, server_api::OPENAI_CHAT, None);
    let mut transport = Sockets::to_server(&target, protocol, SECOND).unwrap();
    transport.open(1).unwrap();
    let (mut events, mut found) = (Vec::with_capacity(64), (0, 0, 0));
    for id in 0..2 {
        transport.submit(id, b"{\"stream\":true}").unwrap();
        let (asked, cpu_ns, deadline) = (ASKED.get(), thread_cpu_ns(), now_ns() + 30 * SECOND);
        let reply = loop {
            assert!(now_ns() < deadline, "no answer");
            transport.wait(deadline, &mut events).unwrap();
            if let Some(Event::Done { answer, reply, .. }) = events.pop() {
                answer.unwrap();
                break reply.unwrap();
            }
        };
        found = (ASKED.get() - asked, u64::from(reply.chunks), thread_cpu_ns() - cpu_ns);
    }
    found
}

#[test]
fn a_chunk_asks_for_no_memory() {
    for version in HttpVersion::ALL {
        let (few, many) = (cost(version, 1_000), cost(version, 50_000));
        assert_eq!((few.1, many.1), (1_000, 50_000));
        // The list of gaps doubles now and then.
        assert!(many.0 - few.0 < 50, "HTTP/{version}: {few:?} {many:?}");
        let per_chunk = many.2 / many.1;
        println!("HTTP/{version}: {per_chunk} ns of CPU a chunk, waits and reads included");
    }
}
