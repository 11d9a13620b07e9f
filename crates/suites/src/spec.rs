//! `suite.toml`: what differs between experiments as data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::axes::AxisValue;

/// A whole `suite.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteSpec {
    pub name: String,
    pub title: String,
    pub quick: Profile,
    pub full: Profile,
    #[serde(rename = "experiment")]
    pub experiments: Vec<ExperimentSpec>,
}

/// How many runs, and when they end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Numbers of runs after which the results are looked at; the last is the most that are made.
    pub looks: Vec<u32>,
    /// Blocks of each cell in a run.
    pub blocks: u32,
    /// Wall time after which no further run starts, s.
    pub budget_s: f64,
    /// The runs end at a look when `target_share` of the comparisons have a half-width of at most `target_half_width`.
    pub target_share: f64,
    pub target_half_width: f64,
}

/// One `[[experiment]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSpec {
    pub id: u32,
    pub name: String,
    pub question: String,
    /// `lower` or `higher`.
    pub better: String,
    /// Takes so long that it runs only where it is asked for.
    #[serde(default)]
    pub only_by_name: bool,
    pub axes: BTreeMap<String, Vec<AxisValue>>,
    #[serde(default)]
    pub params: BTreeMap<String, f64>,
    /// Further parameters that may be set and have no value of their own.
    #[serde(default)]
    pub optional_params: Vec<String>,
    pub method: Vec<String>,
    pub threats: Vec<String>,
    /// Engines are what is compared: output that differs is a result and no failure of the run.
    #[serde(default)]
    pub mismatch_is_result: bool,
    /// Has rows of Python engines that the common environment does not hold: they are installed beside it.
    #[serde(default)]
    pub optional_engines: bool,
    #[serde(default)]
    pub quick: Override,
    #[serde(default)]
    pub full: Override,
}

/// What a profile, a `--config` file or the command line changes of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    #[serde(default)]
    pub axes: BTreeMap<String, Vec<AxisValue>>,
    #[serde(default)]
    pub params: BTreeMap<String, f64>,
    /// Wall time that the experiment adds to the profile's budget, s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_s: Option<f64>,
}

/// What stands for every experiment.
const ALL: &str = "all";

impl SuiteSpec {
    /// Reads the text of a `suite.toml`.
    ///
    /// # Errors
    /// The parser's message with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The experiments asked for, by number or name, in the suite's order. `all` are all of them; an empty list those that are
    /// not [`ExperimentSpec::only_by_name`].
    ///
    /// # Errors
    /// A sentence with the nearest name for one that is not there.
    pub fn select(&self, wanted: &[String]) -> Result<Vec<&ExperimentSpec>, String> {
        let all = wanted.iter().any(|want| want == ALL);
        for want in wanted.iter().filter(|want| *want != ALL) {
            if !self.experiments.iter().any(|experiment| experiment.is(want)) {
                let names: Vec<String> = self.experiments.iter().map(|experiment| experiment.name.clone()).collect();
                let numbers: Vec<String> =
                    self.experiments.iter().map(|experiment| experiment.id.to_string()).collect();
                return Err(format!(
                    "the suite {} has no experiment `{want}`{} (numbers {}; `llmbench list` shows them)",
                    self.name,
                    suggestion(want, &names),
                    numbers.join(", "),
                ));
            }
        }
        let asked = |experiment: &&ExperimentSpec| {
            all || (wanted.is_empty() && !experiment.only_by_name) || wanted.iter().any(|want| experiment.is(want))
        };
        Ok(self.experiments.iter().filter(asked).collect())
    }
}

impl ExperimentSpec {
    fn is(&self, want: &str) -> bool {
        want == self.name || want == self.id.to_string()
    }
}

/// `; did you mean x?`, or the whole list when nothing is near.
pub fn suggestion(word: &str, known: &[String]) -> String {
    let nearest =
        known.iter().map(|name| (strsim::damerau_levenshtein(word, name), name)).min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, name)) if distance <= name.len().max(word.len()) / 2 => format!("; did you mean `{name}`?"),
        _ => format!("; there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_lists_all() {
        let known = ["anatomy".to_owned(), "gpu-wait".to_owned()];
        assert_eq!(suggestion("anatmoy", &known), "; did you mean `anatomy`?");
        assert_eq!(suggestion("x", &known), "; there are: anatomy, gpu-wait");
    }
}
