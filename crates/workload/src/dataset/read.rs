//! Streams a dataset file: one conversation in memory at a time, besides those that are kept.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserializer as _;
use serde::de::{self, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::super::rng::Stream;
use super::conversation::{Shape, conversation};
use super::{Dataset, DatasetError, DatasetFormat, DatasetSummary, Place, Sample};
use crate::build::digest;

const BOM: &[u8] = b"\xef\xbb\xbf";

pub(super) fn read(path: &Path, seed: u64, keep: usize) -> Result<Dataset, DatasetError> {
    check_utf8(path)?;
    let mut sink = Sink {
        path,
        keep,
        rng: Stream::new(seed, "dataset/sample"),
        usable: 0,
        seen: HashSet::new(),
        samples: Vec::new(),
        summary: DatasetSummary::default(),
        format: None,
    };
    match detect(path)? {
        Container::Array => array(path, &mut sink)?,
        Container::Lines => lines(path, &mut sink)?,
        Container::Text => paragraphs(path, &mut sink)?,
    }
    if sink.samples.is_empty() {
        return Err(DatasetError::NoneUsable { path: path.to_owned(), summary: sink.summary });
    }
    sink.samples.sort_by_key(|sample| sample.place);
    Ok(Dataset {
        path: path.to_owned(),
        format: sink.format.unwrap_or(DatasetFormat::Text),
        samples: sink.samples,
        summary: sink.summary,
    })
}

/// Takes conversations as they come.
struct Sink<'a> {
    path: &'a Path,
    keep: usize,
    rng: Stream,
    usable: usize,
    seen: HashSet<u64>,
    samples: Vec<Sample>,
    summary: DatasetSummary,
    format: Option<DatasetFormat>,
}

impl Sink<'_> {
    fn object(&mut self, place: Place, value: Value) -> Result<(), DatasetError> {
        self.summary.read += 1;
        let conversation = conversation(value).map_err(|problem| DatasetError::Sample {
            path: self.path.to_owned(),
            place,
            problem,
        })?;
        self.format.get_or_insert(match conversation.shape {
            Shape::ShareGpt => DatasetFormat::ShareGpt,
            Shape::Messages => DatasetFormat::Messages,
        });
        match conversation.body {
            Some(body) => {
                if self.keep(place, body) && conversation.cut {
                    self.summary.cut += 1;
                }
            }
            None => self.summary.skipped += 1,
        }
        Ok(())
    }

    fn paragraph(&mut self, place: Place, text: &str) {
        self.summary.read += 1;
        self.format.get_or_insert(DatasetFormat::Text);
        let body = super::conversation::request(json!([{"role": "user", "content": text}]), None);
        self.keep(place, body);
    }

    /// False for a duplicate.
    fn keep(&mut self, place: Place, body: Value) -> bool {
        if !self.seen.insert(digest(&format!("{}{}", body["messages"], body["tools"]))) {
            self.summary.duplicates += 1;
            return false;
        }
        let sample = Sample { place, body };
        self.usable += 1;
        if self.samples.len() < self.keep {
            self.samples.push(sample);
        } else {
            let at = self.rng.below(self.usable);
            if at < self.keep {
                self.samples[at] = sample;
            }
        }
        true
    }
}

enum Container {
    Array,
    Lines,
    Text,
}

