use super::super::hpack::put_field;
use super::frame::{MOST_WINDOW, number};
use super::*;
use crate::serving::target::{HttpVersion, Target};
use proptest::prelude::*;

fn protocol() -> Protocol {
    let target = "http://localhost:1/api".parse::<Target>().unwrap().spoken(HttpVersion::Http2);
    Protocol::post(&target, server_api::OPENAI_CHAT, Some("sk-1"))
}

fn client() -> Http2 {
    Http2::new(Arc::new(protocol()), Limit::default())
}

/// A frame as a server writes it.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_head(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_settings(&mut out, settings);
    out
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    fields.iter().for_each(|(name, value)| put_field(&mut block, name, value.as_bytes(), false));
    block
}

fn head(stream: u32) -> Vec<u8> {
    let block = block(&[(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")]);
    frame(kind::HEADERS, flag::END_HEADERS, stream, &block)
}

fn data(stream: u32, text: &str) -> Vec<u8> {
    frame(kind::DATA, 0, stream, text.as_bytes())
}

fn last(stream: u32) -> Vec<u8> {
    let end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    frame(kind::DATA, flag::END_STREAM, stream, end.as_bytes())
}

fn token(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

/// A frame that a client wrote: kind, flags, stream, payload.
type Written = (u8, u8, u32, Vec<u8>);

/// What a client wrote, frame by frame.
fn written(mut bytes: &[u8]) -> Vec<Written> {
    let mut found = Vec::new();
    bytes = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    while let Some(head) = FrameHead::read(bytes) {
        found.push((head.kind, head.flags, head.stream, bytes[HEAD..HEAD + head.length].to_vec()));
        bytes = &bytes[HEAD + head.length..];
    }
    assert!(bytes.is_empty());
    found
}

fn drain(client: &mut Http2) -> (Vec<Written>, Vec<u64>) {
    let (mut bytes, mut whole) = (Vec::new(), Vec::new());
    client.output(&mut bytes, &mut whole);
    (written(&bytes), whole)
}

/// A client whose server has said `settings`, with requests 10, 11, … on streams 1, 3, …
fn talking(settings_of_server: &[(u16, u32)], requests: u64) -> Http2 {
    let mut client = client();
    client.decode(&settings(settings_of_server), 1, &mut Vec::new()).unwrap();
    for number in 0..requests {
        client.begin(10 + number, b"{}", &mut Vec::new());
    }
    drain(&mut client);
    client
}

/// Feeds parts at times 1, 2, … as a connection does: what was not used comes again.
fn feed(client: &mut Http2, parts: &[&[u8]]) -> Result<Vec<Decoded>, Failure> {
    let (mut decoded, mut left) = (Vec::new(), Vec::new());
    for (index, part) in parts.iter().enumerate() {
        left.extend_from_slice(part);
        let used = client.decode(&left, index as u64 + 1, &mut decoded)?;
        left.drain(..used);
    }
    Ok(decoded)
}

fn class(one: &Decoded) -> Option<ErrorClass> {
    one.answer.as_ref().err().map(|failure| failure.class)
}

#[test]
fn what_a_client_says() {
    let mut client = client();
    let mut early = Vec::new();
    assert_eq!((client.begin(7, b"{}", &mut early), early.len(), client.is_ready()), (Rest::Held, 0, false));
    let mut first = Vec::new();
    client.output(&mut first, &mut Vec::new());
    assert!(first.starts_with(PREFACE));
    let frames = written(&first);
    assert_eq!(frames.iter().map(|frame| frame.0).collect::<Vec<_>>(), [kind::SETTINGS, kind::WINDOW_UPDATE]);
    client.decode(&settings(&[(setting::MAX_CONCURRENT_STREAMS, 5)]), 1, &mut Vec::new()).unwrap();
    assert_eq!((client.at_once(), client.is_ready()), (5, true));
    let (frames, whole) = drain(&mut client);
    assert_eq!(whole, [7]);
    let kinds: Vec<_> = frames.iter().map(|(kind, flags, stream, _)| (*kind, *flags, *stream)).collect();
    let body = (kind::DATA, flag::END_STREAM, 1);
    assert_eq!(kinds, [(kind::SETTINGS, flag::ACK, 0), (kind::HEADERS, flag::END_HEADERS, 1), body]);
    assert_eq!(frames[2].3, b"{}");
    let mut fields = Vec::new();
    let read = Decoder::new().decode(&frames[1].3, &mut |name, value| {
        fields.push(format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    });
    read.unwrap();
    assert_eq!(
        fields[..4],
        [":method: POST", ":scheme: http", ":authority: localhost:1", ":path: /api/v1/chat/completions"]
    );
    assert!(fields.contains(&"authorization: Bearer sk-1".to_owned()), "{fields:?}");
    assert_eq!(fields.last().unwrap(), "content-length: 2");
}

#[test]
fn pages_are_fetched_without_a_body() {
    let target = "http://localhost:1".parse::<Target>().unwrap().spoken(HttpVersion::Http2);
    let mut client = Http2::new(Arc::new(Protocol::get(&target, "/metrics", None)), Limit::default());
    client.decode(&settings(&[]), 1, &mut Vec::new()).unwrap();
    let mut out = Vec::new();
    assert_eq!(client.begin(1, b"", &mut out), Rest::Nothing);
    assert_eq!(written(&out)[0].1, flag::END_STREAM | flag::END_HEADERS);
    let head = frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&[(":status", "404"), ("content-length", "4")]));
    let decoded = feed(&mut client, &[&head, &frame(kind::DATA, flag::END_STREAM, 1, b"none")]).unwrap();
    let reply = decoded[0].reply.as_ref().unwrap();
    assert_eq!((reply.status, decoded[0].answer.as_ref().unwrap().content.as_deref()), (404, Some(&b"none"[..])));
    assert!(!client.is_reusable(), "a page is fetched on a connection of its own");
}

#[test]
fn streams_side_by_side_with_their_stamps() {
    let mut client = talking(&[], 2);
    let both = [head(1), head(3)].concat();
    let (cut, rest) = both.split_at(HEAD + 2);
    let mixed = [data(3, &token("b")), data(1, &token("a")), last(3)].concat();
    let decoded = feed(&mut client, &[cut, rest, &data(1, &token("a")), &mixed, &last(1)]).unwrap();
    assert_eq!(decoded.iter().map(|one| one.id).collect::<Vec<_>>(), [11, 10]);
    assert!(decoded.iter().all(|one| one.answer.is_ok()));
    let stamps = |one: &Decoded| {
        let reply = one.reply.as_ref().unwrap();
        (reply.first_byte_ns, reply.first_token_ns, reply.last_token_ns, reply.chunks)
    };
    // The first byte of stream 1 was in the first part.
    assert_eq!((stamps(&decoded[1]), stamps(&decoded[0])), ((1, 3, 4, 2), (2, 4, 4, 1)));
}

#[test]
fn a_chunk_is_taken_before_its_frame_is_whole() {
    let mut client = talking(&[], 1);
    let long = data(1, &(token("a") + &token("b")));
    let (front, back) = long.split_at(HEAD + token("a").len());
    let decoded = feed(&mut client, &[&head(1), front, back, &last(1)]).unwrap();
    let reply = decoded[0].reply.as_ref().unwrap();
    assert_eq!((reply.first_token_ns, reply.last_token_ns), (2, 3));
}

#[test]
fn interim_answers_trailers_padding_and_pieces_of_heads() {
    let mut client = talking(&[], 1);
    let hints = frame(kind::HEADERS, flag::END_HEADERS, 1, &block(&[(":status", "103"), ("link", "</a>")]));
    let fields = block(&[(":status", "200"), ("content-type", "text/event-stream")]);
    let mut padded = vec![3];
    padded.extend_from_slice(&[0, 0, 0, 0, 16]);
    padded.extend_from_slice(&fields[..4]);
    padded.extend_from_slice(&[0; 3]);
    let first = frame(kind::HEADERS, flag::PADDED | flag::PRIORITY, 1, &padded);
    let second = frame(kind::CONTINUATION, 0, 1, &fields[4..6]);
    let third = frame(kind::CONTINUATION, flag::END_HEADERS, 1, &fields[6..]);
    let body = frame(kind::DATA, flag::PADDED, 1, &[&[5], token("a").as_bytes(), &[0; 5]].concat());
    let empty = frame(kind::DATA, flag::PADDED, 1, &[0]);
    let end = data(1, "data: [DONE]\n\n");
    let trailers = frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block(&[("x-cost", "1")]));
    let unknown = frame(0x42, 0xff, 1, b"?");
    let all = [hints, first, second, third, body, empty, unknown, end, trailers].concat();
    let decoded = feed(&mut client, &[&all]).unwrap();
    assert_eq!((decoded.len(), decoded[0].reply.as_ref().unwrap().chunks), (1, 1));
    assert!(decoded[0].answer.is_ok(), "{:?}", decoded[0].answer);
}

#[test]
fn no_more_streams_than_the_server_lets() {
    let mut client = talking(&[(setting::MAX_CONCURRENT_STREAMS, 2)], 4);
    assert_eq!((client.streams.len(), client.waiting.len(), client.at_once()), (2, 2, 2));
    feed(&mut client, &[&head(1), &last(1)]).unwrap();
    let (frames, whole) = drain(&mut client);
    assert_eq!((frames[0].2, whole.as_slice(), client.waiting.len()), (5, &[12][..], 1));
    // One that is given up makes room too.
    client.partial(11);
    let (frames, whole) = drain(&mut client);
    assert_eq!((frames[0].0, frames[0].2, frames[1].2, whole.as_slice()), (kind::RST_STREAM, 3, 7, &[13][..]));
    assert!(feed(&mut client, &[&head(3), &data(3, "late"), &last(3)]).unwrap().is_empty(), "and is over");
    // What another connection said holds for the next one until its server speaks.
    let mut other = Http2::new(Arc::new(protocol()), client.known.clone());
    assert_eq!(other.at_once(), 2);
    other.decode(&settings(&[]), 1, &mut Vec::new()).unwrap();
    assert_eq!(other.at_once(), usize::MAX);
}

#[test]
fn settings_and_pings_are_acknowledged() {
    let mut client = talking(&[], 0);
    let more = [settings(&[(99, 1), (setting::MAX_FRAME_SIZE, 20_000)]), frame(kind::PING, 0, 0, b"12345678")].concat();
    feed(
        &mut client,
        &[&more, &frame(kind::PING, flag::ACK, 0, b"87654321"), &frame(kind::SETTINGS, flag::ACK, 0, b"")],
    )
    .unwrap();
    let (frames, _) = drain(&mut client);
    assert_eq!(frames, [(kind::SETTINGS, 1, 0, vec![]), (kind::PING, 1, 0, b"12345678".to_vec())]);
    assert_eq!(client.outgoing.most(), 20_000);
}

#[test]
fn the_server_never_waits_for_a_window() {
    let mut client = talking(&[], 1);
    feed(&mut client, &[&head(1)]).unwrap();
    let part = frame(kind::DATA, 0, 1, &[b' '; MOST_PAYLOAD]);
    let (mut of_stream, mut of_connection) = (STREAM_WINDOW, CONNECTION_WINDOW);
    for _ in 0..(CONNECTION_WINDOW / MOST_PAYLOAD as i64 / 2 + 10) {
        feed(&mut client, &[&part]).unwrap();
        (of_stream, of_connection) = (of_stream - MOST_PAYLOAD as i64, of_connection - MOST_PAYLOAD as i64);
        for (kind, _, stream, payload) in drain(&mut client).0 {
            // The text is endless and without a line, which ends this stream; windows of the connection stay in order.
            if kind == kind::RST_STREAM {
                continue;
            }
            let more = i64::from(number(payload.try_into().unwrap()));
            let window = if stream == 0 { &mut of_connection } else { &mut of_stream };
            *window += more;
        }
        assert!((CONNECTION_WINDOW / 2..=MOST_WINDOW).contains(&of_connection));
        assert!(client.streams.is_empty() || of_stream >= STREAM_WINDOW / 2);
    }
    assert!(client.streams.is_empty(), "an event of any length is refused");
}

#[test]
fn large_bodies_wait_for_the_server() {
    let mut client = talking(&[(setting::INITIAL_WINDOW_SIZE, 10)], 0);
    let mut out = Vec::new();
    assert_eq!(client.begin(1, &[b'a'; 25], &mut out), Rest::Held);
    assert_eq!(written(&out)[1].3.len(), 10);
    feed(&mut client, &[&frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 8])]).unwrap();
    let (frames, whole) = drain(&mut client);
    assert_eq!((frames[0].3.len(), frames[0].1, whole.len()), (8, 0, 0));
    // An answer that comes before the request is whole ends the request.
    let decoded = feed(&mut client, &[&head(1), &data(1, &token("a")), &last(1)]).unwrap();
    assert!(decoded[0].answer.is_ok());
    let (frames, whole) = drain(&mut client);
    assert_eq!((frames[0].0, frames[0].2, whole.len()), (kind::RST_STREAM, 1, 0));
}

