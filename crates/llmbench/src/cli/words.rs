//! Parts of the help that depend on which suites there are.

use suites::Suite;

/// Help of the suite's name.
pub fn suites() -> String {
    let names: Vec<String> = suites::all().iter().map(|suite| suite.spec().name.clone()).collect();
    format!("The suite: {}", names.join(" or "))
}

/// Help of `--exp`: which experiments each suite runs where none is named.
pub fn experiments() -> String {
    let defaults: Vec<String> = suites::all().iter().map(|suite| default(suite.as_ref())).collect();
    format!(
        "Experiments by number or name, or `all`; without this those that take minutes [default: {}]",
        defaults.join("; ")
    )
}

fn default(suite: &dyn Suite) -> String {
    let spec = suite.spec();
    let selected = spec.select(&[]).unwrap_or_default();
    let numbers: Vec<String> = selected.iter().map(|experiment| experiment.id.to_string()).collect();
    format!("{} {}", spec.name, numbers.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_the_default_experiments_of_each_suite() {
        let said = experiments();
        for suite in suites::all() {
            let spec = suite.spec();
            let own = said.split(['[', ';', ']']).find(|part| part.contains(&spec.name)).expect("each suite is named");
            for experiment in &spec.experiments {
                let is_named = own.split(' ').any(|word| word == experiment.id.to_string());
                assert_eq!(is_named, !experiment.only_by_name, "{} of {}: {own}", experiment.name, spec.name);
            }
        }
    }
}
