//! The points of an experiment: cells that differ only in the axes along which it compares stand at one.

use record::plan::Cell;
use serde_json::Value;

use crate::present::{self, Axes};

/// One point: what all its cells have in common.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Point {
    axes: Axes,
}

impl Point {
    /// The point of a cell in an experiment that compares along these axes.
    pub fn of(axes: &Axes, compared: &[&str]) -> Self {
        let own = axes.iter().filter(|(name, _)| !compared.contains(&name.as_str()));
        Self { axes: own.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    /// As the heading of a table: `1,000 tokens in 3 turns`, `batches of 16 requests of 500 tokens in 3 turns`. Empty where an experiment has but
    /// one point, which all its axes make.
    pub fn describe(&self) -> String {
        let mut words = Vec::new();
        let sized = ["tokens", "turns", "workload"];
        if sized.iter().any(|name| self.axes.contains_key(*name)) {
            words.push(self.requests());
        }
        if let Some(batch) = self.axes.get("batch") {
            let requests = words.pop().map_or(String::new(), |requests| format!(" of {requests}"));
            words.push(format!("batches of {batch} requests{requests}"));
        }
        let more = self.axes.iter().filter(|(name, _)| !sized.contains(&name.as_str()) && *name != "batch");
        words.extend(more.map(|(name, value)| format!("{name} {}", plain(value))));
        words.join(", ")
    }

    fn requests(&self) -> String {
        match self.axes.contains_key("turns") || !self.axes.contains_key("tokens") {
            true => present::describe(&self.axes),
            // Turns are compared there.
            false => format!("{} tokens", record::format::count(present::number(&self.axes, "tokens"))),
        }
    }

    /// A part of a file name: `t500-n3-batch16`.
    pub fn slug(&self) -> String {
        let part = |(name, value): (&String, &Value)| match name.as_str() {
            "tokens" => format!("t{}", plain(value)),
            "turns" => format!("n{}", plain(value)),
            "workload" => plain(value),
            name => format!("{name}{}", plain(value)),
        };
        let order = |name: &str| ["tokens", "turns", "workload"].iter().position(|known| *known == name).unwrap_or(9);
        let mut axes: Vec<(&String, &Value)> = self.axes.iter().collect();
        axes.sort_by_key(|(name, _)| order(name));
        let slug = axes.into_iter().map(part).collect::<Vec<_>>().join("-");
        slug.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
    }

    /// A text that speaks of this point: as it is where it names the point, and with it otherwise.
    pub fn named(&self, text: &str) -> String {
        let point = self.describe();
        if point.is_empty() || text.contains(&point) {
            return text.to_owned();
        }
        match text.strip_suffix('.') {
            Some(sentence) => format!("{sentence} ({point})."),
            None => format!("{text}, {point}"),
        }
    }
}

/// The points in the order of their first cells, each with its cells.
pub fn points<'a>(cells: impl Iterator<Item = &'a Cell>, compared: &[&str]) -> Vec<(Point, Vec<&'a Cell>)> {
    let mut points: Vec<(Point, Vec<&Cell>)> = Vec::new();
    for cell in cells {
        let point = Point::of(&cell.axes, compared);
        match points.iter_mut().find(|(known, _)| *known == point) {
            Some((_, cells)) => cells.push(cell),
            None => points.push((point, vec![cell])),
        }
    }
    points
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn axes(of: &[(&str, Value)]) -> Axes {
        of.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn a_point_is_what_is_not_compared() {
        let all = axes(&[
            ("tokens", json!(500)),
            ("turns", json!(3)),
            ("batch", json!(16)),
            ("threads", json!(2)),
            ("mode", json!("stages")),
        ]);
        let point = Point::of(&all, &["threads", "mode"]);
        assert_eq!(point.describe(), "batches of 16 requests of 500 tokens in 3 turns");
        assert_eq!(point.slug(), "t500-n3-batch16");
        assert_eq!(point.named("Threads help."), "Threads help (batches of 16 requests of 500 tokens in 3 turns).");
        assert_eq!(Point::of(&all, &["threads", "mode", "turns", "batch"]).describe(), "500 tokens");
        assert_eq!(Point::of(&axes(&[("workload", json!("dataset"))]), &[]).describe(), "the dataset");
        let level = axes(&[("tokens", json!(9)), ("turns", json!(1)), ("level", json!("ttft:p99:1s"))]);
        assert_eq!(Point::of(&level, &[]).slug(), "t9-n1-levelttft_p99_1s");
    }
}
