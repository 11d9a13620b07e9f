//! Program-like text in four manners.

use super::english::{name, sentence, stem};
use super::random::Random;

const TYPES: &[&str] =
    &["int", "float", "string", "bool", "list", "u32", "Vec<u8>", "Option<String>", "number", "auto"];
const OPERATORS: &[&str] = &["+", "-", "*", "/", "%", "==", "!=", "<=", ">=", "&&", "||", "<<", ">>", "^", "|"];

/// A function or a piece of data, with the empty line behind it.
pub fn function(random: &mut Random, text: &mut String) {
    match random.below(5) {
        0 => python(random, text),
        1 => braces(random, text),
        2 => rust(random, text),
        3 => data(random, text),
        _ => {
            text.push_str("// ");
            sentence(random, text);
            text.push('\n');
        }
    }
}

fn python(random: &mut Random, text: &mut String) {
    let (function, first, second) = (snake(random), snake(random), snake(random));
    text.push_str(&format!("def {function}({first}, *, {second}=None):\n    \"\"\""));
    sentence(random, text);
    text.push_str("\"\"\"\n");
    for _ in 0..random.range(1, 6) {
        let depth = random.range(1, 4);
        text.push_str(&"    ".repeat(depth));
        let line = match random.below(4) {
            0 => format!("if {} is not None:\n{}return {}\n", snake(random), "    ".repeat(depth + 1), literal(random)),
            1 => format!("for {} in range({}):\n{}pass\n", snake(random), literal(random), "    ".repeat(depth + 1)),
            2 => format!("self.{} = {{k: v ** 2 for k, v in {}.items()}}\n", snake(random), snake(random)),
            _ => format!("{} = {}\n", snake(random), expression(random)),
        };
        text.push_str(&line);
    }
    text.push_str(&format!("    return {first}\n\n\n"));
}

fn braces(random: &mut Random, text: &mut String) {
    let kind = random.pick(TYPES);
    text.push_str(&format!("{kind} {}({kind} {}) {{\n", camel(random), camel(random)));
    for _ in 0..random.range(1, 6) {
        let line = match random.below(3) {
            0 => format!("\tif ({}) {{ {}(\"{}\\n\"); }}\n", expression(random), camel(random), stem(random)),
            1 => format!("\tconst {} = {};  // {}\n", camel(random), expression(random), stem(random)),
            _ => format!(
                "\tfor (let i = 0; i < {}; i++) {}[i] += {};\n",
                literal(random),
                camel(random),
                literal(random)
            ),
        };
        text.push_str(&line);
    }
    text.push_str("}\n\n");
}

fn rust(random: &mut Random, text: &mut String) {
    let kind = random.pick(TYPES);
    text.push_str(&format!("pub fn {}(&self, {}: {kind}) -> Result<{kind}, Error> {{\n", snake(random), snake(random)));
    for _ in 0..random.range(1, 5) {
        let line = match random.below(3) {
            0 => format!(
                "    let {} = self.{}.iter().map(|x| {}).collect::<Vec<_>>();\n",
                snake(random),
                snake(random),
                expression(random)
            ),
            1 => format!("    assert!({}, \"{} {{}}\", {});\n", expression(random), stem(random), snake(random)),
            _ => format!(
                "    match {} {{ Some(x) => x, None => return Err(Error::{}) }};\n",
                snake(random),
                pascal(random)
            ),
        };
        text.push_str(&line);
    }
    text.push_str("    Ok(())\n}\n\n");
}

fn data(random: &mut Random, text: &mut String) {
    text.push_str("{\r\n");
    for _ in 0..random.range(2, 6) {
        text.push_str(&format!(
            "  \"{}\": [{}, \"0x{:08X}\", {{\"{}\": null}}],\r\n",
            snake(random),
            literal(random),
            random.next() as u32,
            camel(random)
        ));
    }
    text.push_str("}\r\n");
}

fn expression(random: &mut Random) -> String {
    let operator = random.pick(OPERATORS);
    match random.below(3) {
        0 => format!("{} {operator} {}", snake(random), literal(random)),
        1 => format!("({} {operator} {}) {operator} {}", camel(random), literal(random), snake(random)),
        _ => format!("{}({}[{}])", camel(random), snake(random), literal(random)),
    }
}

fn literal(random: &mut Random) -> String {
    match random.below(5) {
        0 => format!("0x{:x}", random.below(1 << 16)),
        1 => format!("{}.{}e-{}", random.below(10), random.below(1000), random.below(20)),
        2 => format!("{:_>3}", random.below(100_000)),
        _ => random.below(1000).to_string(),
    }
}

fn snake(random: &mut Random) -> String {
    let mut parts = vec![stem(random)];
    (0..random.below(3)).for_each(|_| parts.push(stem(random)));
    parts.join("_")
}

fn camel(random: &mut Random) -> String {
    format!("{}{}", stem(random), pascal(random))
}

fn pascal(random: &mut Random) -> String {
    let mut text = String::new();
    if random.chance(20) {
        name(random, &mut text);
    } else {
        let stem = stem(random);
        text.push_str(&stem[..1].to_ascii_uppercase());
        text.push_str(&stem[1..]);
    }
    text
}
