//! `datetime.strftime` for a fixed moment in UTC.

/// A civil date and time in UTC.
struct Moment {
    year: i64,
    month: u32,
    day: u32,
    /// Day of the year from 1.
    yearday: u32,
    /// 0 is Monday.
    weekday: u32,
    hour: u32,
    minute: u32,
    second: u32,
    timestamp: i64,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Moment {
    /// Days to civil date by the algorithm of H. Hinnant, "chrono-compatible low-level date algorithms".
    fn new(timestamp: i64) -> Moment {
        let days = timestamp.div_euclid(86_400);
        let second = timestamp.rem_euclid(86_400) as u32;
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let before: u32 =
            [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30].iter().take(month as usize - 1).sum();
        Moment {
            year,
            month,
            day,
            yearday: before + day,
            weekday: (days + 3).rem_euclid(7) as u32,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
            timestamp,
        }
    }

    fn hour12(&self) -> u32 {
        (self.hour + 11) % 12 + 1
    }

    /// ISO 8601 year and week.
    fn iso_week(&self) -> (i64, u32) {
        let week = (self.yearday + 10 - (self.weekday + 1)) / 7;
        let long = |year: i64| {
            let p = |y: i64| (y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400)).rem_euclid(7);
            p(year) == 4 || p(year - 1) == 3
        };
        match week {
            0 => (self.year - 1, if long(self.year - 1) { 53 } else { 52 }),
            53 if !long(self.year) => (self.year + 1, 1),
            _ => (self.year, week),
        }
    }
}

/// Formats a Unix timestamp (seconds) as `datetime.fromtimestamp(t, UTC).strftime(format)` does on Linux.
///
/// The flags `-`, `_` and `0` of the GNU library are understood; an unknown code stays as it is written.
pub fn strftime_utc(timestamp: i64, format: &str) -> String {
    let moment = Moment::new(timestamp);
    let mut out = String::with_capacity(format.len() * 2);
    let mut rest = format.chars();
    while let Some(ch) = rest.next() {
        if ch != '%' {
            out.push(ch);
            continue;
        }
        let before = rest.clone();
        let mut code = rest.next();
        let flag = code.filter(|c| matches!(c, '-' | '_' | '0' | '^' | '#'));
        if flag.is_some() {
            code = rest.next();
        }
        let known = code.is_some_and(|code| directive(&mut out, &moment, code, flag));
        if !known {
            out.push('%');
            rest = before;
        }
    }
    out
}

/// Writes one directive; false if there is none of this name.
fn directive(out: &mut String, at: &Moment, code: char, flag: Option<char>) -> bool {
    let number = |out: &mut String, value: i64, width: usize, pad: char| {
        let pad = match flag {
            Some('-') => None,
            Some('_') => Some(' '),
            Some('0') => Some('0'),
            _ => Some(pad),
        };
        let digits = value.to_string();
        if let Some(pad) = pad {
            out.extend(std::iter::repeat_n(pad, width.saturating_sub(digits.len())));
        }
        out.push_str(&digits);
    };
    let word = |out: &mut String, text: &str| match flag {
        Some('^') => out.push_str(&text.to_uppercase()),
        _ => out.push_str(text),
    };
    let compose = |out: &mut String, format: &str| out.push_str(&strftime_utc(at.timestamp, format));
    let day = DAYS[at.weekday as usize];
    let month = MONTHS[at.month as usize - 1];
    let half = if at.hour < 12 { "AM" } else { "PM" };
    match code {
        'a' => word(out, &day[..3]),
        'A' => word(out, day),
        'b' | 'h' => word(out, &month[..3]),
        'B' => word(out, month),
        'p' => word(out, if flag == Some('#') { if half == "AM" { "am" } else { "pm" } } else { half }),
        'P' => word(out, if half == "AM" { "am" } else { "pm" }),
        'd' => number(out, at.day.into(), 2, '0'),
        'e' => number(out, at.day.into(), 2, ' '),
        'm' => number(out, at.month.into(), 2, '0'),
        'Y' => number(out, at.year, 1, '0'),
        'y' => number(out, at.year.rem_euclid(100), 2, '0'),
        'C' => number(out, at.year.div_euclid(100), 2, '0'),
        'H' => number(out, at.hour.into(), 2, '0'),
        'k' => number(out, at.hour.into(), 2, ' '),
        'I' => number(out, at.hour12().into(), 2, '0'),
        'l' => number(out, at.hour12().into(), 2, ' '),
        'M' => number(out, at.minute.into(), 2, '0'),
        'S' => number(out, at.second.into(), 2, '0'),
        'f' => number(out, 0, 6, '0'),
        'j' => number(out, at.yearday.into(), 3, '0'),
        'u' => number(out, i64::from(at.weekday) + 1, 1, '0'),
        'w' => number(out, i64::from((at.weekday + 1) % 7), 1, '0'),
        'U' => number(out, i64::from((at.yearday + 6 - (at.weekday + 1) % 7) / 7), 2, '0'),
        'W' => number(out, i64::from((at.yearday + 6 - at.weekday) / 7), 2, '0'),
        'V' => number(out, at.iso_week().1.into(), 2, '0'),
        'G' => number(out, at.iso_week().0, 1, '0'),
        'g' => number(out, at.iso_week().0.rem_euclid(100), 2, '0'),
        's' => number(out, at.timestamp, 1, '0'),
        // `datetime.now()` is naive, so zone and offset are empty.
        'z' | 'Z' => {}
        'n' => out.push('\n'),
        't' => out.push('\t'),
        '%' => out.push('%'),
        'c' => compose(out, "%a %b %e %H:%M:%S %Y"),
        'x' | 'D' => compose(out, "%m/%d/%y"),
        'X' | 'T' => compose(out, "%H:%M:%S"),
        'F' => compose(out, "%Y-%m-%d"),
        'R' => compose(out, "%H:%M"),
        'r' => compose(out, "%I:%M:%S %p"),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::strftime_utc;

    /// Tuesday, 2026-11-24 04:05:06 UTC.
    const MOMENT: i64 = 1_795_493_106;

    #[test]
    fn formats_as_python_does() {
        for (format, want) in [
            ("%d %b %Y", "24 Nov 2026"),
            ("%Y-%m-%d", "2026-11-24"),
            ("%A, %B %-d, %Y %I:%M:%S %p", "Tuesday, November 24, 2026 04:05:06 AM"),
            ("%a %j %y %H %U %W %V %u %w", "Tue 328 26 04 47 47 48 2 2"),
            ("%e|%-H|%_m|%%|%c", "24|4|11|%|Tue Nov 24 04:05:06 2026"),
            ("%D %T %F %R", "11/24/26 04:05:06 2026-11-24 04:05"),
            ("%Q 100%", "%Q 100%"),
        ] {
            assert_eq!(strftime_utc(MOMENT, format), want, "{format}");
        }
    }

    #[test]
    fn calendar_edges() {
        assert_eq!(strftime_utc(0, "%F %a %j %V %G"), "1970-01-01 Thu 001 01 1970");
        assert_eq!(strftime_utc(951_782_400, "%F %j"), "2000-02-29 060");
        assert_eq!(strftime_utc(1_609_459_199, "%F %j %V %G"), "2020-12-31 366 53 2020");
        assert_eq!(strftime_utc(1_609_459_200, "%F %I%p %V %G"), "2021-01-01 12AM 53 2020");
        assert_eq!(strftime_utc(-1, "%F %T"), "1969-12-31 23:59:59");
    }
}
