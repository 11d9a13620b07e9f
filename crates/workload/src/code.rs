//! Source code in the shapes of six languages. Identifiers are composed of the topic's words; a snippet has a few names of
//! its own and uses them again and again, as code does.

use super::prose::{sentence, title};
use super::rng::Stream;
use super::topic::Topic;

/// A fenced block of about `bytes` bytes, at least one unit (a function, a statement, an object).
pub(super) fn block(topic: &Topic, rng: &mut Stream, bytes: usize) -> String {
    let language = rng.pick(&["python", "python", "python", "rust", "rust", "json", "sql", "javascript", "bash"]);
    let snippet = Snippet::new(topic, rng, matches!(language, "javascript" | "json"));
    let mut text = format!("```{language}\n");
    let body = text.len();
    if language == "json" {
        snippet.json(&mut text, rng, bytes);
    }
    while text.len() == body || (text.len() < bytes && language != "json") {
        if text.len() > body {
            text.push('\n');
        }
        match language {
            "python" => snippet.python(&mut text, rng),
            "rust" => snippet.rust(&mut text, rng),
            "sql" => snippet.sql(&mut text, rng),
            "javascript" => snippet.javascript(&mut text, rng),
            _ => snippet.shell(&mut text, rng),
        }
    }
    text.push_str("```");
    text
}

struct Snippet<'a> {
    topic: &'a Topic,
    variables: Vec<String>,
    functions: Vec<String>,
    types: Vec<String>,
}

impl<'a> Snippet<'a> {
    fn new(topic: &'a Topic, rng: &mut Stream, camel: bool) -> Self {
        let name = |rng: &mut Stream, verb| if camel { topic.camel(rng, verb) } else { topic.snake(rng, verb) };
        let mut variables: Vec<String> = (0..5).map(|_| topic.noun(rng).singular.clone()).collect();
        variables.extend((0..4).map(|_| name(rng, false)));
        variables.extend(["i", "n", "key", "value"].map(str::to_owned));
        Self {
            topic,
            variables,
            functions: (0..5).map(|_| name(rng, true)).collect(),
            types: (0..3).map(|_| topic.pascal(rng)).collect(),
        }
    }

    fn variable(&self, rng: &mut Stream) -> &str {
        let reach = self.variables.len();
        // The smaller of two draws: some names are used much more than others.
        &self.variables[rng.below(reach).min(rng.below(reach))]
    }

    fn function(&self, rng: &mut Stream) -> &str {
        &self.functions[rng.below(self.functions.len())]
    }

    fn type_name(&self, rng: &mut Stream) -> &str {
        &self.types[rng.below(self.types.len())]
    }

    fn number(&self, rng: &mut Stream) -> String {
        match rng.below(8) {
            0..4 => rng.below(3).to_string(),
            4 | 5 => rng.range(2, 100).to_string(),
            6 => (1usize << rng.range(4, 16)).to_string(),
            _ => format!("{}.{}", rng.below(10), rng.range(1, 99)),
        }
    }

    fn text(&self, rng: &mut Stream) -> String {
        match rng.below(4) {
            0 => title(self.topic, rng).to_lowercase(),
            1 => self.topic.snake(rng, false),
            2 => format!(
                "{}/{}.{}",
                self.variable(rng),
                self.topic.noun(rng).singular,
                rng.pick(&["json", "txt", "py", "log", "csv"])
            ),
            _ => self.topic.noun(rng).singular.clone(),
        }
    }

    fn expression(&self, rng: &mut Stream, depth: usize) -> String {
        match rng.below(if depth == 0 { 4 } else { 9 }) {
            0..3 => self.variable(rng).to_owned(),
            3 => self.number(rng),
            4 => format!("{}({})", self.function(rng), self.expression(rng, depth - 1)),
            5 => format!(
                "{} {} {}",
                self.variable(rng),
                rng.pick(&["+", "-", "*", "/", "%"]),
                self.expression(rng, depth - 1)
            ),
            6 => format!("{}[{}]", self.variable(rng), self.expression(rng, 0)),
            7 => format!("{}.{}", self.variable(rng), self.variable(rng)),
            _ => format!("\"{}\"", self.text(rng)),
        }
    }

    fn condition(&self, rng: &mut Stream) -> String {
        format!("{} {} {}", self.variable(rng), rng.pick(&["==", "!=", "<", ">", "<=", ">="]), self.expression(rng, 1))
    }