#[test]
fn resets_have_their_code() {
    let reset = |code: u32| frame(kind::RST_STREAM, 0, 1, &code.to_be_bytes());
    let of = |before: &[u8], code: u32| feed(&mut talking(&[], 1), &[before, &reset(code)]).unwrap().remove(0);
    let message = |one: &Decoded| one.answer.as_ref().unwrap_err().message.clone();
    let none = of(b"", 2);
    assert_eq!(class(&none), Some(ErrorClass::Reset));
    assert!(message(&none).contains("INTERNAL_ERROR"), "{}", message(&none));
    assert_eq!(class(&of(b"", code::REFUSED_STREAM)), Some(ErrorClass::Draining));
    let begun = [head(1), data(1, &token("a"))].concat();
    let short = of(&begun, 11);
    assert_eq!(class(&short), Some(ErrorClass::ShortBody));
    assert!(message(&short).contains("ENHANCE_YOUR_CALM") && short.reply.unwrap().chunks == 1);
    let said = [begun, data(1, "data: [DONE]\n\n")].concat();
    assert_eq!(class(&of(&said, code::CANCEL)), None, "it had said its last word");
    assert!(message(&of(b"", 77)).contains("code 77"));
}

#[test]
fn goodbyes() {
    let mut client = talking(&[(setting::MAX_CONCURRENT_STREAMS, 3)], 4);
    let goodbye = |last: u32, code: u32, text: &str| {
        frame(kind::GOAWAY, 0, 0, &[&last.to_be_bytes(), &code.to_be_bytes(), text.as_bytes()].concat())
    };
    let decoded = feed(&mut client, &[&goodbye(1, code::NO_ERROR, "")]).unwrap();
    assert_eq!(decoded.iter().map(|one| one.id).collect::<Vec<_>>(), [11, 12, 13]);
    assert!(decoded.iter().all(|one| class(one) == Some(ErrorClass::Draining)), "{decoded:?}");
    assert!(!client.is_reusable());
    // The one that was taken is answered.
    let decoded = feed(&mut client, &[&head(1), &data(1, &token("a")), &last(1)]).unwrap();
    assert!(decoded[0].answer.is_ok());
    let mut client = talking(&[], 3);
    feed(&mut client, &[&head(1), &goodbye(LAST_STREAM, 11, "too_many_pings")]).unwrap();
    let mut decoded = feed(&mut client, &[&goodbye(3, 11, "too_many_pings")]).unwrap();
    assert_eq!((decoded.len(), class(&decoded[0])), (1, Some(ErrorClass::Reset)));
    assert_eq!(client.end(&mut decoded), None);
    let failures: Vec<_> = decoded.iter().map(|one| one.answer.as_ref().unwrap_err()).collect();
    assert_eq!(
        failures.iter().map(|one| one.class).collect::<Vec<_>>()[1..],
        [ErrorClass::ShortBody, ErrorClass::Reset]
    );
    assert!(failures.iter().all(|one| one.message.contains("ENHANCE_YOUR_CALM: too_many_pings")), "{failures:?}");
}

