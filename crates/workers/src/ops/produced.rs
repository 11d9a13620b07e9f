//! What a call gives, its digest for checks and its full form for dumps.

use std::collections::BTreeMap;

use engines::EngineError;
use engines::collate::Collated;
use engines::handoff;
use engines::parse::ChatRequest;
use record::protocol::Output;
use sha2::{Digest, Sha256};

use super::Fresh;

/// The result of a call.
#[expect(clippy::large_enum_variant, reason = "a box would add an allocation to the timed call")]
pub enum Produced {
    /// Of the empty call that the overhead of the loop is measured with.
    Nothing,
    Request(ChatRequest),
    Text(String),
    Ids(Vec<u32>),
    Collated(Collated),
    /// The bytes of a message for the engine process.
    Message(Vec<u8>),
    Batch(Collated, Stages),
    /// A tokenizer. Its content is what it makes of the request's prompt.
    Loaded(Box<Fresh>),
}

/// Wall time of the stages of a batch, ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    pub template: u64,
    pub tokenize: u64,
    pub collate: u64,
}

impl Produced {
    /// Lower-case hex SHA-256 of the result's content: UTF-8 text, ids as little-endian u32, tensors as little-endian i64.
    pub fn digest(&self) -> Result<String, EngineError> {
        let mut hash = Sha256::new();
        match self {
            Self::Nothing => {}
            Self::Request(request) => hash.update(said(request)),
            Self::Text(text) => hash.update(text),
            Self::Ids(ids) => hash_ids(&mut hash, ids),
            Self::Loaded(fresh) => hash_ids(&mut hash, &fresh.ids()?),
            Self::Message(bytes) => hash_ids(&mut hash, &handoff::decode(bytes)?.prompt_token_ids),
            Self::Collated(collated) | Self::Batch(collated, _) => {
                for value in collated.ids.iter().chain(&collated.mask) {
                    hash.update(value.to_le_bytes());
                }
            }
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// The whole result, to locate a mismatch.
    pub fn dump(&self) -> Result<Output, EngineError> {
        Ok(match self {
            Self::Nothing => Output::Text(String::new()),
            Self::Request(request) => Output::Text(said(request).replace('\0', "\n")),
            Self::Text(text) => Output::Text(text.clone()),
            Self::Ids(ids) => Output::Ids(ids.clone()),
            Self::Loaded(fresh) => Output::Ids(fresh.ids()?),
            Self::Message(bytes) => Output::Ids(handoff::decode(bytes)?.prompt_token_ids),
            Self::Collated(collated) | Self::Batch(collated, _) => {
                let ids = collated.ids.iter().map(|&id| u32::try_from(id).map_err(EngineError::failed));
                Output::Ids(ids.collect::<Result<_, _>>()?)
            }
        })
    }

    /// What the result says about itself, by name: the stages of a batch, ns; the memory that a load took, bytes.
    pub fn stages(&self) -> BTreeMap<String, u64> {
        let named: &[(&str, Option<u64>)] = match self {
            Self::Batch(_, Stages { template, tokenize, collate }) => {
                &[("template", Some(*template)), ("tokenize", Some(*tokenize)), ("collate", Some(*collate))]
            }
            Self::Loaded(fresh) => {
                &[("rss_bytes", fresh.cost.resident_bytes), ("peak_rss_bytes", fresh.cost.peak_bytes)]
            }
            _ => &[],
        };
        named.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?))).collect()
    }
}

/// Of each message its role and its text, each with a zero byte behind it.
fn said(request: &ChatRequest) -> String {
    let mut said = String::new();
    for message in &request.messages {
        said.push_str(message.role.as_str());
        said.push('\0');
        said.push_str(&message.content.text());
        said.push('\0');
    }
    said
}

fn hash_ids(hash: &mut Sha256, ids: &[u32]) {
    for id in ids {
        hash.update(id.to_le_bytes());
    }
}
