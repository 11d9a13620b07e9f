//! What clients ask for, as it comes out of a connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use netpoll::now_ns;
use serde_json::json;
use server_api::{Api, BadBody, Voice, Wanted, parse_tokenize};

use super::{Io, LINGER_NS};
use crate::api::{self as endpoints, Route, route};
use crate::fault::{Fault, NO_HTTP, refusal};
use crate::http::{Head, Next, Reply, Request};
use crate::server::answer::{Answer, End};
use crate::server::engine_thread::ToEngine;
use crate::server::front_threads::{Job, Made};
use crate::server::prepare::{Prepared, prepare};
use crate::server::scratch::Line;
use crate::server::tag::Tag;
use crate::truth::{Outcome, Truth};

/// Counts the requests for tokens: ids are made of the number, and faults drawn by it.
#[derive(Debug, Default)]
pub(in crate::server) struct Numbers(AtomicU64);

impl Numbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Io {
    /// Takes up the requests that are there, until one has to wait for its answer.
    pub(super) fn take_requests(&mut self, index: usize, at_ns: u64) {
        let mut at_ns = at_ns;
        loop {
            let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
            if connection.answer.is_some() || connection.closing {
                return;
            }
            match connection.reader.next(self.shared.config.largest_body) {
                Ok(Next::More) => return,
                Ok(Next::Continue) => self.write(index, b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
                Ok(Next::Request(request)) => {
                    self.take_request(index, *request, at_ns);
                    // What follows is taken up now, however long its bytes have been there.
                    at_ns = now_ns();
                }
                Err(rejected) => {
                    connection.lingers_until_ns = Some(now_ns() + LINGER_NS);
                    self.reply(index, &Reply::error(rejected.status, &rejected.message), false);
                    return;
                }
            }
        }
    }

    fn take_request(&mut self, index: usize, request: Request, at_ns: u64) {
        let head = &request.head;
        let reply = match route(head.method, &head.path) {
            Err(reply) => reply,
            Ok(wanted) if !self.is_allowed(head) => {
                let reply = Reply::error(401, "this server wants an API key, and the request has none or another");
                match wanted {
                    Route::Generate(api) => reply.spoken(api),
                    _ => reply,
                }
            }
            Ok(Route::Generate(api)) => return self.generate(index, api, &request, at_ns),
            Ok(Route::Tokenize) => self.tokenize(&request.body).unwrap_or_else(|reply| reply),
            Ok(Route::Models) => self.models(),
            Ok(Route::Health) => Reply::text("text/plain; charset=utf-8", String::new()),
            Ok(Route::Metrics) => Reply::text(
                "text/plain; version=0.0.4; charset=utf-8",
                self.shared.metrics.text(&self.shared.config.model),
            ),
            Ok(Route::Truth(None)) => {
                let lines = self.shared.truths.all().iter().map(|truth| format!("{}\n", json!(**truth))).collect();
                Reply::text("application/jsonl", lines)
            }
            Ok(Route::Truth(Some(id))) => match self.shared.truths.find(&id) {
                Some(truth) => Reply::json(&json!(*truth)),
                None => Reply::error(404, &format!("no request {id} has ended, or its truth is no longer kept")),
            },
            Ok(Route::Stall(ms)) => {
                let duration_ns = ms.saturating_mul(1_000_000).min(u64::MAX / 4);
                self.shared.to_engine.send(ToEngine::Stall { at_ns, duration_ns });
                Reply::json(&json!({"at_ns": at_ns, "duration_ns": duration_ns}))
            }
        };
        let keep_alive = head.keep_alive;
        self.reply(index, &reply, keep_alive);
    }

    /// As vLLM: `/v1` needs the key.
    fn is_allowed(&self, head: &Head) -> bool {
        let Some(key) = &self.shared.config.api_key else { return true };
        // Where an API looks for a key, or the lists that all of them share.
        let api = Api::at(&head.path).unwrap_or(server_api::OPENAI_CHAT);
        let field = |name: &str| match name {
            "authorization" => head.authorization.as_deref(),
            "x-api-key" => head.x_api_key.as_deref(),
            _ => None,
        };
        !head.path.starts_with("/v1/") || api.key(&field) == Some(key)
    }

    fn models(&self) -> Reply {
        let config = &self.shared.config;
        Reply::json(&json!({"object": "list", "data": [{
            "id": config.model, "object": "model", "created": seconds(), "owned_by": "llmbench", "root": config.model, "parent": null,
            "max_model_len": config.max_model_len,
        }]}))
    }

    fn tokenize(&self, body: &[u8]) -> Result<Reply, Reply> {
        let bad = |message: &str| Reply::error(400, message);
        let (model, prompt) = parse_tokenize(body).map_err(|BadBody(message)| bad(&message))?;
        self.check_model(model.as_deref())?;
        let config = &self.shared.config;
        let tokens = endpoints::ids(&prompt, &config.tokenizer).map_err(|message| bad(&message))?;
        Ok(Reply::json(&json!({"count": tokens.len(), "max_model_len": config.max_model_len, "tokens": tokens})))
    }

    fn check_model(&self, asked: Option<&str>) -> Result<(), Reply> {
        let model = &self.shared.config.model;
        match asked.filter(|asked| asked != model) {
            None => Ok(()),
            Some(asked) => {
                Err(Reply::error(404, &format!("there is no model `{asked}` here; this server has `{model}`")))
            }
        }
    }

    /// A request for tokens.
    fn generate(&mut self, index: usize, api: Api, request: &Request, at_ns: u64) {
        let number = self.shared.numbers.next();
        let head = &request.head;
        let mut truth = Truth {
            id: head.request_id.clone().unwrap_or_else(|| format!("mock-{number:x}")),
            endpoint: api.path().to_owned(),
            stream: false,
            received_ns: at_ns,
            front_start_ns: None,
            front_done_ns: None,
            choices: Vec::new(),
            written_ns: Vec::new(),
            blocked: 0,
            late_ns: 0,
            finished_ns: 0,
            fault: None,
            outcome: Outcome::Refused,
        };
        match self.begin(index, api, request, number, &mut truth) {
            Ok(Begun::Goes(answer, ask, reasoning)) => {
                let tag = answer.request;
                if let Some(Some(connection)) = self.connections.get_mut(index) {
                    connection.answer = Some(answer);
                }
                if self.shared.has_front_threads {
                    self.shared.jobs.send(Job { ask, request: tag, reasoning });
                } else {
                    let prepared = prepare(&ask, tag, reasoning, &self.shared.config, &self.shared.reply_ids);
                    self.prepared(index, Made { request: tag, prepared, served: None }, at_ns);
                }
            }
            Ok(Begun::Reset) => {
                truth.outcome = Outcome::Cut;
                self.refused(truth);
                if let Some(Some(connection)) = self.connections.get(index) {
                    connection.reset_on_close();
                }
                self.remove(index);
            }
            Ok(Begun::NoHttp) => {
                self.refused(truth);
                self.write(index, NO_HTTP.to_vec());
                self.close(index);
            }
            Err(reply) => {
                let reply = reply.spoken(api).with("x-request-id", truth.id.clone());
                self.refused(truth);
                self.reply(index, &reply, head.keep_alive);
            }
        }
    }

    fn begin(
        &mut self,
        index: usize,
        api: Api,
        request: &Request,
        number: u64,
        truth: &mut Truth,
    ) -> Result<Begun, Reply> {
        let head = &request.head;
        let bad = |message: &str| Reply::error(400, message);
        let config = &self.shared.config;
        let fault = match &head.fault {
            Some(text) => Some(text.parse::<Fault>().map_err(|error| bad(&error.to_string()))?),
            None => config.faults.draw(number).cloned(),
        };
        truth.fault = fault.as_ref().map(|fault| head.fault.clone().unwrap_or_else(|| format!("{fault:?}")));
        match &fault {
            Some(Fault::NoHttp) => return Ok(Begun::NoHttp),
            Some(Fault::Reset { after: 0 }) => return Ok(Begun::Reset),
            Some(Fault::StallServer { ms }) => {
                let duration_ns = ms.saturating_mul(1_000_000).min(u64::MAX / 4);
                self.shared.to_engine.send(ToEngine::Stall { at_ns: truth.received_ns, duration_ns });
            }
            Some(fault) => refusal(fault, &head.path).map_or(Ok(()), Err)?,
            None => {}
        }
        let reasoning = match &head.reasoning {
            Some(text) => text.parse().map_err(|_| bad("x-llmbench-reasoning is no number of tokens"))?,
            None => config.reasoning_tokens,
        };
        let ask = api.parse(&request.body).map_err(|BadBody(message)| bad(&message))?;
        self.check_model(ask.model.as_deref())?;
        truth.stream = ask.stream;
        self.serial = self.serial.wrapping_add(1);
        let tag = Tag::new(self.number, index, self.serial).0;
        let voice = Voice::new(api, &truth.id, &config.model, seconds());
        let answer = Answer::new(tag, &ask, voice, fault, truth.clone(), config).on(head.is_1_1, head.keep_alive);
        Ok(Begun::Goes(Box::new(answer), ask, reasoning))
    }

    /// The threads of the front end are done with a request.
    pub(super) fn made(&mut self, made: Made) {
        let index = Tag(made.request).connection();
        // Its client may be gone.
        if self.answer(made.request).is_some() {
            self.prepared(index, made, now_ns());
            // It may have been refused, and the next may be there.
            self.settle(index);
        }
    }

    /// A request is tokenized: to the engine, or back to its client. Without threads the front end's time begins at `at_ns`.
    fn prepared(&mut self, index: usize, made: Made, at_ns: u64) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        match made.prepared {
            Ok(prepared) => {
                let Some(answer) = connection.answer.as_deref_mut() else { return };
                answer.prepared(&prepared);
                let Prepared { sequences, work, .. } = prepared;
                self.shared.to_engine.send(ToEngine::Submit {
                    received_ns: at_ns,
                    work,
                    sequences,
                    served: made.served,
                });
            }
            Err(reply) => {
                let Some(answer) = connection.answer.take() else { return };
                let keep_alive = answer.end_of_complete() == End::Keep;
                let reply = reply.spoken(answer.api).with("x-request-id", answer.truth.id.clone());
                self.refused(answer.truth);
                self.reply(index, &reply, keep_alive);
            }
        }
    }