#[test]
fn ends_of_connections() {
    let mut client = talking(&[], 3);
    let done = [head(1), data(1, &token("a")), data(1, "data: [DONE]\n\n"), head(3), data(3, &token("b"))].concat();
    let mut decoded = feed(&mut client, &[&done]).unwrap();
    assert!(decoded.is_empty());
    client.end(&mut decoded);
    // Of the third nothing came: what ended the connection says why.
    assert_eq!(decoded.iter().map(class).collect::<Vec<_>>(), [None, Some(ErrorClass::ShortBody)]);
    assert!(client.partial(12).is_some());
}

#[test]
fn refusals_and_bad_answers_end_only_their_stream() {
    let mut client = talking(&[], 5);
    let busy = block(&[(":status", "429"), ("retry-after", "3")]);
    let parts = [
        frame(kind::HEADERS, flag::END_HEADERS, 1, &busy),
        frame(kind::DATA, flag::END_STREAM, 1, b"{\"error\":\"full\"}"),
        data(3, "a body without a head"),
        frame(kind::HEADERS, flag::END_HEADERS, 5, &block(&[("server", "x")])),
        [head(7), head(7)].concat(),
        frame(kind::HEADERS, flag::END_HEADERS, 9, &block(&[(":status", "200"), ("content-length", "9")])),
        frame(kind::DATA, flag::END_STREAM, 9, b"short"),
    ];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let decoded = feed(&mut client, &parts).unwrap();
    let classes: Vec<_> = decoded.iter().filter_map(class).collect();
    let bad = ErrorClass::Protocol;
    assert_eq!(classes, [ErrorClass::RateLimited, bad, bad, bad, ErrorClass::ShortBody]);
    assert_eq!(decoded[0].answer.as_ref().unwrap_err().message, "HTTP status 429 (Retry-After: 3): full");
    let resets = drain(&mut client).0.iter().filter(|frame| frame.0 == kind::RST_STREAM).count();
    assert_eq!((resets, client.is_reusable()), (3, true));
}

