//! Reading settings out of TOML, each with its place, and collecting what is wrong.

use super::GENESIS_TEXT_BYTES_MAX;
use super::coins;
use super::error::{GenesisError, GenesisProblem, GenesisProblems, Setting};
use super::time;
use crate::numbers::{Amount, Timestamp};
use std::ops::Range;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

/// A table of the format: its name and its keys.
pub(super) type TableFormat = (&'static str, &'static [&'static str]);

/// A setting could not be read, and that was reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

/// A setting, if the file has it.
pub(super) type Read<T> = Result<Option<T>, Reported>;

/// A TOML document whose settings are read one by one.
pub(super) struct SettingReader<'a> {
    root: DeTable<'a>,
    problems: Vec<GenesisProblem>,
}

impl<'a> SettingReader<'a> {
    /// Reads a document that has no other tables and keys than `format` knows; a name with a dot
    /// is a table inside another, and `list` is the one table that may stand many times.
    ///
    /// # Errors
    ///
    /// GEN-1 and GEN-2. What else is wrong is told by [`finish`](Self::finish).
    pub(super) fn open(text: &'a str, format: &[TableFormat], list: &str) -> Result<Self, GenesisProblems> {
        // GEN-1 > At most as many bytes as this release reads.
        if text.len() > GENESIS_TEXT_BYTES_MAX {
            let error = GenesisError::TooManyBytes { found: text.len(), limit: GENESIS_TEXT_BYTES_MAX };
            return Err(GenesisProblem { error, setting: None, span: Some(0..0) }.into());
        }
        // GEN-2 > A genesis file is TOML.
        let (root, errors) = DeTable::parse_recoverable(text);
        let syntax = errors.into_iter().map(|error| {
            let span = error.span().or(Some(0..0));
            GenesisProblem { error: GenesisError::Syntax(error), setting: None, span }
        });
        GenesisProblems::unless_empty(syntax.collect())?;
        let mut reader = Self { root: root.into_inner(), problems: Vec::new() };
        reader.check_names(format, list);
        Ok(reader)
    }

    /// All that is wrong, with places and in their order; `others` was found in the values that were read.
    pub(super) fn finish(self, others: Vec<GenesisProblem>) -> Result<(), GenesisProblems> {
        let Self { root, mut problems } = self;
        problems.extend(others);
        for problem in &mut problems {
            let place = problem.setting.map_or(0..0, |setting| place_of(&root, setting));
            problem.span.get_or_insert(place);
        }
        problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
        GenesisProblems::unless_empty(problems)
    }

    pub(super) fn report(&mut self, setting: Setting, error: GenesisError) -> Reported {
        self.problems.push(GenesisProblem::at(setting, error));
        Reported
    }

    pub(super) fn has(&self, setting: Setting) -> bool {
        value_of(&self.root, setting).is_some()
    }

    /// How many elements a list has, or how many tables of one name there are.
    pub(super) fn count(&mut self, setting: Setting) -> Read<usize> {
        self.read(setting, "a list", |value| value.as_array().map(|list| list.len()))
    }

    pub(super) fn text(&mut self, setting: Setting) -> Read<String> {
        self.read(setting, "a text in quotes", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn flag(&mut self, setting: Setting) -> Read<bool> {
        self.read(setting, "true or false", DeValue::as_bool)
    }

    /// A whole number that the type `T` can hold; `most` is its greatest.
    pub(super) fn number<T: TryFrom<i128>>(&mut self, setting: Setting, most: u64) -> Read<T> {
        let Some(found) = self.read(setting, "a whole number", as_i128)? else { return Ok(None) };
        // GEN-9 > Every number lies within its bounds.
        match T::try_from(found) {
            Ok(number) if found >= 0 && found <= i128::from(most) => Ok(Some(number)),
            _ => Err(self.report(setting, GenesisError::OutOfRange { found, least: 0, most })),
        }
    }

    /// An amount of a coin with so many decimals; not judged where these are unknown.
    pub(super) fn amount(&mut self, setting: Setting, decimals: Option<u8>) -> Read<Amount> {
        let expected = "an amount of coins in quotes, such as \"12.5\"";
        let Some(found) = self.read(setting, expected, |value| value.as_str().map(str::to_owned))? else {
            return Ok(None);
        };
        let decimals = decimals.ok_or(Reported)?;
        // GEN-11 > A number of coins in quotes.
        match coins::parse(&found, decimals) {
            Ok(amount) => Ok(Some(amount)),
            Err(source) => Err(self.report(setting, GenesisError::Amount { found, source })),
        }
    }

    /// A duration in milliseconds.
    pub(super) fn duration(&mut self, setting: Setting) -> Read<u64> {
        let expected = "a duration in quotes, such as \"10s\"";
        let Some(found) = self.read(setting, expected, |value| value.as_str().map(str::to_owned))? else {
            return Ok(None);
        };
        // GEN-10 > A whole number and a unit.
        match time::parse_duration(&found) {
            Some(milliseconds) => Ok(Some(milliseconds)),
            None => Err(self.report(setting, GenesisError::Duration { found })),
        }
    }

    /// A date and time with or without quotes, or milliseconds.
    pub(super) fn time(&mut self, setting: Setting) -> Read<Timestamp> {
        let Some(found) = self.read(setting, "a date and time", as_time)? else { return Ok(None) };
        // GEN-12 > RFC 3339, or milliseconds since 1970.
        match found {
            Ok(time) => Ok(Some(time)),
            Err(found) => Err(self.report(setting, GenesisError::Time { found })),
        }
    }

    /// One of `choices`.
    pub(super) fn choice(
        &mut self,
        setting: Setting,
        choices: &'static [&'static str],
    ) -> Read<&'static str> {
        let Some(found) = self.text(setting)? else { return Ok(None) };
        // GEN-8 > One of those that the format knows.
        match choices.iter().find(|choice| **choice == found) {
            Some(choice) => Ok(Some(choice)),
            None => {
                let nearest = nearest(&found, choices);
                Err(self.report(setting, GenesisError::UnknownChoice { found, choices, nearest }))
            }
        }
    }

    // GEN-4 > Every setting has a value of its type.
    fn read<T>(
        &mut self,
        setting: Setting,
        expected: &'static str,
        convert: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Read<T> {
        let Some((_, value)) = value_of(&self.root, setting) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => {
                let found = type_name(value);
                Err(self.report(setting, GenesisError::WrongType { found, expected }))
            }
        }
    }

    // GEN-3 > Every table and every key is one that the format knows.
    fn check_names(&mut self, format: &[TableFormat], list: &str) {
        let tables: Vec<&'static str> =
            format.iter().map(|(name, _)| *name).filter(|name| !name.contains('.')).collect();
        let mut problems = unknown_keys(&self.root, &tables);
        for (name, keys) in format {
            let setting = Setting::of(name, "");
            let Some((_, value)) = value_of(&self.root, setting) else { continue };
            let tables: Vec<&DeValue<'_>> = match value.as_array() {
                Some(entries) if *name == list => entries.iter().map(|entry| entry.get_ref()).collect(),
                // Who counts the entries reports that these are none.
                None if *name == list => continue,
                Some(_) | None => vec![value],
            };
            for table in tables {
                match table.as_table() {
                    Some(table) => problems.extend(unknown_keys(table, keys)),
                    None => {
                        let error = GenesisError::WrongType { found: type_name(table), expected: "a table" };
                        problems.push(GenesisProblem::at(setting, error));
                    }
                }
            }
        }
        self.problems.append(&mut problems);
    }
}

