//! Events and answers are JSON, whatever is in them, and the reader of their API reads them.

use serde_json::{Value, json};

use super::*;
use crate::{OPENAI_CHAT, SGLANG_INCREMENTAL};

/// Words of five bytes.
struct Numbered;

impl Words for Numbered {
    fn word(&self, index: u32) -> &str {
        [" able", " back", " ball", " bank", " base"][index as usize % 5]
    }

    fn id(&self, index: u32) -> u32 {
        100 + index
    }
}

pub(crate) fn choice() -> Choice<'static> {
    Choice {
        index: 0,
        words: &Numbered,
        prompt_tokens: 30,
        cached: 16,
        reasoning: 2,
        ending: Ending::Length,
        produced: 4,
        sent: 4,
    }
}

fn text(range: Range<u32>) -> String {
    range.map(|index| Numbered.word(index)).collect()
}

/// The data of the events.
fn events(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    let each = text.strip_suffix("\n\n").unwrap().split("\n\n").map(|event| {
        let (name, data) = match event.split_once('\n') {
            Some((name, data)) => (name.strip_prefix("event: "), data),
            None => (None, event),
        };
        let json: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        // A field `event` says again what the data is.
        assert_eq!(json["type"].as_str().filter(|_| name.is_some()), name, "{event}");
        json
    });
    each.collect()
}

#[test]
fn every_event_is_json_and_keeps_its_stamp() {
    for api in Api::ALL {
        let mut voice = Voice::new(api, "r-1", "a \"model\"", 1_700_000_000);
        for written_ns in [0, 7, 1_234_567_890_123, u64::MAX] {
            for index in 0..6 {
                let (mut out, choice) = (Vec::new(), choice());
                let usage = Tokens::of([choice], 1);
                let at = match index {
                    0 => voice.content(&choice, 0..1, false, None, index, &mut out),
                    1 => voice.content(&choice, 2..4, true, Some(&usage), index, &mut out),
                    2 => voice.ending(&choice, Some(&usage), index, &mut out),
                    3 => match voice.usage(&usage, index, &mut out) {
                        Some(at) => at,
                        None => continue,
                    },
                    _ => voice.content(&choice, 3..4, index == 4, None, index, &mut out),
                };
                stamp(&mut out, at, written_ns);
                let events = events(&out);
                let json = events.last().unwrap();
                assert_eq!(json["llmbench"]["written_ns"].as_u64(), Some(written_ns), "{api:?}");
                assert_eq!(json["llmbench"]["index"], index);
            }
        }
    }
}

#[test]
fn reasoning_ends_within_a_chunk() {
    let mut voice = Voice::new(OPENAI_CHAT, "r", "m", 0);
    let mut delta = |range: Range<u32>| {
        let mut out = Vec::new();
        let at = voice.content(&choice(), range, false, None, 0, &mut out);
        stamp(&mut out, at, 0);
        events(&out)[0]["choices"][0]["delta"].clone()
    };
    assert_eq!(delta(0..1), json!({"reasoning_content": text(0..1)}));
    assert_eq!(delta(1..3), json!({"reasoning_content": text(1..2), "content": text(2..3)}));
    assert_eq!(delta(2..4), json!({"content": text(2..4)}));
}

