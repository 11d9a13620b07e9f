//! Where a time to first token goes: the parts of its mean.
//!
//! Means add up and percentiles do not: the parts are those of the **mean** TTFT from when a request was due, over all requests of a stretch.
//!
//! | part | from | what it holds |
//! |---|---|---|
//! | client wait | the client | from when a request was due until its last byte was sent: lateness, a cap, a connection that was opened for it |
//! | network | the client | the median of the cheapest HTTP exchanges on an open connection, just before the load: the network both ways, and a way through the HTTP stacks |
//! | HTTP wait | the client | how much longer the same exchange takes during the load, on average: the wait for the server's front end to turn to a socket |
//! | front end | the server | its own TTFT less queue and prefill: template, tokenizer, and handing over to the engine and back, as far as its clock sees them |
//! | queue | the server | its own histogram |
//! | prefill | the server | its own histogram: from leaving the queue to the first token |
//! | unexplained | the rest | what neither clock saw: JSON, what the front end does before its clock starts, writing the first token, reading it late. A part that the server does not tell is in here too |
//!
//! Nothing is clipped: a part below zero says that what was measured apart does not add up, and by how much.

use std::collections::BTreeMap;

/// A part, in the order in which a request meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    ClientWait,
    Network,
    HttpWait,
    /// The front end as the server's own clock sees it.
    Prepare,
    Queue,
    Prefill,
    Unexplained,
}

impl Part {
    pub const ALL: [Self; 7] =
        [Self::ClientWait, Self::Network, Self::HttpWait, Self::Prepare, Self::Queue, Self::Prefill, Self::Unexplained];

    /// As figures, tables and sentences call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientWait => "client wait",
            Self::Network => "network",
            Self::HttpWait => "HTTP wait",
            Self::Prepare => "front end",
            Self::Queue => "queue",
            Self::Prefill => "prefill",
            Self::Unexplained => "unexplained",
        }
    }

    /// As records call it.
    pub fn metric(self) -> &'static str {
        match self {
            Self::ClientWait => "ttft_client_wait",
            Self::Network => "ttft_network",
            Self::HttpWait => "ttft_http_wait",
            Self::Prepare => "ttft_front_end",
            Self::Queue => "ttft_queue",
            Self::Prefill => "ttft_prefill",
            Self::Unexplained => "ttft_unexplained",
        }
    }
}

/// What was read of a stretch, means in ns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Read {
    /// From when requests were due.
    pub ttft_ns: f64,
    pub client_wait_ns: f64,
    /// The cheapest exchange before the load.
    pub network_ns: Option<f64>,
    /// The same exchange during the load.
    pub knock_ns: Option<f64>,
    /// By the server's clock.
    pub server_ttft_ns: Option<f64>,
    pub queue_ns: Option<f64>,
    pub prefill_ns: Option<f64>,
    /// Whether the server counted this client's requests and no others; None where it counts nothing.
    pub agrees: Option<bool>,
}

impl Read {
    /// From readings by name; None without a TTFT.
    pub fn of(reading: &dyn Fn(&str) -> Option<f64>) -> Option<Self> {
        Some(Self {
            ttft_ns: reading("all_ttft_mean_ns")?,
            client_wait_ns: reading("all_client_wait_mean_ns")?,
            network_ns: reading("network_ns"),
            knock_ns: reading("knock_mean_ns"),
            server_ttft_ns: reading("server_ttft_mean_ns"),
            queue_ns: reading("server_queue_mean_ns"),
            prefill_ns: reading("server_prefill_mean_ns"),
            agrees: reading("server_agrees").map(|agrees| agrees >= 1.0),
        })
    }
}

/// The parts of one mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    pub total_ns: f64,
    parts: BTreeMap<Part, f64>,
}

impl Split {
    /// None where the server's figures are not of these requests alone: then there is nothing to add up.
    pub fn of(read: &Read) -> Option<Self> {
        if read.agrees == Some(false) {
            return None;
        }
        let mut parts = BTreeMap::from([(Part::ClientWait, read.client_wait_ns)]);
        let prepare = match (read.server_ttft_ns, read.queue_ns, read.prefill_ns) {
            (Some(ttft), Some(queue), Some(prefill)) => Some(ttft - queue - prefill),
            _ => None,
        };
        let known = [
            (Part::Network, read.network_ns),
            (Part::HttpWait, read.knock_ns.zip(read.network_ns).map(|(during, alone)| during - alone)),
            (Part::Prepare, prepare),
            (Part::Queue, read.queue_ns),
            (Part::Prefill, read.prefill_ns),
        ];
        parts.extend(known.into_iter().filter_map(|(part, ns)| Some((part, ns?))));
        let explained: f64 = parts.values().sum();
        parts.insert(Part::Unexplained, read.ttft_ns - explained);
        Some(Self { total_ns: read.ttft_ns, parts })
    }

