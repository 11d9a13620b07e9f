//! Chinese and Japanese, Hindi and Arabic.

use super::random::Random;

const CHINESE: &[&str] = &[
    "的",
    "是",
    "在",
    "了",
    "和",
    "有",
    "我们",
    "他们",
    "这个",
    "一个",
    "可以",
    "没有",
    "问题",
    "时间",
    "中国",
    "世界",
    "工作",
    "生活",
    "发展",
    "社会",
    "学生",
    "老师",
    "学校",
    "今天",
    "明天",
    "因为",
    "所以",
    "但是",
    "如果",
    "虽然",
    "已经",
    "还是",
    "系统",
    "数据",
    "模型",
    "语言",
    "计算",
    "机器",
    "学习",
    "研究",
    "方法",
    "结果",
    "文章",
    "城市",
    "经济",
    "文化",
    "历史",
    "科学",
    "技术",
    "很",
    "都",
    "也",
    "不",
    "就",
    "要",
    "会",
    "能",
    "说",
    "看",
    "大",
    "小",
    "多",
    "新",
    "好",
    "高",
    "水",
    "山",
    "人",
    "天",
    "上",
    "下",
    "来",
    "去",
    "东西",
    "朋友",
    "火车",
    "飞机",
    "图书馆",
    "互联网",
    "人工智能",
    "北京大学",
    "橄榄",
    "麒麟",
    "囊括",
    "踌躇",
];

const JAPANESE: &[&str] = &[
    "は",
    "が",
    "を",
    "に",
    "で",
    "と",
    "の",
    "も",
    "から",
    "まで",
    "です",
    "ます",
    "した",
    "する",
    "いる",
    "ある",
    "この",
    "その",
    "私",
    "今日",
    "明日",
    "時間",
    "世界",
    "日本",
    "東京",
    "学校",
    "先生",
    "学生",
    "言葉",
    "問題",
    "研究",
    "新しい",
    "大きい",
    "食べる",
    "行きます",
    "思います",
    "コンピューター",
    "データ",
    "モデル",
    "サーバー",
    "インターネット",
    "プログラム",
    "ありがとう",
    "ございます",
    "だから",
    "しかし",
    "について",
    "によって",
    "ﾃｽﾄ",
    "々",
    "ヶ",
    "ゐ",
];

const CJK_ENDS: &[&str] =
    &["。", "，", "、", "！", "？", "：", "「", "」", "（", "）", "《", "》", "……", "\u{3000}", "\n"];

const DEVANAGARI: &[&str] = &[
    "क",
    "ख",
    "ग",
    "घ",
    "च",
    "छ",
    "ज",
    "झ",
    "ट",
    "ड",
    "ण",
    "त",
    "थ",
    "द",
    "ध",
    "न",
    "प",
    "फ",
    "ब",
    "भ",
    "म",
    "य",
    "र",
    "ल",
    "व",
    "श",
    "ष",
    "स",
    "ह",
    "क्ष",
    "ज्ञ",
    "त्र",
    "श्र",
    "ड़",
    "ढ़",
    "ऩ",
];
const VOWEL_SIGNS: &[&str] = &["", "", "ा", "ि", "ी", "ु", "ू", "े", "ै", "ो", "ौ", "ृ", "ं", "ां", "ः", "्"];
const HINDI: &[&str] =
    &["और", "है", "में", "की", "के", "का", "से", "को", "पर", "यह", "वह", "नहीं", "भारत", "हिन्दी", "लोग", "समय", "काम"];

const ARABIC: &[&str] = &[
    "ا", "ب", "ت", "ث", "ج", "ح", "خ", "د", "ذ", "ر", "ز", "س", "ش", "ص", "ض", "ط", "ظ", "ع", "غ", "ف", "ق", "ك", "ل",
    "م", "ن", "ه", "و", "ي", "ء", "أ", "إ", "آ", "ة", "ى", "لا",
];
const ARABIC_MARKS: &[&str] = &["\u{64E}", "\u{64F}", "\u{650}", "\u{651}", "\u{652}", "\u{64B}", "\u{640}"];
const ARABIC_WORDS: &[&str] =
    &["في", "من", "على", "إلى", "هذا", "التي", "كان", "أن", "ما", "اللغة", "العربية", "العالم", "كتاب", "مدينة", "ﷺ"];

/// A few words and a mark.
pub fn chinese_or_japanese(random: &mut Random, text: &mut String) {
    let words = if random.chance(60) { CHINESE } else { JAPANESE };
    for _ in 0..random.range(3, 14) {
        match random.below(30) {
            0 => text.push_str(&random.below(3000).to_string()),
            // Any of the 20,902 ideographs of Unicode 1.1.
            1 => text.extend(char::from_u32(0x4E00 + random.below(20_902) as u32)),
            2 => text.push_str(random.pick(&["LLM", "GPU", "iPhone", "㎡", "①", "½"])),
            _ => text.push_str(random.zipf(words)),
        }
    }
    text.push_str(random.pick(CJK_ENDS));
}

/// A word and what follows it.
pub fn hindi_or_arabic(random: &mut Random, text: &mut String) {
    // Runs of one script, as in text.
    if random.chance(50) {
        for _ in 0..random.range(4, 16) {
            hindi(random, text);
            text.push(' ');
        }
        text.push_str(random.pick(&["। ", "॥ ", ", ", "? ", "१२३ ", "\n"]));
    } else {
        for _ in 0..random.range(4, 16) {
            arabic(random, text);
            text.push(' ');
        }
        text.push_str(random.pick(&["، ", "؟ ", ". ", "؛ ", "١٢٣٫٥ ", "\n", "\u{200F}"]));
    }
}

fn hindi(random: &mut Random, text: &mut String) {
    if random.chance(40) {
        return text.push_str(random.zipf(HINDI));
    }
    for _ in 0..random.range(1, 4) {
        text.push_str(random.pick(DEVANAGARI));
        text.push_str(random.pick(VOWEL_SIGNS));
    }
    if random.chance(3) {
        // Joiners choose the form of a conjunct.
        text.push_str(random.pick(&["\u{200D}", "\u{200C}"]));
    }
}

fn arabic(random: &mut Random, text: &mut String) {
    if random.chance(35) {
        return text.push_str(random.zipf(ARABIC_WORDS));
    }
    text.push_str(random.pick(&["", "", "ال", "و", "ب", "وال"]));
    let vowels = random.chance(20);
    for _ in 0..random.range(2, 6) {
        text.push_str(random.pick(ARABIC));
        if vowels {
            text.push_str(random.pick(ARABIC_MARKS));
        }
    }
}
