//! Events and answers are JSON, whatever is in them.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::tokens::{ReplyIds, Tokenizer};

const APIS: [Api; 4] = [Api::Chat, Api::Completions, Api::Sglang, Api::LlamaCpp];

fn choice() -> Choice {
    Choice {
        index: 0,
        reply: Reply::new(5, 0, Arc::new(ReplyIds::of(&Tokenizer::Words))),
        prompt_tokens: 30,
        cached: 16,
        reasoning: 2,
        output_tokens: 4,
        ending: Ending::Length,
        produced: 4,
        sent: 4,
        text: None,
    }
}

fn event(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    serde_json::from_str(text.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
}

#[test]
fn every_event_is_json_and_keeps_its_stamp() {
    for api in APIS {
        let voice = Voice::new(api, "r-1", "a \"model\"", 1_700_000_000);
        for written_ns in [0, 7, 1_234_567_890_123, u64::MAX] {
            for index in 0..6 {
                let (mut out, choice) = (Vec::new(), choice());
                let usage = Usage::of(std::slice::from_ref(&choice), 1);
                let at = match index {
                    0 => voice.content(&choice, 0..1, false, None, index, &mut out),
                    1 => voice.content(&choice, 1..4, true, Some(&usage), index, &mut out),
                    2 => voice.ending(&choice, index, &mut out),
                    3 if voice.has_usage_event() => voice.usage(&usage, index, &mut out),
                    _ => voice.content(&choice, 3..4, index == 4, None, index, &mut out),
                };
                stamp(&mut out, at, written_ns);
                let json = event(&out);
                assert_eq!(json["llmbench"]["written_ns"].as_u64(), Some(written_ns), "{api:?}");
                assert_eq!(json["llmbench"]["index"], index);
            }
        }
    }
}

#[test]
fn reasoning_ends_within_a_chunk() {
    let voice = Voice::new(Api::Chat, "r", "m", 0);
    let choice = choice();
    let words = |range: Range<u32>| range.map(|index| choice.reply.word(index)).collect::<String>();
    let delta = |range: Range<u32>| {
        let mut out = Vec::new();
        let at = voice.content(&choice, range, false, None, 0, &mut out);
        stamp(&mut out, at, 0);
        event(&out)["choices"][0]["delta"].clone()
    };
    assert_eq!(delta(0..1), json!({"reasoning_content": words(0..1)}));
    assert_eq!(delta(1..3), json!({"reasoning_content": words(1..2), "content": words(2..3)}));
    assert_eq!(delta(2..4), json!({"content": words(2..4)}));
}

#[test]
fn whole_answers() {
    for api in APIS {
        let voice = Voice::new(api, "r", "m", 0);
        let mut choices = vec![choice()];
        let whole = |choices: &[Choice], choices_a_prompt| {
            let (mut out, mut stamps) = (Vec::new(), Vec::new());
            voice.whole(choices, Some(&Usage::of(choices, choices_a_prompt)), &mut out, &mut stamps);
            for at in stamps {
                stamp(&mut out, at, 99);
            }
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        let one = whole(&choices, 1);
        assert_eq!(one["llmbench"]["written_ns"], 99);
        choices.push(Choice { index: 1, ..choice() });
        let two = whole(&choices, 2);
        match api {
            Api::Chat | Api::Completions => {
                assert_eq!(two["choices"][1]["index"], 1);
                assert_eq!(two["usage"]["prompt_tokens"], 30, "two choices of one prompt");
                assert_eq!(two["usage"]["completion_tokens"], 8);
            }
            _ => assert_eq!((&two[1]["index"], &two[1]["llmbench"]["written_ns"]), (&json!(1), &json!(99))),
        }
    }
}
