//! Progress on stderr: bars on a terminal, nothing but warnings elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pipeline::Observer;
use record::results::Status;
use runner::Progress;

/// Whether people are watching.
pub fn is_interactive() -> bool {
    std::io::stderr().is_terminal()
}

/// People on a terminal, or a log.
#[derive(Debug, Clone, Copy)]
pub struct Terminal;

impl Observer for Terminal {
    fn step(&self, what: &str, length: Option<u64>) -> Box<dyn pipeline::observer::Step> {
        Box::new(length.map_or_else(|| Step::spinner(what), |length| Step::bar(what, length)))
    }

    fn note(&self, line: &str) {
        eprintln!("{line}");
    }

    fn remark(&self, line: &str) {
        if is_interactive() {
            eprintln!("{line}");
        }
    }

    fn measuring(&self) -> Box<dyn runner::Observer + '_> {
        Box::new(MeasureProgress::new())
    }
}

/// One step of the set-up: a bar where its length is known, a spinner where it is not.
pub struct Step {
    bar: ProgressBar,
    what: String,
}

impl Step {
    /// A step whose length is not known.
    pub fn spinner(what: &str) -> Self {
        let bar = if is_interactive() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(style("{spinner} {msg} {elapsed:.dim}"));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, what: what.to_owned() }
    }

    /// A step of that many parts.
    pub fn bar(what: &str, length: u64) -> Self {
        let bar = if is_interactive() { ProgressBar::new(length) } else { ProgressBar::hidden() };
        bar.set_style(style("{msg} {wide_bar:.cyan/dim} {pos}/{len} {eta:.dim}"));
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, what: what.to_owned() }
    }

    /// Sets how far the step is, and its length.
    pub fn at(&self, done: u64, of: u64) {
        if self.bar.length() != Some(of) && of > 0 {
            self.bar.set_length(of);
            self.bar.set_style(style("{msg} {wide_bar:.cyan/dim} {percent}% {eta:.dim}"));
        }
        self.bar.set_position(done);
    }

    /// Says what is being done within the step.
    pub fn detail(&self, detail: &str) {
        self.bar.set_message(format!("{}: {detail}", self.what));
    }

    /// Ends the step and leaves one line.
    pub fn done(self, result: &str) {
        self.bar.finish_and_clear();
        if is_interactive() {
            eprintln!("{}: {result}", self.what);
        }
    }

    /// Prints a line without tearing the bar.
    pub fn note(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

impl pipeline::observer::Step for Step {
    fn at(&self, done: u64, of: u64) {
        self.at(done, of);
    }

    fn detail(&self, detail: &str) {
        self.detail(detail);
    }

    fn note(&self, line: &str) {
        self.note(line);
    }

    fn done(self: Box<Self>, result: &str) {
        (*self).done(result);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Shows the measurement as it goes on.
struct MeasureProgress {
    bar: ProgressBar,
    phase: String,
}

impl MeasureProgress {
    fn new() -> Self {
        let bar = if is_interactive() { ProgressBar::new(1) } else { ProgressBar::hidden() };
        bar.set_style(style("{prefix} {wide_bar:.cyan/dim} {pos}/{len} {msg:.dim}"));
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, phase: String::new() }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn phase(&mut self, phase: String, done: usize, of: usize) {
        if phase != self.phase {
            self.bar.set_prefix(phase.clone());
            self.phase = phase;
        }
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
    }
}

impl Drop for MeasureProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl runner::Observer for MeasureProgress {
    fn observe(&mut self, progress: Progress<'_>) {
        match progress {
            Progress::SubjectStarting { subject, .. } => self.bar.set_message(format!("starting {subject}")),
            Progress::SubjectReady { .. } => self.bar.set_message(""),
            Progress::SubjectFailed { subject, message, .. } => self.line(&format!("warning: {subject}: {message}")),
            Progress::Calibrated { done, of, .. } => self.phase("calibrating and checking".to_owned(), done, of),
            Progress::RunStart { run, of } => self.phase(format!("run {} of at most {of}", run + 1), 0, 1),
            Progress::Prepared { run, done, of, .. } => self.phase(format!("run {}: warming up", run + 1), done, of),
            Progress::VisitDone { run, done, of, .. } => self.phase(format!("run {}: measuring", run + 1), done, of),
            Progress::RunDone { .. } => {}
            Progress::CellStatus { cell, status, message } => {
                if status != Status::Unavailable {
                    self.line(&format!("warning: {cell}: {}: {message}", word(status)));
                }
            }
            Progress::SecondsLeft(seconds) => self.bar.set_message(format!("{} left at most", clock(seconds))),
            Progress::Warning(text) => self.line(&format!("warning: {text}")),
        }
    }
}

/// `1:05`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Mismatch => "mismatch",
        Status::Unchecked => "unchecked",
        Status::Error => "error",
        Status::Timeout => "timeout",
        Status::Unavailable => "unavailable",
        Status::Skipped => "skipped",
        Status::Invalid => "invalid",
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
