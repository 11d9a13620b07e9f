//! Which template a model folder means, and the special tokens that its template sees.

use serde_json::Value;

use super::error::TemplateError;

/// Special tokens by name, in the order in which `transformers` passes them to the template.
///
/// `transformers` 5 passes `special_tokens_map`: the seven standard names and every other name in the
/// config that ends in `_token` (or stands in a dictionary `extra_special_tokens`); not the list of
/// additional special tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    tokens: Vec<(String, String)>,
}

/// `PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES`.
const STANDARD: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

impl SpecialTokens {
    /// Reads `tokenizer_config.json` and, where the folder has one, `special_tokens_map.json`.
    ///
    /// The latter counts only if the config has no `added_tokens_decoder`, as in `transformers`.
    ///
    /// # Errors
    /// [`TemplateError::Config`] if a standard token is neither text nor an object with `content`.
    pub fn from_config(config: &Value, special_tokens_map: Option<&Value>) -> Result<SpecialTokens, TemplateError> {
        let empty = serde_json::Map::new();
        let own = config.as_object().unwrap_or(&empty);
        let legacy = special_tokens_map
            .and_then(Value::as_object)
            .filter(|_| !own.contains_key("added_tokens_decoder"))
            .unwrap_or(&empty);
        let mut found = SpecialTokens::default();
        for name in STANDARD {
            match legacy.get(name).or_else(|| own.get(name)) {
                None | Some(Value::Null) => {}
                Some(value) => {
                    let text = token_text(value).ok_or_else(|| {
                        TemplateError::Config(format!("{name} is neither text nor an object with \"content\""))
                    })?;
                    found.set(name, text);
                }
            }
        }
        for (name, value) in own.iter().chain(legacy) {
            if name.ends_with("_token")
                && !STANDARD.contains(&name.as_str())
                && let Some(text) = token_text(value)
            {
                found.set(name, text);
            }
        }
        for named in [own, legacy] {
            if let Some(Value::Object(extra)) = named.get("extra_special_tokens") {
                for (name, value) in extra {
                    if let Some(text) = token_text(value) {
                        found.set(name, text);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Sets one token; a later value of the same name replaces the earlier.
    pub fn set(&mut self, name: &str, text: &str) {
        match self.tokens.iter_mut().find(|(have, _)| have == name) {
            Some((_, have)) => text.clone_into(have),
            None => self.tokens.push((name.to_owned(), text.to_owned())),
        }
    }

    /// The text of a token.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.tokens.iter().find(|(have, _)| have == name).map(|(_, text)| text.as_str())
    }

    /// Names and texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tokens.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

/// The text of a token that is written as text or as a serialized `AddedToken`.
fn token_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Object(fields) => fields.get("content")?.as_str(),
        _ => None,
    }
}

/// The template that `transformers` would use for this model.
///
/// `jinja_file` is the content of `chat_template.jinja` and takes precedence over the config. Of several
/// named templates, `tool_use` is taken if there are tools and such a template, else `default`.
///
/// # Errors
/// [`TemplateError::Missing`], [`TemplateError::NoDefault`], or [`TemplateError::Config`] if
/// `chat_template` has another type than text or a list of `{"name", "template"}`.
pub fn select_template(
    tokenizer_config: &Value,
    jinja_file: Option<&str>,
    tools: bool,
) -> Result<String, TemplateError> {
    if let Some(text) = jinja_file {
        return Ok(text.to_owned());
    }
    let named = match tokenizer_config.get("chat_template") {
        None | Some(Value::Null) => return Err(TemplateError::Missing),
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(value) => named(value)?,
    };
    let chosen =
        if tools { find(&named, "tool_use").or_else(|| find(&named, "default")) } else { find(&named, "default") };
    chosen.map(str::to_owned).ok_or_else(|| {
        let mut names: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        TemplateError::NoDefault { names: names.join(", ") }
    })
}

/// The template of requests with tools, where the model has one of its own: the config's `tool_use`, if `template` is the
/// config's `default` and not a file that takes its place.
pub fn tool_use_template(tokenizer_config: &Value, template: &str) -> Option<String> {
    let named = named(tokenizer_config.get("chat_template")?).ok()?;
    let tool_use = find(&named, "tool_use")?;
    (plain_ends(find(&named, "default")?) == plain_ends(template)).then(|| plain_ends(tool_use))
}

/// Lines that end in a line feed alone, as Python reads a text file.
fn plain_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Names and texts of several templates.
fn named(value: &Value) -> Result<Vec<(&str, &str)>, TemplateError> {
    match value {
        Value::Array(list) => list
            .iter()
            .map(|entry| Some((entry.get("name")?.as_str()?, entry.get("template")?.as_str()?)))
            .collect::<Option<_>>()
            .ok_or_else(|| {
                TemplateError::Config("an entry of chat_template lacks \"name\" or \"template\"".to_owned())
            }),
        Value::Object(map) => map
            .iter()
            .map(|(name, text)| Some((name.as_str(), text.as_str()?)))
            .collect::<Option<_>>()
            .ok_or_else(|| TemplateError::Config("an entry of chat_template is not text".to_owned())),
        _ => Err(TemplateError::Config("chat_template is neither text nor a list of named templates".to_owned())),
    }
}

/// A later entry of the same name wins, as in a Python dict.
fn find<'a>(named: &[(&str, &'a str)], wanted: &str) -> Option<&'a str> {
    named.iter().rev().find(|(name, _)| *name == wanted).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_text_or_objects_and_keep_the_standard_order() {
        let config = json!({
            "image_token": "<img>",
            "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": false},
            "bos_token": "<s>",
            "pad_token": null,
            "add_bos_token": true,
            "extra_special_tokens": {"boi_token": "<boi>"},
            "additional_special_tokens": ["<x>"],
        });
        let tokens = SpecialTokens::from_config(&config, None).unwrap();
        let all: Vec<_> = tokens.iter().collect();
        assert_eq!(
            all,
            [("bos_token", "<s>"), ("eos_token", "</s>"), ("image_token", "<img>"), ("boi_token", "<boi>")]
        );
    }

    #[test]
    fn the_legacy_map_counts_only_without_added_tokens_decoder() {
        let map = json!({"bos_token": {"content": "<B>"}});
        let old = SpecialTokens::from_config(&json!({"bos_token": "<s>"}), Some(&map)).unwrap();
        assert_eq!(old.get("bos_token"), Some("<B>"));
        let new = json!({"bos_token": "<s>", "added_tokens_decoder": {}});
        assert_eq!(SpecialTokens::from_config(&new, Some(&map)).unwrap().get("bos_token"), Some("<s>"));
    }

    #[test]
    fn a_token_of_the_wrong_type_is_named() {
        let error = SpecialTokens::from_config(&json!({"bos_token": 3}), None).unwrap_err();
        assert!(error.to_string().contains("bos_token"), "{error}");
    }

    #[test]
    fn the_file_wins_then_the_name() {
        let list = json!({"chat_template": [
            {"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]});
        assert_eq!(select_template(&list, Some("F"), true).unwrap(), "F");
        assert_eq!(select_template(&list, None, true).unwrap(), "T");
        assert_eq!(select_template(&list, None, false).unwrap(), "D");
        assert_eq!(select_template(&json!({"chat_template": "S"}), None, true).unwrap(), "S");
        let only = json!({"chat_template": [{"name": "rag", "template": "R"}]});
        assert_eq!(select_template(&only, None, true).unwrap_err(), TemplateError::NoDefault { names: "rag".into() });
        assert_eq!(select_template(&json!({}), None, false).unwrap_err(), TemplateError::Missing);
        assert!(matches!(select_template(&json!({"chat_template": 1}), None, false), Err(TemplateError::Config(_))));
    }

    #[test]
    fn requests_with_tools_have_a_template_of_their_own_unless_a_file_took_the_place_of_all() {
        let list = json!({"chat_template": [
            {"name": "default", "template": "D\r\n"}, {"name": "tool_use", "template": "T\r\n"}]});
        assert_eq!(tool_use_template(&list, "D\n").as_deref(), Some("T\n"));
        assert_eq!(tool_use_template(&list, "F"), None);
        assert_eq!(tool_use_template(&json!({"chat_template": "D"}), "D"), None);
        assert_eq!(tool_use_template(&json!({"chat_template": {"default": "D"}}), "D"), None);
        assert_eq!(tool_use_template(&json!({}), "D"), None);
    }
}