    fn python(&self, text: &mut String, rng: &mut Stream) {
        match rng.below(8) {
            0 => {
                let module = rng.pick(&[
                    "json",
                    "os",
                    "re",
                    "sys",
                    "time",
                    "typing",
                    "collections",
                    "pathlib",
                    "asyncio",
                    "logging",
                ]);
                *text += &format!(
                    "import {module}\nfrom {}.{} import {}\n\n",
                    self.variable(rng),
                    self.topic.snake(rng, false),
                    self.type_name(rng)
                );
                return;
            }
            1 => {
                *text += &format!(
                    "class {}({}):\n    \"\"\"{}\"\"\"\n\n",
                    self.type_name(rng),
                    self.type_name(rng),
                    sentence(self.topic, rng)
                );
                *text += &format!("    def __init__(self, {}, {}=None):\n", self.variables[0], self.variables[1]);
                for variable in &self.variables[..rng.range(2, 5)] {
                    *text += &format!("        self.{variable} = {variable}\n");
                }
                return;
            }
            _ => {}
        }
        let (a, b) = (self.variable(rng), self.variable(rng));
        *text += &format!(
            "def {}({a}: {}, {b}={}):\n",
            self.function(rng),
            rng.pick(&["str", "int", "list", "dict", "bytes"]),
            self.number(rng)
        );
        if rng.chance(50) {
            *text += &format!("    \"\"\"{}\"\"\"\n", sentence(self.topic, rng));
        }
        for _ in 0..rng.range(2, 6) {
            match rng.below(7) {
                0 => *text += &format!("    if {}:\n        return {}\n", self.condition(rng), self.expression(rng, 1)),
                1 => {
                    *text += &format!("    for {} in {}:\n", self.variable(rng), self.expression(rng, 1));
                    *text += &format!("        {}.append({})\n", self.variable(rng), self.expression(rng, 2));
                }
                2 => *text += &format!("    # {}\n", sentence(self.topic, rng)),
                3 => *text += &format!("    self.{} = {}\n", self.variable(rng), self.expression(rng, 2)),
                4 => *text += &format!("    print(f\"{}: {{{}}}\")\n", self.text(rng), self.variable(rng)),
                _ => *text += &format!("    {} = {}\n", self.variable(rng), self.expression(rng, 2)),
            }
        }
        *text += &format!("    return {}\n", self.expression(rng, 1));
    }

    fn rust(&self, text: &mut String, rng: &mut Stream) {
        let kind = rng.pick(&["u32", "usize", "&str", "String", "Vec<u8>", "Option<u64>", "bool"]);
        if rng.chance(25) {
            *text += &format!(
                "/// {}\n#[derive(Debug, Clone)]\npub struct {} {{\n",
                sentence(self.topic, rng),
                self.type_name(rng)
            );
            for variable in &self.variables[..rng.range(2, 5)] {
                *text += &format!("    pub {variable}: {kind},\n");
            }
            *text += "}\n";
            return;
        }
        *text += &format!(
            "fn {}({}: {kind}, {}: &{}) -> Result<{kind}, Error> {{\n",
            self.function(rng),
            self.variable(rng),
            self.variable(rng),
            self.type_name(rng)
        );
        for _ in 0..rng.range(2, 6) {
            match rng.below(6) {
                0 => {
                    *text += &format!(
                        "    if {} {{\n        return Err(Error::{});\n    }}\n",
                        self.condition(rng),
                        self.type_name(rng)
                    )
                }
                1 => {
                    *text += &format!("    for {} in {}.iter() {{\n", self.variable(rng), self.variable(rng));
                    *text += &format!("        {}.push({});\n    }}\n", self.variable(rng), self.expression(rng, 2));
                }
                2 => *text += &format!("    // {}\n", sentence(self.topic, rng)),
                3 => *text += &format!("    let mut {} = {}::new();\n", self.variable(rng), self.type_name(rng)),
                _ => *text += &format!("    let {} = {};\n", self.variable(rng), self.expression(rng, 2)),
            }
        }
        *text += &format!("    Ok({})\n}}\n", self.expression(rng, 1));
    }