#[test]
fn what_is_not_http2_is_named() {
    let said = |bytes: &[u8]| client().decode(bytes, 1, &mut Vec::new()).unwrap_err().message;
    assert_eq!(said(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the server answered `HTTP/1.1 400 Bad Request`");
    assert!(said(b"SSH-2.0-OpenSSH\r\n").contains("none of HTTP/2"));
    assert!(said(&frame(kind::PING, 0, 0, b"12345678")).contains("none of HTTP/2"));
    assert_eq!(client().decode(b"HTT", 1, &mut Vec::new()), Ok(0), "not enough to tell");
}

#[test]
fn connections_that_break_the_rules_are_given_up() {
    let bad = |bytes: &[u8]| feed(&mut talking(&[], 1), &[bytes]).unwrap_err();
    let unread = frame(kind::HEADERS, flag::END_HEADERS, 1, &[0x80]);
    for bytes in [
        frame(kind::PUSH_PROMISE, 0, 1, b"1234"),
        frame(kind::SETTINGS, 0, 0, b"12345"),
        frame(kind::SETTINGS, 0, 1, b""),
        settings(&[(setting::MAX_FRAME_SIZE, 5)]),
        settings(&[(setting::INITIAL_WINDOW_SIZE, u32::MAX)]),
        frame(kind::PING, 0, 0, b"1"),
        frame(kind::GOAWAY, 0, 0, b"1234567"),
        frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
        [frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f; 4])]
            .concat(),
        frame(kind::CONTINUATION, 0, 1, b""),
        [frame(kind::HEADERS, 0, 1, b""), data(1, "x")].concat(),
        frame(kind::RST_STREAM, 0, 1, b"123"),
        frame(kind::RST_STREAM, 0, 2, b"1234"),
        head(3),
        data(0, "x"),
        frame(kind::DATA, flag::PADDED, 1, b""),
        frame(kind::DATA, flag::PADDED, 1, &[9, 1]),
        frame(kind::DATA, 0, 1, &[0; MOST_PAYLOAD + 1]),
        unread,
    ] {
        let failure = bad(&bytes);
        assert_eq!(failure.class, ErrorClass::Protocol, "{bytes:x?}");
        assert!(failure.message.starts_with("the server broke the rules of HTTP/2: "), "{failure}");
    }
    let mut endless = frame(kind::HEADERS, 0, 1, &[0; MOST_PAYLOAD]);
    (0..5).for_each(|_| endless.extend(frame(kind::CONTINUATION, 0, 1, &[0; MOST_PAYLOAD])));
    assert!(bad(&endless).message.contains("does not end"));
}

