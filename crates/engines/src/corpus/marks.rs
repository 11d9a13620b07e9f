//! Emoji, white space, special tokens, random scalars, long words.

use super::english;
use super::floor_char_boundary;
use super::random::Random;

const FACES: &[&str] =
    &["😀", "😂", "🥲", "😍", "🤖", "🔥", "🎉", "🚀", "🦀", "🐍", "🍕", "🌍", "🫠", "🪿", "☃", "✈", "❤", "⚡"];
const PEOPLE: &[&str] = &["👍", "👋", "🙏", "👩", "👨", "🧑", "💪", "🤝", "🫶"];
const TONES: &[&str] = &["\u{1F3FB}", "\u{1F3FC}", "\u{1F3FD}", "\u{1F3FE}", "\u{1F3FF}"];
const JOINED: &[&str] = &["💻", "🚀", "🌾", "🎤", "⚕\u{FE0F}", "❤\u{FE0F}\u{200D}🔥", "👩\u{200D}👧\u{200D}👦"];

/// One emoji, or a few letters between them.
pub fn emoji(random: &mut Random, text: &mut String) {
    match random.below(10) {
        0 => english::word(random, text),
        1 => text.push_str(random.pick(&[" ", "\n", "!", " … "])),
        2 | 3 => {
            text.push_str(random.pick(PEOPLE));
            text.push_str(random.pick(TONES));
        }
        4 | 5 => {
            text.push_str(random.pick(PEOPLE));
            text.push('\u{200D}');
            text.push_str(random.pick(JOINED));
        }
        // Two regional indicators are a flag, assigned or not.
        6 => text.extend((0..2).map(|_| char::from_u32(0x1F1E6 + random.below(26) as u32).unwrap_or('\u{1F1E6}'))),
        // England's flag is spelled in tag characters.
        7 if random.chance(30) => text.push_str("🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}"),
        7 => {
            text.push_str(random.pick(&["0", "7", "#", "*"]));
            text.push_str("\u{FE0F}\u{20E3}");
        }
        8 => {
            text.push_str(random.pick(FACES));
            text.push_str(random.pick(&["\u{FE0F}", "\u{FE0E}"]));
        }
        _ => text.push_str(random.pick(FACES)),
    }
}

const SPACES: &[&str] = &[
    " ", "\t", "\n", "\r\n", "\r", "\u{A0}", "\u{B}", "\u{C}", "\u{85}", "\u{1680}", "\u{2003}", "\u{2028}",
    "\u{2029}", "\u{202F}", "\u{205F}", "\u{3000}", "\u{200B}", "\u{FEFF}", "\u{180E}",
];

/// A run of white space of up to some hundred characters, and a word behind most of them.
pub fn whitespace(random: &mut Random, text: &mut String) {
    let length = if random.chance(5) { random.range(100, 400) } else { random.range(1, 24) };
    match random.below(5) {
        0 => text.push_str(&" ".repeat(length)),
        1 => text.push_str(&"\t".repeat(length)),
        2 => text.push_str(&random.pick(&["\n", "\r\n", " \n", "\n\t"]).repeat(length)),
        _ => (0..length).for_each(|_| text.push_str(random.pick(SPACES))),
    }
    match random.below(4) {
        0 => {}
        1 => text.push_str(random.pick(&["}", "//", "1", "'s", "é"])),
        _ => english::word(random, text),
    }
}

/// Words, and special tokens in all the places where they can stand.
pub fn special_tokens(random: &mut Random, tokens: &[String], text: &mut String) {
    (0..random.below(6)).for_each(|_| {
        english::word(random, text);
        text.push(' ');
    });
    let drawn = (!tokens.is_empty()).then(|| &tokens[random.below(tokens.len())]);
    let Some(token) = drawn.filter(|token| !token.is_empty()) else {
        return text.push_str(random.pick(&["<|im_start|>", "</s>", "<s>", "[INST]", "<|", "|>", "<think>"]));
    };
    match random.below(10) {
        // Cut: the beginning or the end of a token is text.
        0 => text.push_str(&token[..floor_char_boundary(token, random.below(token.len()))]),
        1 => text.push_str(&token[floor_char_boundary(token, random.below(token.len()))..]),
        2 => text.push_str(&token.repeat(random.range(2, 5))),
        3 => text.push_str(&format!("x{token}y")),
        4 => text.push_str(&format!("  {token}\n\n")),
        // A mark that would combine with the token's last character.
        5 => text.push_str(&format!("{token}\u{338}")),
        6 => text.push_str(&token.to_uppercase()),
        _ => text.push_str(token),
    }
}

/// One scalar value: of any plane, of the first 12,288 ones, or a space or letter between them.
pub fn scalar(random: &mut Random, text: &mut String) {
    let bound = match random.below(10) {
        0..4 => 0x11_0000,
        4..7 => 0x3000,
        7 | 8 => 0x250,
        _ => return text.push(' '),
    };
    text.extend(char::from_u32(random.below(bound) as u32));
}

/// The next letter of a long word.
pub fn letter(seed: u64, random: &mut Random, text: &mut String) {
    text.push(match seed % 3 {
        0 => 'a',
        1 => char::from(b'a' + random.below(26) as u8),
        _ => ['a', 'b'][text.len() % 2],
    });
}