    fn javascript(&self, text: &mut String, rng: &mut Stream) {
        let asynchronous = if rng.chance(40) { "async " } else { "" };
        *text += &format!(
            "export {asynchronous}function {}({}, {}) {{\n",
            self.function(rng),
            self.variable(rng),
            self.variable(rng)
        );
        for _ in 0..rng.range(2, 6) {
            match rng.below(5) {
                0 => {
                    *text += &format!(
                        "  if ({}) {{\n    throw new Error('{}');\n  }}\n",
                        self.condition(rng),
                        self.text(rng)
                    )
                }
                1 => {
                    *text += &format!(
                        "  {}.forEach(({}) => {}({}));\n",
                        self.variable(rng),
                        self.variable(rng),
                        self.function(rng),
                        self.variable(rng)
                    )
                }
                2 => *text += &format!("  // {}\n", sentence(self.topic, rng)),
                _ => *text += &format!("  const {} = {};\n", self.variable(rng), self.expression(rng, 2)),
            }
        }
        *text += &format!(
            "  return {{ {}, {}: {} }};\n}}\n",
            self.variable(rng),
            self.variable(rng),
            self.expression(rng, 1)
        );
    }

    fn sql(&self, text: &mut String, rng: &mut Stream) {
        let table = self.topic.snake(rng, false);
        if rng.chance(30) {
            *text += &format!("CREATE TABLE {table} (\n    id BIGINT PRIMARY KEY");
            for variable in &self.variables[5..8] {
                *text += &format!(
                    ",\n    {variable} {}",
                    rng.pick(&["TEXT NOT NULL", "INTEGER", "TIMESTAMP DEFAULT now()", "VARCHAR(255)", "BOOLEAN"])
                );
            }
            *text += "\n);\n";
            return;
        }
        *text += &format!("SELECT t.{}, COUNT(*) AS {}\nFROM {table} AS t\n", self.variable(rng), self.variable(rng));
        if rng.chance(50) {
            *text += &format!("JOIN {} AS u ON u.id = t.{}_id\n", self.topic.snake(rng, false), self.variable(rng));
        }
        *text += &format!(
            "WHERE t.{} = '{}' AND t.{} > {}\n",
            self.variable(rng),
            self.text(rng),
            self.variable(rng),
            self.number(rng)
        );
        *text += &format!("GROUP BY t.{}\nORDER BY 2 DESC\nLIMIT {};\n", self.variable(rng), rng.range(1, 10) * 10);
    }

    fn shell(&self, text: &mut String, rng: &mut Stream) {
        if rng.chance(30) {
            *text += &format!("# {}\n", sentence(self.topic, rng));
        }
        let (word, path) = (self.variable(rng).to_owned(), self.text(rng));
        *text += &match rng.below(5) {
            0 => format!("export {}={path}\n", self.topic.snake(rng, false).to_uppercase()),
            1 => format!("curl -s https://example.com/{word}/{} | jq '.{}'\n", self.variable(rng), self.variable(rng)),
            2 => format!(
                "for {word} in $(ls {}); do\n  echo \"${word}\" >> {}.log\ndone\n",
                self.variable(rng),
                self.variable(rng)
            ),
            3 => format!(
                "grep -n \"{path}\" {}.{} | sort | uniq -c\n",
                self.variable(rng),
                rng.pick(&["txt", "log", "py"])
            ),
            _ => format!(
                "{} --{} {} --{word}={}\n",
                self.topic.noun(rng).singular,
                self.topic.noun(rng).singular,
                path.replace(' ', "-"),
                self.number(rng)
            ),
        };
    }

    /// One array of objects that share their keys.
    fn json(&self, text: &mut String, rng: &mut Stream, bytes: usize) {
        let keys: Vec<String> = (0..rng.range(3, 6)).map(|_| self.topic.camel(rng, false)).collect();
        let start = text.len();
        *text += "[\n";
        loop {
            *text += "  {\n";
            for (i, key) in keys.iter().enumerate() {
                let value = match (i + key.len()) % 5 {
                    0 => self.number(rng),
                    1 => rng.pick(&["true", "false", "null"]).to_owned(),
                    2 => format!("[\"{}\", \"{}\"]", self.text(rng), self.text(rng)),
                    3 => format!(
                        "{{\"id\": {}, \"{}\": \"{}\"}}",
                        rng.below(100_000),
                        self.variable(rng),
                        self.text(rng)
                    ),
                    _ => format!("\"{}\"", sentence(self.topic, rng).trim_end_matches('.')),
                };
                *text += &format!("    \"{key}\": {value}{}\n", if i + 1 < keys.len() { "," } else { "" });
            }
            *text += "  }";
            if text.len() - start >= bytes {
                break;
            }
            *text += ",\n";
        }
        *text += "\n]\n";
    }
}