    /// A part, ns; None where it is not known apart, and then it is in [`Part::Unexplained`].
    pub fn part(&self, part: Part) -> Option<f64> {
        self.parts.get(&part).copied()
    }

    /// The same as a share of the whole.
    pub fn share(&self, part: Part) -> Option<f64> {
        self.part(part).map(|ns| ns / self.total_ns)
    }
}

/// The part with the largest mean over the splits of several runs; None without any.
pub fn largest<'a>(splits: impl IntoIterator<Item = &'a Split> + Clone) -> Option<Part> {
    let mean = |part: Part| {
        let values: Vec<f64> = splits.clone().into_iter().filter_map(|split| split.part(part)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Part::ALL
        .into_iter()
        .filter_map(|part| Some((part, mean(part)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(part, _)| part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e6;

    /// 100 ms: 5 of them before it was sent; an exchange of 1 ms, 4 under load; the server says 80, of which 50 in its queue and 20 in prefill.
    const READ: Read = Read {
        ttft_ns: 100.0 * MS,
        client_wait_ns: 5.0 * MS,
        network_ns: Some(1.0 * MS),
        knock_ns: Some(4.0 * MS),
        server_ttft_ns: Some(80.0 * MS),
        queue_ns: Some(50.0 * MS),
        prefill_ns: Some(20.0 * MS),
        agrees: Some(true),
    };

    fn parts(split: &Split) -> Vec<(Part, f64)> {
        Part::ALL.into_iter().filter_map(|part| Some((part, split.part(part)? / MS))).collect()
    }

    #[test]
    fn a_split_by_hand() {
        let split = Split::of(&READ).unwrap();
        let expected = [5.0, 1.0, 3.0, 10.0, 50.0, 20.0, 11.0];
        for ((part, found), (of, truth)) in parts(&split).into_iter().zip(Part::ALL.into_iter().zip(expected)) {
            assert!(part == of && (found - truth).abs() < 1e-9, "{split:?}");
        }
        assert!((split.share(Part::Queue).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(largest([&split]), Some(Part::Queue));
    }

    #[test]
    fn what_a_server_does_not_tell_is_unexplained() {
        // llama.cpp: prefill alone.
        let read = Read { server_ttft_ns: None, queue_ns: None, agrees: None, ..READ };
        let split = Split::of(&read).unwrap();
        assert_eq!((split.part(Part::Queue), split.part(Part::Prepare)), (None, None));
        assert!((split.part(Part::Unexplained).unwrap() - 71.0 * MS).abs() < 1.0);
        assert_eq!(largest([&split]), Some(Part::Unexplained));
        // A server without counters that cannot be asked for anything cheap either.
        let bare = Read { network_ns: None, knock_ns: None, prefill_ns: None, ..read };
        let split = Split::of(&bare).unwrap();
        assert_eq!(parts(&split), [(Part::ClientWait, 5.0), (Part::Unexplained, 95.0)]);
    }

    #[test]
    fn what_does_not_add_up_is_shown_below_zero() {
        let split = Split::of(&Read { server_ttft_ns: Some(98.0 * MS), ..READ }).unwrap();
        assert!((split.part(Part::Unexplained).unwrap() + 7.0 * MS).abs() < 1.0);
        let sum: f64 = Part::ALL.iter().filter_map(|part| split.part(*part)).sum();
        assert!((sum - split.total_ns).abs() < 1.0);
    }

    #[test]
    fn a_server_that_others_use_has_no_split() {
        assert_eq!(Split::of(&Read { agrees: Some(false), ..READ }), None);
        assert_eq!(largest([]), None);
    }

    #[test]
    fn readings_by_name() {
        let values =
            BTreeMap::from([("all_ttft_mean_ns", 9.0), ("all_client_wait_mean_ns", 2.0), ("server_agrees", 0.0)]);
        let read = Read::of(&|name| values.get(name).copied()).unwrap();
        assert_eq!((read.ttft_ns, read.client_wait_ns, read.network_ns, read.agrees), (9.0, 2.0, None, Some(false)));
        assert_eq!(Read::of(&|_| None), None);
    }
}
