//! Streams of events, cut anywhere: the same events as uncut, and no panic in what reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loadgen::serving::reply::{Reader, Reply};
use loadgen::serving::sse::{Event, EventStream};
use server_api::Api;

fuzz_target!(|input: (Vec<u8>, Vec<u16>)| {
    let (bytes, cuts) = input;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut).min(bytes.len())).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
    assert_eq!(events(&parts), events(&[&bytes]));
    for api in Api::ALL {
        let (mut reader, mut reply) = (Reader::new(api), Reply { streamed: true, ..Reply::default() });
        if parts.iter().any(|part| reader.feed(part, &mut reply, 1, true).is_err()) {
            return;
        }
        reader.finish(&mut reply, 2, true);
        let _ = reply.judge(true);
        Reply::default().take_body(api, &bytes, 1, true);
    }
});

fn events(parts: &[&[u8]]) -> Vec<(Vec<u8>, bool)> {
    let (mut stream, mut found) = (EventStream::new(), Vec::new());
    let mut on = |event: Event<'_>| found.push((event.data.to_vec(), event.is_error));
    for part in parts {
        if stream.feed(part, &mut on).is_err() {
            break;
        }
    }
    stream.finish(&mut on);
    found
}
