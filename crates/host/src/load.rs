//! What else the machine does.

use std::time::Duration;

use super::Roots;
use super::facts::{Facts, percent};
use super::roots::value_of;

/// How long the process rests to see what others do.
const WINDOW: Duration = Duration::from_millis(200);

/// CPU time of all cores since boot, in ticks (proc_stat(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CpuTime {
    pub total: u64,
    /// Neither idle nor waiting for a disk nor stolen.
    pub busy: u64,
    /// Taken by the hypervisor for other guests.
    pub steal: u64,
}

impl CpuTime {
    pub fn read(roots: &Roots) -> Option<Self> {
        let stat = roots.proc("stat")?;
        // user nice system idle iowait irq softirq steal; guest time is counted within user.
        let ticks: Vec<u64> =
            value_of(&stat, "cpu")?.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        let total: u64 = ticks.iter().take(8).sum();
        (ticks.len() >= 4).then(|| Self { total, busy: total - at(3) - at(4) - at(7), steal: at(7) })
    }

    /// Ticks from `before` to now.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            busy: self.busy.saturating_sub(before.busy),
            steal: self.steal.saturating_sub(before.steal),
        }
    }

    /// A part of the total as a share; none if no time passed.
    pub fn share(&self, part: u64) -> Option<f64> {
        (self.total > 0).then(|| part as f64 / self.total as f64)
    }
}

pub(super) fn probe(roots: &Roots, logical: u32, facts: &mut Facts) {
    let before = CpuTime::read(roots);
    if before.is_some() {
        std::thread::sleep(WINDOW);
    }
    let passed = before.and_then(|before| Some(CpuTime::read(roots)?.since(&before)));
    judge_window(passed, facts);
    average(roots, logical, facts);
    pressure(roots, facts);
}

fn judge_window(passed: Option<CpuTime>, facts: &mut Facts) {
    const BUSY: (&str, &str) = ("cpu.busy", "CPU used by others");
    let text = |share: f64| format!("{} over {} ms", percent(share), WINDOW.as_millis());
    let remedy = "stop other work (top shows it) or wait until it has ended";
    match passed.and_then(|passed| passed.share(passed.busy)) {
        Some(share) if share >= 0.5 => facts.bad(BUSY.0, BUSY.1, text(share), remedy),
        Some(share) if share >= 0.1 => facts.warn(BUSY.0, BUSY.1, text(share), remedy),
        Some(share) => facts.ok(BUSY.0, BUSY.1, text(share)),
        None => facts.unknown(BUSY.0, BUSY.1, None),
    }
    const STEAL: (&str, &str) = ("cpu.steal", "CPU taken by the hypervisor");
    let remedy = "repeat on a quieter host or a dedicated instance";
    match passed.and_then(|passed| passed.share(passed.steal)) {
        Some(share) if share >= 0.1 => facts.bad(STEAL.0, STEAL.1, text(share), remedy),
        Some(share) if share >= 0.01 => facts.warn(STEAL.0, STEAL.1, text(share), remedy),
        Some(share) => facts.ok(STEAL.0, STEAL.1, text(share)),
        None => facts.unknown(STEAL.0, STEAL.1, None),
    }
}

/// The average of the last minute still shows work that has just ended (a build), so it only warns.
fn average(roots: &Roots, logical: u32, facts: &mut Facts) {
    const LOAD: (&str, &str) = ("load", "load average");
    let averages = roots.proc("loadavg").and_then(|text| {
        let mut fields = text.split(' ').map(str::to_owned);
        Some([fields.next()?, fields.next()?, fields.next()?])
    });
    let first = averages.as_ref().and_then(|averages| averages[0].parse::<f64>().ok());
    match (averages, first) {
        (Some(averages), Some(first)) => {
            let value = format!("{} on {logical} cores", averages.join(", "));
            if first > 0.25 * f64::from(logical) {
                facts.warn(
                    LOAD.0,
                    LOAD.1,
                    value,
                    "wait until it has fallen below a quarter of the cores (uptime shows it)",
                );
            } else {
                facts.ok(LOAD.0, LOAD.1, value);
            }
        }
        _ => facts.unknown(LOAD.0, LOAD.1, None),
    }
}

/// Pressure stall information, Documentation/accounting/psi.rst.
fn pressure(roots: &Roots, facts: &mut Facts) {
    const PRESSURE: (&str, &str) = ("pressure.cpu", "CPU pressure");
    let waiting = roots.proc("pressure/cpu").and_then(|text| {
        let some = value_of(&text, "some")?;
        let average = some.split(' ').find_map(|field| field.strip_prefix("avg10="))?;
        average.parse::<f64>().ok()
    });
    match waiting {
        Some(waiting) => {
            let value = format!("some task waited for a core in {waiting:.1}% of the last 10 s");
            if waiting >= 5.0 {
                facts.warn(PRESSURE.0, PRESSURE.1, value, "stop other work (top shows it) or wait until it has ended");
            } else {
                facts.ok(PRESSURE.0, PRESSURE.1, value);
            }
        }
        None => facts.unknown(PRESSURE.0, PRESSURE.1, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::testing::tree;
    use super::*;
    use record::results::FactVerdict;

    #[test]
    fn ticks_of_all_cores() {
        let (_folder, roots) = tree(&[("proc/stat", "cpu  10 1 4 80 5 0 0 7 3 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")]);
        let time = CpuTime::read(&roots).unwrap();
        assert_eq!(time, CpuTime { total: 107, busy: 15, steal: 7 });
        assert_eq!(time.since(&time).share(1), None);
    }

    #[test]
    fn a_window_is_judged_by_what_others_did() {
        let verdicts = |busy, steal| {
            let mut facts = Facts::default();
            judge_window(Some(CpuTime { total: 100, busy, steal }), &mut facts);
            (facts.get("cpu.busy").verdict, facts.get("cpu.steal").verdict)
        };
        assert_eq!(verdicts(3, 0), (FactVerdict::Ok, FactVerdict::Ok));
        assert_eq!(verdicts(20, 4), (FactVerdict::Warn, FactVerdict::Warn));
        assert_eq!(verdicts(80, 10), (FactVerdict::Bad, FactVerdict::Bad));
    }

    #[test]
    fn load_and_pressure() {
        let (_folder, roots) = tree(&[
            ("proc/loadavg", "1.50 0.80 0.20 7/157 12269\n"),
            ("proc/pressure/cpu", "some avg10=12.50 avg60=1.00 avg300=0.10 total=1\nfull avg10=0.00 total=0\n"),
        ]);
        let mut facts = Facts::default();
        probe(&roots, 2, &mut facts);
        assert_eq!(facts.get("load").value, "1.50, 0.80, 0.20 on 2 cores");
        assert_eq!(facts.get("load").verdict, FactVerdict::Warn);
        assert_eq!(facts.get("pressure.cpu").verdict, FactVerdict::Warn);
        assert_eq!(facts.get("cpu.busy").verdict, FactVerdict::Unknown);
        let mut six = Facts::default();
        average(&roots, 6, &mut six);
        assert_eq!(six.get("load").verdict, FactVerdict::Ok);
    }
}
