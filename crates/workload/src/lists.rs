//! Lists as chat models write them: bullets, numbers, bold heads, tables.

use super::prose::{sentence, title};
use super::rng::Stream;
use super::topic::Topic;

/// A list of about `bytes` bytes, at least two items.
pub(super) fn list(topic: &Topic, rng: &mut Stream, bytes: usize) -> String {
    let style = rng.below(8);
    let mut text = String::new();
    if style == 7 {
        text.push_str(&format!(
            "| {} | {} | {} |\n| --- | --- | ---: |",
            title(topic, rng),
            title(topic, rng),
            title(topic, rng)
        ));
    }
    let mut item = 0;
    while item < 2 || text.len() < bytes {
        if !text.is_empty() {
            text.push('\n');
        }
        item += 1;
        match style {
            0 | 1 => text.push_str(&format!("- {}", sentence(topic, rng))),
            2 => text.push_str(&format!("- **{}**: {}", title(topic, rng), sentence(topic, rng))),
            3 => text.push_str(&format!("{item}. {}", sentence(topic, rng))),
            4 => text.push_str(&format!("{item}. **{}** - {}", title(topic, rng), sentence(topic, rng))),
            5 => text.push_str(&format!("* {}", title(topic, rng))),
            6 => text.push_str(&format!(
                "- `{}`: {}\n  - {}",
                topic.snake(rng, false),
                sentence(topic, rng),
                sentence(topic, rng)
            )),
            _ => text.push_str(&format!(
                "| {} | `{}` | {}.{} |",
                title(topic, rng),
                topic.snake(rng, false),
                rng.below(1000),
                rng.below(100)
            )),
        }
    }
    text
}