#[test]
fn the_last_number_of_a_stream_ends_the_connection() {
    let mut client = talking(&[], 0);
    client.next_stream = LAST_STREAM;
    assert!(client.is_reusable());
    client.begin(1, b"{}", &mut Vec::new());
    assert!(!client.is_reusable());
}

/// A long head goes out in pieces.
#[test]
fn long_heads_are_continued() {
    let target = format!("http://h/{}", "a".repeat(40_000)).parse::<Target>().unwrap().spoken(HttpVersion::Http2);
    let mut client = Http2::new(Arc::new(Protocol::post(&target, server_api::OPENAI_CHAT, None)), Limit::default());
    client.decode(&settings(&[]), 1, &mut Vec::new()).unwrap();
    let mut out = Vec::new();
    client.begin(1, b"{}", &mut out);
    let kinds: Vec<_> = written(&out).iter().map(|frame| (frame.0, frame.1)).collect();
    let more = (kind::CONTINUATION, 0);
    assert_eq!(kinds, [(1, 0), more, (kind::CONTINUATION, flag::END_HEADERS), (kind::DATA, flag::END_STREAM)]);
}

/// A server's side of a connection with three streams and everything between them.
fn conversation() -> Vec<u8> {
    let split = block(&[(":status", "200"), ("content-type", "text/event-stream"), ("x-long", &"y".repeat(90))]);
    [
        frame(kind::SETTINGS, flag::ACK, 0, b""),
        head(1),
        frame(kind::WINDOW_UPDATE, 0, 5, &[0, 0, 0, 9]),
        frame(kind::HEADERS, 0, 3, &split[..30]),
        frame(kind::CONTINUATION, flag::END_HEADERS, 3, &split[30..]),
        data(1, &token("ä")),
        frame(kind::PING, 0, 0, b"12345678"),
        frame(kind::DATA, flag::PADDED, 3, &[&[7], token("b").as_bytes(), &[0; 7]].concat()),
        frame(kind::DATA, 0, 1, b""),
        last(3),
        frame(0x20, 0, 0, b"unknown"),
        frame(kind::RST_STREAM, 0, 5, &2_u32.to_be_bytes()),
        data(1, "data: [DONE]\r\r"),
        frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 1, &block(&[("x-end", "1")])),
        frame(kind::GOAWAY, 0, 0, &[0; 8]),
    ]
    .concat()
}