fn open(path: &Path) -> Result<BufReader<File>, DatasetError> {
    File::open(path).map(|file| BufReader::with_capacity(1 << 18, file)).map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> DatasetError {
    |source| DatasetError::Read { path: path.to_owned(), source }
}

/// Reads the file once to be sure that it is UTF-8 and not empty.
fn check_utf8(path: &Path) -> Result<(), DatasetError> {
    let mut file = File::open(path).map_err(failed(path))?;
    let mut buffer = vec![0; 1 << 16];
    let (mut held, mut offset, mut empty) = (0, 0u64, true);
    loop {
        let read = file.read(&mut buffer[held..]).map_err(failed(path))?;
        let filled = &buffer[..held + read];
        let valid = match std::str::from_utf8(filled) {
            Ok(_) => filled.len(),
            // The buffer ends within a character: what is there of it is held for the next round.
            Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
            Err(error) => {
                return Err(DatasetError::Utf8 { path: path.to_owned(), offset: offset + error.valid_up_to() as u64 });
            }
        };
        let mut text = &filled[..valid];
        if offset == 0 {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        empty &= text.iter().all(u8::is_ascii_whitespace);
        if read == 0 {
            break;
        }
        let end = held + read;
        offset += valid as u64;
        held = end - valid;
        buffer.copy_within(valid..end, 0);
    }
    if empty { Err(DatasetError::Empty { path: path.to_owned() }) } else { Ok(()) }
}

/// An array of objects, lines of objects, or text: told from the first two characters that are no white space.
fn detect(path: &Path) -> Result<Container, DatasetError> {
    let mut reader = open(path)?;
    skip_bom(&mut reader, path)?;
    let mut first = [0u8; 2];
    let mut found = 0;
    for byte in reader.bytes() {
        let byte = byte.map_err(failed(path))?;
        if !byte.is_ascii_whitespace() {
            first[found] = byte;
            found += 1;
            if found == 2 {
                break;
            }
        }
    }
    Ok(match &first {
        b"[{" | b"[]" => Container::Array,
        b"{\"" | b"{}" => Container::Lines,
        _ => Container::Text,
    })
}

fn skip_bom(reader: &mut BufReader<File>, path: &Path) -> Result<(), DatasetError> {
    if reader.fill_buf().map_err(failed(path))?.starts_with(BOM) {
        reader.consume(BOM.len());
    }
    Ok(())
}

fn array(path: &Path, sink: &mut Sink<'_>) -> Result<(), DatasetError> {
    let mut reader = open(path)?;
    skip_bom(&mut reader, path)?;
    let mut failure = None;
    let mut parser = serde_json::Deserializer::from_reader(reader);
    let parsed = parser.deserialize_seq(Items { sink, failure: &mut failure }).and_then(|()| parser.end());
    match (failure, parsed) {
        (Some(error), _) => Err(error),
        (None, Err(error)) if error.is_io() => Err(failed(path)(error.into())),
        (None, Err(error)) => {
            let mut broken = broken(path, Place::Line(error.line() as u64), &error);
            if let DatasetError::Json { message, .. } = &mut broken {
                message.push_str("; repair the file there, or fetch it again if it was cut off");
            }
            Err(broken)
        }
        (None, Ok(())) => Ok(()),
    }
}

struct Items<'a, 'b> {
    sink: &'a mut Sink<'b>,
    failure: &'a mut Option<DatasetError>,
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of conversations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(value) = items.next_element::<Value>()? {
            if let Err(error) = self.sink.object(Place::Item(index), value) {
                *self.failure = Some(error);
                return Err(de::Error::custom("refused"));
            }
            index += 1;
        }
        Ok(())
    }
}

fn broken(path: &Path, place: Place, error: &serde_json::Error) -> DatasetError {
    let full = error.to_string();
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message).to_owned();
    DatasetError::Json { path: path.to_owned(), place, column: error.column(), message }
}

/// Calls for each line, with its number from 1 and without its line break.
fn each_line(path: &Path, mut each: impl FnMut(u64, &str) -> Result<(), DatasetError>) -> Result<(), DatasetError> {
    let mut reader = open(path)?;
    skip_bom(&mut reader, path)?;
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        if reader.read_line(&mut line).map_err(failed(path))? == 0 {
            break;
        }
        let text = line.strip_suffix('\n').unwrap_or(&line);
        each(number, text.strip_suffix('\r').unwrap_or(text))?;
    }
    Ok(())
}

fn lines(path: &Path, sink: &mut Sink<'_>) -> Result<(), DatasetError> {
    each_line(path, |number, line| {
        if line.trim().is_empty() {
            return Ok(());
        }
        let place = Place::Line(number);
        let value = serde_json::from_str(line).map_err(|error| {
            let mut broken = broken(path, place, &error);
            if let DatasetError::Json { message, .. } = &mut broken {
                message.push_str(if error.is_eof() {
                    "; each line must be one whole object"
                } else {
                    "; repair the line or take it out"
                });
            }
            broken
        })?;
        sink.object(place, value)
    })
}

fn paragraphs(path: &Path, sink: &mut Sink<'_>) -> Result<(), DatasetError> {
    let mut paragraph = String::new();
    let mut start = 1;
    each_line(path, |number, line| {
        if line.trim().is_empty() {
            if !paragraph.is_empty() {
                sink.paragraph(Place::Line(start), &paragraph);
                paragraph.clear();
            }
            return Ok(());
        }
        if paragraph.is_empty() {
            start = number;
        } else {
            paragraph.push('\n');
        }
        paragraph.push_str(line);
        Ok(())
    })?;
    if !paragraph.is_empty() {
        sink.paragraph(Place::Line(start), &paragraph);
    }
    Ok(())
}
