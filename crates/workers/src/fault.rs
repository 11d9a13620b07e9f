//! Faults on demand, so that end-to-end tests can prove what the parent does about them.
//!
//! `LLMBENCH_TEST_FAULT=KIND:PAIR`, such as `ids:hf-tokenizers/encode_fast`, acts in every call of that pair: in warm-up,
//! checks, blocks and dumps, and also where the pair is a stage of `total` or `batch`. The Python worker understands the
//! same variable. It is not set outside tests, and then no call goes through this module.
//!
//! | kind | what happens in a call |
//! |---|---|
//! | `ids` | one bit of the id at position 3 (or the last) of the result is flipped |
//! | `text` | the last character of the result is replaced |
//! | `hang` | it does not return |
//! | `crash` | the process kills itself with SIGABRT |
//! | `panic` | it panics |
//! | `garbage` | a line that is not JSON goes to the answer descriptor; the call works |
//! | `print` | a line goes to stdout; the call works |
//! | `oom` | it fails as if memory had run out |
//! | `exit` | the process ends with code 3 and a line on stderr |

use std::time::Duration;

use engines::collate::Collated;
use engines::handoff;
use engines::parse::{ChatRequest, Content};
use engines::{Engine, EngineError};

use super::channel::Channel;

/// The environment variable.
pub const FAULT_VAR: &str = "LLMBENCH_TEST_FAULT";

/// Where the id lies that is flipped.
const POSITION: usize = 3;

/// A fault and the pair that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: Kind,
    pair: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ids,
    Text,
    Hang,
    Crash,
    Panic,
    Garbage,
    Print,
    Oom,
    Exit,
}

const KINDS: [(&str, Kind); 9] = [
    ("ids", Kind::Ids),
    ("text", Kind::Text),
    ("hang", Kind::Hang),
    ("crash", Kind::Crash),
    ("panic", Kind::Panic),
    ("garbage", Kind::Garbage),
    ("print", Kind::Print),
    ("oom", Kind::Oom),
    ("exit", Kind::Exit),
];

impl Fault {
    /// From the variable's value, `KIND:ENGINE/CALL_PATH`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, pair) = text.split_once(':').unwrap_or((text, ""));
        match KINDS.iter().find(|(name, _)| *name == kind) {
            Some(&(_, kind)) if pair.contains('/') => Ok(Self { kind, pair: pair.to_owned() }),
            _ => {
                let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                Err(format!("{FAULT_VAR} must be KIND:ENGINE/CALL_PATH with KIND one of {}", names.join(", ")))
            }
        }
    }
}

/// Puts `fault` into `engine` if it is the fault's pair.
pub fn wrap<I, O>(
    fault: Option<&Fault>,
    channel: &Channel,
    pair: &str,
    engine: Box<dyn Engine<Input = I, Output = O>>,
) -> Box<dyn Engine<Input = I, Output = O>>
where
    I: ?Sized + 'static,
    O: Tamper + 'static,
{
    match fault {
        Some(fault) if fault.pair == pair => Box::new(Faulty { engine, kind: fault.kind, channel: channel.clone() }),
        _ => engine,
    }
}

struct Faulty<I: ?Sized, O> {
    engine: Box<dyn Engine<Input = I, Output = O>>,
    kind: Kind,
    channel: Channel,
}

impl<I: ?Sized, O: Tamper> Engine for Faulty<I, O> {
    type Input = I;
    type Output = O;

    fn run(&self, input: &I) -> Result<O, EngineError> {
        match self.kind {
            Kind::Ids | Kind::Text => {}
            Kind::Hang => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            Kind::Crash => std::process::abort(),
            #[expect(clippy::panic, reason = "a panic on demand is what this is for")]
            Kind::Panic => panic!("the fault for tests panicked"),
            Kind::Garbage => self.channel.raw(b"this line is not JSON\n").map_err(EngineError::failed)?,
            Kind::Print => println!("a stray print"),
            Kind::Oom => return Err(EngineError::Failed("out of memory".to_owned())),
            Kind::Exit => {
                eprintln!("the worker was told to exit");
                std::process::exit(3);
            }
        }
        let mut output = self.engine.run(input)?;
        match self.kind {
            Kind::Ids => output.flip(),
            Kind::Text => output.replace(),
            _ => {}
        }
        Ok(output)
    }
}

/// How a result is made wrong; a result without ids or text stays as it is.
pub trait Tamper {
    fn flip(&mut self) {}
    fn replace(&mut self) {}
}

impl Tamper for Vec<u32> {
    fn flip(&mut self) {
        let last = self.len().saturating_sub(1);
        if let Some(id) = self.get_mut(POSITION.min(last)) {
            *id ^= 1;
        }
    }
}

impl Tamper for String {
    fn replace(&mut self) {
        let last = self.pop();
        self.push(if last == Some('?') { '!' } else { '?' });
    }
}

impl Tamper for Collated {
    fn flip(&mut self) {
        let last = self.length.saturating_sub(1);
        if let Some(id) = self.ids.get_mut(POSITION.min(last)) {
            *id ^= 1;
        }
    }
}

impl Tamper for ChatRequest {
    fn replace(&mut self) {
        if let Some(Content::Text(text)) = self.messages.last_mut().map(|message| &mut message.content) {
            text.replace();
        }
    }
}

/// The bytes of a message for the engine process.
impl Tamper for Vec<u8> {
    fn flip(&mut self) {
        if let Ok(mut message) = handoff::decode(self)
            && let Some(encode) = handoff::call_path(handoff::CALL_PATHS[0])
        {
            message.prompt_token_ids.flip();
            if let Ok(bytes) = encode.run(&message) {
                *self = bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_kind_and_a_pair() {
        let fault = Fault::parse("ids:hf-tokenizers/encode_fast").unwrap();
        assert_eq!(fault, Fault { kind: Kind::Ids, pair: "hf-tokenizers/encode_fast".to_owned() });
        for text in ["", "ids", "ids:encode", "typo:a/b"] {
            assert!(Fault::parse(text).unwrap_err().contains("KIND one of ids, text, hang"), "{text}");
        }
    }

    #[test]
    fn exactly_one_id_is_flipped() {
        let mut ids = vec![1u32, 2, 3, 4, 5];
        ids.flip();
        assert_eq!(ids, [1, 2, 3, 5, 5]);
        let mut short = vec![8u32];
        short.flip();
        assert_eq!(short, [9]);
        let mut none: Vec<u32> = vec![];
        none.flip();
        assert!(none.is_empty());
        let mut text = "ab".to_owned();
        text.replace();
        assert_eq!(text, "a?");
    }
}
