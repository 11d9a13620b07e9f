//! Who watches a run: its set-up step by step, and the measurement.

/// Gets to know how far a run is. Lines are whole sentences without a line feed.
pub trait Observer {
    /// A step of the set-up begins; `length` is the number of its parts where it is known.
    fn step(&self, what: &str, length: Option<u64>) -> Box<dyn Step>;

    /// Something that should be known however the run is watched.
    fn note(&self, line: &str);

    /// Something for people who watch; the report says it too.
    fn remark(&self, line: &str);

    /// The measurement begins; it is over when the value is dropped.
    fn measuring(&self) -> Box<dyn runner::Observer + '_>;
}

/// One step of the set-up; dropped without [`Step::done`] where it failed.
pub trait Step {
    /// How far the step is, and its length in the same unit (parts, bytes).
    fn at(&self, done: u64, of: u64);

    /// What is being done within the step.
    fn detail(&self, detail: &str);

    /// Something that should be known.
    fn note(&self, line: &str);

    /// The step is over, and what came of it.
    fn done(self: Box<Self>, result: &str);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn step(&self, _: &str, _: Option<u64>) -> Box<dyn Step> {
        Box::new(Self)
    }

    fn note(&self, _: &str) {}

    fn remark(&self, _: &str) {}

    fn measuring(&self) -> Box<dyn runner::Observer + '_> {
        Box::new(runner::Silent)
    }
}

impl Step for Silent {
    fn at(&self, _: u64, _: u64) {}

    fn detail(&self, _: &str) {}

    fn note(&self, _: &str) {}

    fn done(self: Box<Self>, _: &str) {}
}