/// An answer without stamps: its request, how it failed, and its chunks.
type Answered = (u64, Option<ErrorClass>, u32);

/// Everything that a client makes of a conversation: answers without stamps, and its own frames but for those of bodies, which go
/// out where a window is open between two reads.
fn outcome(parts: &[&[u8]]) -> (Vec<Answered>, Vec<Written>) {
    let mut client = talking(&[(setting::MAX_CONCURRENT_STREAMS, 3), (setting::INITIAL_WINDOW_SIZE, 4)], 0);
    for number in 0..3 {
        client.begin(10 + number, b"{\"a\":1}", &mut Vec::new());
    }
    let decoded = feed(&mut client, parts).unwrap();
    let answers = decoded.iter().map(|one| (one.id, class(one), one.reply.as_ref().unwrap().chunks)).collect();
    let mut frames = drain(&mut client).0;
    frames.retain(|frame| frame.0 != kind::DATA && frame.0 != kind::RST_STREAM);
    (answers, frames)
}

/// Runs of frames that look real enough to go deep.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => (0_u8..10, any::<u8>(), 0_u32..9, prop::collection::vec(any::<u8>(), 0..24))
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
        1 => prop::sample::select(vec![head(1), head(3), last(1), last(3), data(1, "data: {}\n\n"), settings(&[(3, 1)])]),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn cuts_do_not_matter(mut cuts in prop::collection::vec(0_usize..1200, 0..12)) {
        let bytes = conversation();
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(bytes.len()));
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let whole = outcome(&[&bytes]);
        prop_assert_eq!(&whole.0, &[(11, None, 1), (12, Some(ErrorClass::Reset), 0), (10, None, 1)]);
        prop_assert_eq!(outcome(&parts), whole);
    }

    #[test]
    fn no_bytes_break_it(bytes in frames(), cut in 0_usize..200, greeted in any::<bool>()) {
        let mut client = if greeted { talking(&[(setting::INITIAL_WINDOW_SIZE, 1)], 3) } else { client() };
        let cut = cut.min(bytes.len());
        if let Ok(mut decoded) = feed(&mut client, &[&bytes[..cut], &bytes[cut..]]) {
            client.end(&mut decoded);
            let mut ids: Vec<u64> = decoded.iter().map(|one| one.id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), decoded.len(), "one end a request");
            prop_assert!(ids.iter().all(|id| (10..13).contains(id)));
        }
        let _ = client.partial(10);
    }
}
