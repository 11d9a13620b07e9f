//! Values of an axis, some of them relative to the cores of the machine.

use serde::{Deserialize, Serialize};

/// A value in `suite.toml`, a `--config` file or on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AxisValue {
    Number(u32),
    /// `cores`, `2*cores`, `1..cores` (doubling: 1, 2, 4, … up to and with the cores), `1..2*cores`; or a word.
    Text(String),
}

/// Numbers of an axis, ascending and without repeats, on a machine with that many effective cores.
///
/// # Errors
/// A sentence when a value is no number, or 0.
pub fn numbers(axis: &str, values: &[AxisValue], cores: u32) -> Result<Vec<u32>, String> {
    let mut numbers = Vec::new();
    for value in values {
        match value {
            AxisValue::Number(0) => return Err(format!("{axis} = 0 makes no sense; use numbers from 1 on")),
            AxisValue::Number(number) => numbers.push(*number),
            AxisValue::Text(text) => numbers.extend(relative(text, cores).ok_or_else(|| {
                format!(
                    "{axis}: `{text}` is neither a number from 1 on nor one of cores, 2*cores, 1..cores, 1..2*cores"
                )
            })?),
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() {
        return Err(format!("{axis} has no value; give at least one number"));
    }
    Ok(numbers)
}

/// Words of an axis, in their order.
pub fn words(values: &[AxisValue]) -> Vec<String> {
    values
        .iter()
        .map(|value| match value {
            AxisValue::Number(number) => number.to_string(),
            AxisValue::Text(text) => text.clone(),
        })
        .collect()
}

/// Reads `1,2,4` or `1,cores` from the command line.
///
/// # Errors
/// A sentence that names the part that is no value.
pub fn parse_list(text: &str) -> Result<Vec<AxisValue>, String> {
    text.split(',')
        .map(str::trim)
        .map(|part| match part.parse::<u32>() {
            Ok(0) => Err("0 makes no sense here; use numbers from 1 on".to_owned()),
            Ok(number) => Ok(AxisValue::Number(number)),
            Err(_) if relative(part, 1).is_some() => Ok(AxisValue::Text(part.to_owned())),
            Err(_) => Err(format!("`{part}` is no number from 1 on (a list looks like 1,2,4)")),
        })
        .collect()
}

fn relative(text: &str, cores: u32) -> Option<Vec<u32>> {
    let bound = |name: &str| match name {
        "cores" => Some(cores),
        "2*cores" => Some(2 * cores),
        _ => None,
    };
    if let Some(last) = text.strip_prefix("1..") {
        let last = bound(last)?;
        let mut doubling: Vec<u32> =
            std::iter::successors(Some(1_u32), |n| n.checked_mul(2)).take_while(|n| *n < last).collect();
        doubling.push(last);
        return Some(doubling);
    }
    bound(text).map(|number| vec![number])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> AxisValue {
        AxisValue::Text(value.to_owned())
    }

    #[test]
    fn core_relative_values_follow_the_machine() {
        assert_eq!(numbers("threads", &[text("1..2*cores")], 2), Ok(vec![1, 2, 4]));
        assert_eq!(numbers("threads", &[text("1..cores")], 6), Ok(vec![1, 2, 4, 6]));
        assert_eq!(numbers("threads", &[AxisValue::Number(1), text("cores"), text("2*cores")], 1), Ok(vec![1, 2]));
        assert_eq!(numbers("threads", &[text("1..cores")], 1), Ok(vec![1]));
    }

    #[test]
    fn zero_and_nonsense_are_refused_with_the_axis_named() {
        assert!(numbers("threads", &[AxisValue::Number(0)], 2).unwrap_err().contains("threads = 0"));
        assert!(numbers("turns", &[text("many")], 2).unwrap_err().contains("turns: `many`"));
        assert!(parse_list("1,0").is_err());
        assert!(parse_list("1,x").unwrap_err().contains("`x`"));
        assert_eq!(parse_list("1, 2,cores"), Ok(vec![AxisValue::Number(1), AxisValue::Number(2), text("cores")]));
    }
}
