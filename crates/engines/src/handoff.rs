//! Handing the ids on: the message that an engine process gets.

use rmp::encode::{write_array_len, write_map_len, write_str, write_uint};

use crate::engine::{Engine, EngineError};

/// From a tokenized request to the bytes of its message.
pub type Encode = dyn Engine<Input = Message, Output = Vec<u8>>;

pub const ENGINE: &str = "rmp";
pub const CALL_PATHS: [&str; 1] = ["encode"];

/// A tokenized request on its way to the engine process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub request_id: String,
    pub prompt_token_ids: Vec<u32>,
}

/// The call path of that name, if there is one.
pub fn call_path(name: &str) -> Option<Box<Encode>> {
    (name == CALL_PATHS[0]).then(|| Box::new(MessagePack) as Box<Encode>)
}

/// The MessagePack map `{"request_id": str, "prompt_token_ids": [uint]}`, integers in their shortest form.
struct MessagePack;

impl Engine for MessagePack {
    type Input = Message;
    type Output = Vec<u8>;

    fn run(&self, message: &Message) -> Result<Vec<u8>, EngineError> {
        let too_long =
            |_| EngineError::Failed("a prompt of 2^32 tokens or more does not fit a MessagePack array".to_owned());
        let count = u32::try_from(message.prompt_token_ids.len()).map_err(too_long)?;
        // The longest form of an id is five bytes.
        let mut bytes = Vec::with_capacity(48 + message.request_id.len() + 5 * message.prompt_token_ids.len());
        write_map_len(&mut bytes, 2).map_err(EngineError::failed)?;
        write_str(&mut bytes, "request_id").map_err(EngineError::failed)?;
        write_str(&mut bytes, &message.request_id).map_err(EngineError::failed)?;
        write_str(&mut bytes, "prompt_token_ids").map_err(EngineError::failed)?;
        write_array_len(&mut bytes, count).map_err(EngineError::failed)?;
        for &id in &message.prompt_token_ids {
            write_uint(&mut bytes, u64::from(id)).map_err(EngineError::failed)?;
        }
        Ok(bytes)
    }
}

/// Reads a message back, as the engine process would; for checks.
pub fn decode(mut bytes: &[u8]) -> Result<Message, EngineError> {
    let broken = |what: &str| EngineError::Failed(format!("the message cannot be decoded again: {what}"));
    if rmp::decode::read_map_len(&mut bytes).map_err(EngineError::failed)? != 2 {
        return Err(broken("not a map of two"));
    }
    expect_key(&mut bytes, "request_id")?;
    let request_id = read_str(&mut bytes)?;
    expect_key(&mut bytes, "prompt_token_ids")?;
    let count = rmp::decode::read_array_len(&mut bytes).map_err(EngineError::failed)?;
    let prompt_token_ids = (0..count)
        .map(|_| rmp::decode::read_int::<u32, _>(&mut bytes).map_err(EngineError::failed))
        .collect::<Result<Vec<u32>, _>>()?;
    if bytes.is_empty() { Ok(Message { request_id, prompt_token_ids }) } else { Err(broken("bytes are left over")) }
}

fn read_str(bytes: &mut &[u8]) -> Result<String, EngineError> {
    let length = rmp::decode::read_str_len(bytes).map_err(EngineError::failed)? as usize;
    let (text, rest) = bytes.split_at_checked(length).ok_or_else(|| EngineError::failed("a string ends early"))?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).map_err(EngineError::failed)
}

fn expect_key(bytes: &mut &[u8], key: &str) -> Result<(), EngineError> {
    let found = read_str(bytes)?;
    if found == key {
        Ok(())
    } else {
        Err(EngineError::Failed(format!("the message has the key `{found}` instead of `{key}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_specification_with_the_shortest_integers() {
        let message = Message { request_id: "7".to_owned(), prompt_token_ids: vec![1, 200, 4_000, 200_018] };
        let bytes = MessagePack.run(&message).unwrap();
        let mut wanted = vec![0x82, 0xAA];
        wanted.extend(b"request_id");
        wanted.extend([0xA1, b'7', 0xB0]);
        wanted.extend(b"prompt_token_ids");
        wanted.extend([0x94, 0x01, 0xCC, 200, 0xCD, 0x0F, 0xA0, 0xCE, 0x00, 0x03, 0x0D, 0x52]);
        assert_eq!(bytes, wanted);
        assert_eq!(decode(&bytes).unwrap(), message);
    }

    #[test]
    fn what_is_not_such_a_message_is_an_error() {
        assert!(decode(&[]).is_err());
        assert!(decode(&[0x81, 0xA1, b'x', 0x01]).is_err());
        let mut bytes = MessagePack.run(&Message { request_id: "1".to_owned(), prompt_token_ids: vec![1] }).unwrap();
        bytes.push(0);
        assert!(decode(&bytes).unwrap_err().to_string().contains("left over"));
    }
}