    /// Keeps the truth of a request that gets no answer.
    fn refused(&mut self, mut truth: Truth) {
        truth.finished_ns = now_ns();
        self.shared.metrics.finished(&truth, false);
        self.shared.truths.keep(truth);
    }

    /// Writes a whole answer.
    fn reply(&mut self, index: usize, reply: &Reply, keep_alive: bool) {
        let mut bytes = Vec::new();
        reply.write(keep_alive, &mut bytes);
        self.write(index, bytes);
        if !keep_alive {
            self.close(index);
        }
    }

    /// Closes a connection when all is written.
    fn close(&mut self, index: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(index) {
            connection.closing = true;
            self.settle(index);
        }
    }

    fn write(&mut self, index: usize, mut bytes: Vec<u8>) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let mut line = Line {
            socket: &connection.socket,
            outbox: &mut connection.outbox,
            scratch: &mut self.scratch,
            written: &mut self.written,
        };
        line.scratch.out.append(&mut bytes);
        match line.send(0, None) {
            Ok(()) if connection.outbox.is_empty() => {}
            Ok(()) => self.wait_for(index),
            Err(_) => self.lose(index),
        }
    }
}

/// What becomes of a request.
enum Begun {
    Goes(Box<Answer>, Wanted, u32),
    Reset,
    NoHttp,
}

/// Seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
