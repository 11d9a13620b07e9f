//! From prompts to token ids.

use server_api::{Part, Prompt};

use crate::tokens::{PromptText, Tokenizer};

/// The ids of a prompt.
///
/// # Errors
/// The tokenizer's sentence.
pub fn ids(prompt: &Prompt, tokenizer: &Tokenizer) -> Result<Vec<u32>, String> {
    match prompt {
        Prompt::Ids(ids) => Ok(ids.clone()),
        Prompt::Text(text) => tokenizer.encode(PromptText::Text(text)),
        Prompt::Messages { messages, tools } => tokenizer.encode(PromptText::Messages { messages, tools }),
        Prompt::Mixed(parts) => {
            let mut all = Vec::new();
            for part in parts {
                match part {
                    Part::Id(id) => all.push(*id),
                    Part::Ids(ids) => all.extend(ids),
                    Part::Text(text) => all.extend(tokenizer.encode(PromptText::Text(text))?),
                }
            }
            Ok(all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_ids_in_one_prompt() {
        let mixed = Prompt::Mixed(vec![Part::Id(1), Part::Text("a b".into()), Part::Ids(vec![2, 3])]);
        assert_eq!(ids(&mixed, &Tokenizer::Words).unwrap().len(), 5);
    }
}