/// The bytes of `text` that say a setting, or the nearest thing around it that is there.
pub(super) fn locate(text: &str, setting: Setting) -> Range<usize> {
    place_of(DeTable::parse_recoverable(text).0.get_ref(), setting)
}

/// Where a setting stands: its value, else its table, else the beginning.
fn place_of(root: &DeTable<'_>, setting: Setting) -> Range<usize> {
    let around = [
        setting,
        Setting { element: None, ..setting },
        Setting { element: None, key: "", ..setting },
        Setting::of(setting.table.split('.').next().unwrap_or_default(), ""),
    ];
    around.into_iter().find_map(|setting| value_of(root, setting)).map_or(0..0, |(place, _)| place)
}

/// The value of a setting, and the bytes where it stands.
fn value_of<'t, 'a>(root: &'t DeTable<'a>, setting: Setting) -> Option<(Range<usize>, &'t DeValue<'a>)> {
    let mut names = setting.table.split('.');
    let mut value = root.get(names.next()?)?;
    for name in names {
        value = value.get_ref().get(name)?;
    }
    if let Some(entry) = setting.entry {
        value = value.get_ref().get(entry)?;
    }
    if !setting.key.is_empty() {
        value = value.get_ref().get(setting.key)?;
    }
    if let Some(element) = setting.element {
        value = value.get_ref().get(element)?;
    }
    Some((value.span(), value.get_ref()))
}

fn unknown_keys(table: &DeTable<'_>, known: &[&'static str]) -> Vec<GenesisProblem> {
    let unknown = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
    let problem = |key: &toml::Spanned<toml::de::DeString<'_>>| {
        let found = key.get_ref().clone().into_owned();
        let nearest = nearest(&found, known);
        GenesisProblem {
            error: GenesisError::UnknownKey { found, nearest },
            setting: None,
            span: Some(key.span()),
        }
    };
    unknown.map(problem).collect()
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn as_i128(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A time; the text of what is none, if it may be one.
fn as_time(value: &DeValue<'_>) -> Option<Result<Timestamp, String>> {
    if let Some(milliseconds) = as_i128(value) {
        return Some(u64::try_from(milliseconds).map(Timestamp).map_err(|_| milliseconds.to_string()));
    }
    let (text, datetime) = match value.as_datetime() {
        Some(datetime) => (datetime.to_string(), Some(*datetime)),
        None => (value.as_str()?.to_owned(), value.as_str()?.parse::<Datetime>().ok()),
    };
    Some(datetime.and_then(|datetime| time::from_datetime(&datetime)).ok_or(text))
}

/// The known name that is spelled most like `found`, if it is a likely slip.
pub(super) fn nearest(found: &str, known: &[&'static str]) -> Option<&'static str> {
    /// Longer names are no slips of ours.
    const NAME_BYTES_MAX: usize = 40;
    if found.len() > NAME_BYTES_MAX {
        return None;
    }
    let slips = 1 + found.len() / 4;
    let distances = known.iter().map(|name| (edit_distance(found, name), *name));
    distances.filter(|(distance, _)| *distance <= slips).min().map(|(_, name)| name)
}

/// How many characters to insert, remove or replace to come from one text to the other
/// (Wagner and Fischer).
fn edit_distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let best = (diagonal + usize::from(a != b)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