#[test]
fn whole_answers() {
    for api in Api::ALL {
        let mut voice = Voice::new(api, "r", "m", 0);
        let mut choices = vec![choice()];
        let mut whole = |choices: &[Choice<'_>], choices_a_prompt| {
            let (mut out, mut stamps) = (Vec::new(), Vec::new());
            let usage = Tokens::of(choices.iter().copied(), choices_a_prompt);
            voice.whole(choices, Some(&usage), &mut out, &mut stamps);
            for at in stamps {
                stamp(&mut out, at, 99);
            }
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        let one = whole(&choices, 1);
        assert_eq!(one["llmbench"]["written_ns"], 99);
        choices.push(Choice { index: 1, ..choice() });
        let two = whole(&choices, 2);
        if two["choices"].is_array() {
            assert_eq!(two["choices"][1]["index"], 1);
            assert_eq!(two["usage"]["prompt_tokens"], 30, "two choices of one prompt");
            assert_eq!(two["usage"]["completion_tokens"], 8);
        } else if two.is_array() {
            assert_eq!((&two[1]["index"], &two[1]["llmbench"]["written_ns"]), (&json!(1), &json!(99)));
        }
    }
}

/// What a client reads of a stream as a server writes it: text, reasoning, tokens, and that it is complete.
#[test]
fn readers_read_what_writers_write() {
    for api in Api::ALL.into_iter().filter(|api| *api != SGLANG_INCREMENTAL) {
        let (mut voice, mut out) = (Voice::new(api, "r", "m", 0), Vec::new());
        let mut choice = Choice { sent: 0, ..choice() };
        voice.begin(&choice, &mut out);
        for index in 0..4 {
            choice.sent = index;
            let last = index == 3 && !voice.ends_apart();
            let at = voice.content(&choice, index..index + 1, last, None, index, &mut out);
            stamp(&mut out, at, 9);
        }
        choice.sent = 4;
        let usage = Tokens::of([choice], 1);
        if voice.ends_apart() {
            let at = voice.ending(&choice, Some(&usage), 4, &mut out);
            stamp(&mut out, at, 9);
        }
        if let Some(at) = voice.usage(&usage, 4, &mut out) {
            stamp(&mut out, at, 9);
        }
        voice.done(&mut out);
        let (mut said, mut usage, mut stamps, mut ended, mut done) =
            ((String::new(), String::new()), crate::Usage::default(), 0, None, false);
        for event in std::str::from_utf8(&out).unwrap().split_terminator("\n\n") {
            let data = event.split_once("data: ").unwrap().1.as_bytes();
            let chunk = api.read(data).unwrap_or_else(|| panic!("{api:?}: {event}"));
            assert_eq!(chunk.fault, None);
            let piece = chunk.piece;
            said.0 += &piece.reasoning.map(|text| text.decode()).unwrap_or_default();
            said.1 += &piece.content.map(|text| text.decode()).unwrap_or_default();
            if let Some(all) = piece.cumulative {
                said.1 = all.decode();
            }
            stamps += u32::from(chunk.written.is_some() && (piece.has_content() || piece.cumulative.is_some()));
            usage.update(chunk.usage);
            ended = piece.ended.map(|ended| ended.finish).or(ended);
            done |= chunk.done;
        }
        let tells_apart = api.takes_messages();
        let want = if tells_apart { (text(0..2), text(2..4)) } else { (String::new(), text(0..4)) };
        assert_eq!(said, want, "{api:?}");
        assert_eq!((usage.prompt, usage.completion, usage.cached), (Some(30), Some(4), Some(16)), "{api:?}");
        assert_eq!((stamps, ended, done), (4, Some(crate::Finish::Length), api.ends_with_word()), "{api:?}");
        // The answer at once.
        let (mut whole, mut stamps) = (Vec::new(), Vec::new());
        let tokens = Tokens::of([choice], 1);
        voice.whole(&[choice], Some(&tokens), &mut whole, &mut stamps);
        stamps.iter().for_each(|at| stamp(&mut whole, *at, 9));
        let chunk = api.read(&whole).unwrap();
        assert_eq!((chunk.usage.prompt, chunk.usage.completion, chunk.usage.cached), (Some(30), Some(4), Some(16)));
        assert_eq!(chunk.piece.ended.map(|ended| ended.finish), Some(crate::Finish::Length), "{api:?}");
        let content = chunk.piece.content.or(chunk.piece.cumulative).map(|text| text.decode());
        assert_eq!(content, Some(want.1), "{api:?}");
    }
}

#[test]
fn errors_are_read_wherever_they_stand() {
    for api in Api::ALL {
        let body = api.error(429, "slow \"down\"");
        let chunk = api.read(body.as_bytes()).unwrap();
        assert_eq!(chunk.fault.map(|fault| fault.message.decode()).as_deref(), Some("slow \"down\""), "{api:?}");
        let mut out = Vec::new();
        Voice::new(api, "r", "m", 0).error_event("no room", &mut out);
        let first = std::str::from_utf8(&out).unwrap().split("\n\n").next().unwrap().split_once("data: ").unwrap().1;
        let chunk = api.read(first.as_bytes()).unwrap();
        assert_eq!(chunk.fault.map(|fault| fault.message.decode()).as_deref(), Some("no room"), "{api:?}");
    }
}
